"""What people do to a saga: each act is recorded with who, when and why, if it changes anything."""

from __future__ import annotations

from typing import assert_never

from msgspec.structs import replace

from .definition import SagaDefinition, StepDefinition, StepKind
from .events import (
    OperatorsAct,
    PauseRequested,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    SkipRequested,
)
from .state import Act, Direction, SagaState, SagaStatus, StepState, StepStatus
from .tracks import afresh, can_be_probed, closed, completed, ended, has_claim
from .turning import go_on
from .undo import is_left_open, is_to_undo

_BROKEN = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN})


def acted(definition: SagaDefinition, state: SagaState, event: OperatorsAct) -> SagaState:
    """The state after the act; the very same one if the act has nothing to do."""
    if event.kind not in state.accepts:
        return state
    match event:
        case RetryRequested():
            changed = _retry(definition, state, event)
        case SkipRequested():
            changed = _skip(definition, state, event)
        case ResolutionRequested():
            changed = _resolve(definition, state, event)
        case PauseRequested() | ResumeRequested():
            paused = isinstance(event, PauseRequested)
            changed = state if state.paused is paused else replace(state, paused=paused)
        case _:  # pragma: no cover
            assert_never(event)
    if changed is state:
        return state
    step = None if isinstance(event, PauseRequested | ResumeRequested) else event.step
    act = Act(in_words(event), event.at, event.by, event.reason, step)
    return changed.with_act(act)


def in_words(event: OperatorsAct) -> str:
    """What was done, as it stands in the record."""
    if isinstance(event, SkipRequested) and event.direction is Direction.UNDO:
        return "skip the compensation"
    if isinstance(event, ResolutionRequested):
        return f"resolve as {event.resolution.value.replace('_', ' ')}"
    return event.kind


# ---------------------------------------------------------------------------------------- retry


def _retry(definition: SagaDefinition, state: SagaState, event: RetryRequested) -> SagaState:
    if event.step is not None and event.step not in definition:
        return state
    changed = state
    for declared in definition:
        if event.step in (None, declared.name):
            step = state.steps[declared.name]
            again = _do_again(declared, step, event) if state.committed else _undo_again(declared, step)
            if again is not step:
                changed = changed.with_step(declared.name, again)
                changed = _forget_refusal(changed, declared)
    if changed is state and (state.committed or not (state.overdue or is_left_open(definition, state, event.step))):
        return state
    return _resume(definition, changed, event.at)


def _forget_refusal(state: SagaState, declared: StepDefinition) -> SagaState:
    """The outside is asked again, and may answer otherwise."""
    received = state.signals.get(declared.signal or "")
    if received is None or received.error is None:
        return state
    return replace(state, signals={name: told for name, told in state.signals.items() if told is not received})


def _do_again(declared: StepDefinition, step: StepState, event: RetryRequested) -> StepState:
    is_known = step.status is StepStatus.FAILED
    if step.status not in _BROKEN or (declared.kind is StepKind.CHILD and not is_known):
        return step  # a child saga that has failed is brought to an end itself, and says so
    # A child saga that was undone was undone: another one takes its place.
    new_key = is_known and (event.new_key or declared.kind is StepKind.CHILD)
    step = replace(
        step,
        status=StepStatus.PENDING if is_known else StepStatus.STARTED,
        generation=step.generation + new_key,
        exhausted=False,
        unresolved=False,
        **(_NO_CHILD if new_key and declared.kind is StepKind.CHILD else {}),
    )
    if not is_known and can_be_probed(declared, step):
        return replace(step, probe=afresh(step.probe, event.at))
    return replace(step, forward=afresh(step.forward))  # opened when it is its turn


_NO_CHILD = {"child": None, "linked": False}


def _undo_again(declared: StepDefinition, step: StepState) -> StepState:
    if step.status is StepStatus.COMPENSATION_FAILED:
        return replace(step, status=StepStatus.COMPENSATING, undo=afresh(step.undo), undo_asked=False)
    if step.status is StepStatus.UNKNOWN and declared.probe is not None and step.unresolved:
        return replace(step, unresolved=False)
    return step


