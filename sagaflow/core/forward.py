"""Going forward: which steps may begin now, whether the saga is done, and what ends when it turns back."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from .definition import SagaDefinition, StepDefinition, StepKind
from .state import SagaState, SagaStatus, StepState, StepStatus
from .tracks import closed, completed, failing, has_claim, is_in_motion, opened, over
from .turning import at_end, turn_back
from .unfold import Places

_DONE: Final = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
_BROKEN: Final = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN})
_ASKED: Final = frozenset({StepStatus.STARTED, StepStatus.UNKNOWN})
_BEFORE: Final = frozenset({StepStatus.PENDING, StepStatus.STARTED})


def go_forward(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    """The saga with all that may begin opened; turned back, or at its end, if that is what it has come to."""
    state = _hear(definition, state, at)
    broken = [name for name, step in state.steps.items() if step.status in _BROKEN]
    if not broken:
        return _open(definition, state, at)
    pivot = definition.pivot
    if not state.committed or (pivot is not None and state.steps[pivot.name].status is StepStatus.FAILED):
        return turn_back(definition, state, _why(state, broken[0]), at)
    # There is no way back: what does not depend on the broken step goes on.
    state = _open(definition, state, at)
    if any(is_in_motion(step) for step in state.steps.values()):
        return state
    failure = f"{_why(state, broken[0])}, and there is no way back"
    return replace(at_end(state, SagaStatus.FAILED, at), failure=failure)


def _why(state: SagaState, name: str) -> str:
    step = state.steps[name]
    what = "failed" if step.status is StepStatus.FAILED else f"has an unknown outcome ({step.forward.reason})"
    return f"step {name!r} {what}"


def _hear(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    """Tell the steps that wait for the outside what it has said, be it long ago."""
    for declared in definition if state.signals else ():
        step = state.steps[declared.name]
        received = state.signals.get(declared.signal or "")
        if received is None or step.status not in _ASKED or has_claim(step):
            continue
        if received.output is not None:
            # Whoever answers has been asked, whatever is known of the attempts to do so.
            state = state.with_step(declared.name, completed(step, received.output, at))
        elif step.asked:
            track = failing(step.forward, received.error, "refused outside")
            state = state.with_step(declared.name, over(declared, replace(step, forward=track), at))
    return state


def _open(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    steps = dict(state.steps)
    done = {name for name, step in steps.items() if step.status in _DONE}
    places = Places(definition, steps, is_in_motion)
    for declared in definition.steps:
        name, step = declared.name, steps[declared.name]
        if name in done or step.status not in _BEFORE or not done.issuperset(declared.after) or is_in_motion(step):
            continue
        steps[name] = begun = _begin(declared, step, places, at)
        if begun.status in _DONE:
            done.add(name)
    if len(done) == len(steps):
        return at_end(replace(state, steps=steps), SagaStatus.COMPLETED, at)
    return replace(state, steps=steps)


def _begin(declared: StepDefinition, step: StepState, places: Places, at: float) -> StepState:
    if declared.kind is StepKind.JOIN:
        return replace(step, status=StepStatus.COMPLETED)
    if not places.take(declared):
        return step
    wait = declared.delay.total_seconds() if step.forward.attempt == 0 else 0.0
    return replace(step, forward=opened(step.forward, at + wait))


def stop_forward(state: SagaState) -> SagaState:
    """Nothing starts forward any more: what waits for an attempt, for a probe or for the outside ends here."""
    steps = dict(state.steps)
    for name, step in steps.items():
        if step.forward.due is not None:
            status = StepStatus.UNKNOWN if step.unclean else StepStatus.PENDING
            steps[name] = replace(step, status=status, forward=closed(step.forward))
        elif step.status is StepStatus.STARTED and step.forward.claim is None:
            steps[name] = replace(step, status=StepStatus.UNKNOWN, asked=False, wait_until=None, exhausted=True)
    return replace(state, steps=steps)
