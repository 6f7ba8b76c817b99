"""Going back: which steps may be undone now, and whether anything is left."""

from __future__ import annotations

from collections.abc import Container, Mapping

from msgspec.structs import replace

from .definition import SagaDefinition, StepDefinition, StepKind
from .locks import want_for_undo
from .state import MAIN, SagaState, SagaStatus, StepState, StepStatus
from .tracks import afresh, can_be_probed, closed, is_busy, is_in_motion, opened
from .turning import at_end
from .unfold import Places

_UNDOABLE = frozenset({StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.COMPENSATING})


def open_undo(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    """Open every undo whose dependents are settled, and see whether the saga has come to an end."""
    steps = dict(state.steps)
    left = unsettled(definition, state)
    held_back = _held_back(definition, left)
    places = Places(definition, steps, lambda step: is_busy(step.undo))
    for declared in definition:
        step = steps[declared.name]
        if declared.name not in left and step.probe.due is None:
            continue
        step = _with_probe(declared, step, at, too_late=state.overdue)
        ready = not state.overdue and declared.name not in held_back and _can_be_undone(declared, step)
        steps[declared.name] = _with_undo(declared, step, places, at, ready=ready)
    state = replace(state, steps=steps)
    if any(is_in_motion(step) for step in steps.values()):
        return want_for_undo(state)
    if not left:
        return at_end(state, SagaStatus.COMPENSATED, at)
    return replace(at_end(state, SagaStatus.FAILED, at), failure=_why_failed(definition, state, left))


def unsettled(definition: SagaDefinition, state: SagaState) -> dict[str, StepState]:
    """The steps of which something remains, or may remain, to be undone, in the order of the definition."""
    return {
        declared.name: step for declared in definition if not is_settled(declared, step := state.steps[declared.name])
    }


def _held_back(definition: SagaDefinition, left: Container[str]) -> set[str]:
    """The steps with a dependent, direct or not, that is not settled."""
    held_back: set[str] = set()
    for declared in reversed(definition.steps):
        if declared.name in left or declared.name in held_back:
            held_back.update(declared.after)
    return held_back


def _with_probe(declared: StepDefinition, step: StepState, at: float, *, too_late: bool) -> StepState:
    """The probe opened if it is to say what is undone; closed if there is nothing to say any more."""
    wanted = (
        step.status is StepStatus.UNKNOWN
        and declared.is_undoable
        and not step.late
        and not too_late
        and can_be_probed(declared, step)
    )
    if step.probe.claim is not None or wanted is (step.probe.due is not None):
        return step
    return replace(step, probe=afresh(step.probe, at) if wanted else closed(step.probe))


def _with_undo(declared: StepDefinition, step: StepState, places: Places, at: float, *, ready: bool) -> StepState:
    if step.undo.claim is not None or ready is (step.undo.due is not None):
        return step
    if not ready:
        # Closed as well as opened: a late output unsettles a step that was undone, and then this one waits again.
        return replace(step, undo=closed(step.undo))
    return replace(step, undo=opened(step.undo, at)) if places.take(declared) else step


def _can_be_undone(declared: StepDefinition, step: StepState) -> bool:
    """Whether its turn could have come, as far as it depends on the step itself."""
    return is_to_undo(declared, step) and step.probe.claim is None and next_undo(declared, step) is not None


def is_left_open(definition: SagaDefinition, state: SagaState, name: str | None) -> bool:
    """Whether something could be undone now, of that step or of any: in a failed saga, by what came after its end."""
    left = unsettled(definition, state)
    held_back = _held_back(definition, left)
    return any(
        name in (None, each) and each not in held_back and _can_be_undone(definition[each], step)
        for each, step in left.items()
    )


def is_to_undo(declared: StepDefinition, step: StepState) -> bool:
    """Whether something of it may be left, and there is a way to remove it."""
    return declared.is_undoable and step.status in _UNDOABLE


def is_settled(declared: StepDefinition, step: StepState) -> bool:
    """Whether nothing of the step remains to be undone, so that what it depends on can be."""
    if step.status in _UNDOABLE:
        return not declared.is_undoable
    return step.status not in (StepStatus.STARTED, StepStatus.COMPENSATION_FAILED)


def next_undo(declared: StepDefinition, step: StepState) -> int | None:
    """What the compensation is to be given next: ``MAIN``, an index into ``late``, or None for "nothing can be"."""
    if declared.kind is StepKind.CHILD:
        return None if step.undone or step.undo_asked else MAIN
    if step.undone:
        return step.late_undone if step.late_undone < len(step.late) else None
    if step.output is not None:
        return MAIN
    if step.late:
        return 0
    if can_be_probed(declared, step):
        return None
    return MAIN if declared.accepts_unknown else None


def _why_failed(definition: SagaDefinition, state: SagaState, left: Mapping[str, StepState]) -> str:
    for name, step in left.items():
        if step.status is StepStatus.COMPENSATION_FAILED:
            compensation = definition[name].compensation
            what = f"compensation {compensation!r}" if compensation else "the child saga"
            return f"{what} of step {name!r} failed ({step.undo.reason})"
    if state.overdue:
        return "its deadline for compensations has passed"
    stuck = next(definition[name] for name, step in left.items() if next_undo(definition[name], step) is None)
    return f"compensation {stuck.compensation!r} does not accept the unknown outcome of step {stuck.name!r}"