def _resume(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    """A failed saga goes on the way that it went; any other one as it is."""
    if state.status is not SagaStatus.FAILED:
        return state
    limit = definition.compensation_deadline
    if state.committed:
        return go_on(state, SagaStatus.STARTED)
    return replace(
        go_on(state, SagaStatus.COMPENSATING),
        overdue=False,
        undo_deadline_at=at + limit.total_seconds() if limit is not None else None,
    )


# ---------------------------------------------------------------------------------------- skip, resolve


def _skip(definition: SagaDefinition, state: SagaState, event: SkipRequested) -> SagaState:
    if event.step not in definition:
        return state
    declared, step = definition[event.step], state.steps[event.step]
    if event.direction is Direction.UNDO:
        return _compensated(definition, state, declared, event.step, event.at)
    goes_forward = state.status in (SagaStatus.SCHEDULED, SagaStatus.STARTED) or state.committed
    if not goes_forward or not _can_be_skipped(state, declared, step):
        return state
    skipped = replace(
        step,
        status=StepStatus.SKIPPED,
        output=event.output,
        forward=closed(step.forward),
        probe=closed(step.probe),
        asked=False,
        wait_until=None,
    )
    state = replace(state, committed=state.committed or declared.pivot)
    return _resume(definition, state.with_step(event.step, skipped), event.at)


def _can_be_skipped(state: SagaState, declared: StepDefinition, step: StepState) -> bool:
    if step.status not in (StepStatus.PENDING, StepStatus.STARTED, *_BROKEN) or has_claim(step):
        return False
    if declared.kind is StepKind.JOIN or (step.child is not None and step.status is not StepStatus.FAILED):
        return False
    # What may have happened, and can still be undone, is resolved: left out, it would be left behind.
    return state.committed or not declared.is_undoable or not (step.unclean or step.asked)


def _resolve(definition: SagaDefinition, state: SagaState, event: ResolutionRequested) -> SagaState:
    if event.step not in definition:
        return state
    declared, step = definition[event.step], state.steps[event.step]
    if event.resolution is Resolution.COMPENSATED:
        return _compensated(definition, state, declared, event.step, event.at)
    is_open = step.status is StepStatus.UNKNOWN or (step.status is StepStatus.STARTED and step.unclean)
    if not is_open or has_claim(step) or declared.kind is StepKind.CHILD:
        return state
    step = replace(step, probe=closed(step.probe), undo=closed(step.undo))
    if event.resolution is Resolution.HAPPENED:
        step = completed(step, event.output or "", event.at)
    else:
        track = ended(step.forward, event.at)
        step = replace(step, status=StepStatus.FAILED, forward=track, unclean=False, asked=False, wait_until=None)
    return _resume(definition, state.with_step(event.step, step), event.at)


def _compensated(
    definition: SagaDefinition, state: SagaState, declared: StepDefinition, name: str, at: float
) -> SagaState:
    """Nothing of the step is left, says a person, or what is left shall stay."""
    step = state.steps[name]
    turned = state.status is SagaStatus.COMPENSATING or (state.status is SagaStatus.FAILED and not state.committed)
    is_open = is_to_undo(declared, step) or step.status is StepStatus.COMPENSATION_FAILED
    if declared.kind is StepKind.CHILD:
        # One that has not ended is not left alone.
        is_open = step.status in (StepStatus.COMPLETED, StepStatus.COMPENSATION_FAILED)
    if not turned or not is_open or has_claim(step):
        return state
    done = replace(
        step,
        status=StepStatus.COMPENSATED,
        undo=ended(step.undo, at),
        probe=closed(step.probe),
        undone=True,
        late_undone=len(step.late),
        undoing=None,
        undo_asked=False,
    )
    return _resume(definition, state.with_step(name, done), at)
