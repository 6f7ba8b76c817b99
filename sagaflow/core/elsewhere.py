"""Steps that are done elsewhere: by a child saga, or by the outside, which answers with a signal."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from .attempts import keep_late
from .definition import SagaDefinition, StepDefinition
from .events import ChildAsked, ChildEnded, ChildInserted, Signalled
from .locks import gate_is_open
from .state import Received, SagaState, SagaStatus, StepState, StepStatus
from .tracks import closed, completed, ended, failing, over
from .turning import go_on

_LISTENING: Final = frozenset({StepStatus.PENDING, StepStatus.STARTED, StepStatus.UNKNOWN})
_NO_WAY_BACK: Final = "the child saga has passed its pivot and is completed"
_TOO_LATE: Final = frozenset({StepStatus.PENDING, StepStatus.UNKNOWN, StepStatus.FAILED, StepStatus.COMPLETED})
_LEFT: Final = frozenset(
    {StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.COMPENSATING, StepStatus.COMPENSATION_FAILED}
)


def signalled(definition: SagaDefinition, state: SagaState, event: Signalled) -> SagaState:
    """The outside has answered; it may do so before anybody waits for it."""
    listeners = [step for step in definition if step.signal == event.signal]
    known = state.signals.get(event.signal)
    if not listeners or (known is not None and known.token == event.token):
        return state
    changed = state
    if known is None:
        received = Received(event.token, event.at, event.output, event.error)
        changed = replace(state, signals={**state.signals, event.signal: received})
    is_heard = known is None and state.status in (SagaStatus.SCHEDULED, SagaStatus.STARTED)
    for declared in listeners if event.output is not None else ():
        step = state.steps[declared.name]
        if step.forward.attempt == 0 or (is_heard and step.status in _LISTENING):
            continue  # it hears of it when the consequences are drawn
        # Too late, or a second time: what somebody outside has done is undone with the step, if it comes to that.
        changed = keep_late(declared, changed, event.output or "")
    return changed


def heard_too_late(definition: SagaDefinition, state: SagaState) -> SagaState:
    """What the outside has done though nobody waits for it any more, or nobody has ever asked: it is undone too.

    So is its answer to a step that a probe, or an operator, has completed with another output.
    """
    for declared in definition if state.signals else ():
        received = state.signals.get(declared.signal or "")
        is_left = declared.is_undoable and state.steps[declared.name].status in _TOO_LATE
        if is_left and received is not None and received.output is not None:
            state = keep_late(declared, state, received.output)
    return state


def child_inserted(state: SagaState, event: ChildInserted) -> SagaState:
    """The child saga exists."""
    step = state.steps.get(event.step)
    if step is None or step.linked or step.child is None or event.generation not in (None, step.generation):
        return state
    return state.with_step(event.step, replace(step, linked=True))


def child_asked(state: SagaState, event: ChildAsked) -> SagaState:
    """The child saga undoes itself now; how that ends it will tell."""
    step = state.steps.get(event.step)
    if step is None or step.child is None or step.undo.due is None or state.paused or not gate_is_open(state, step):
        return state
    track = replace(closed(step.undo), attempt=step.undo.attempt + 1, started_at=event.at, ended_at=None)
    asked = replace(step, status=StepStatus.COMPENSATING, undo=track, undo_asked=True, linked=True)
    return state.with_step(event.step, asked)


def child_ended(definition: SagaDefinition, state: SagaState, event: ChildEnded) -> SagaState:
    """The child saga has come to an end: so has the step, one way or the other."""
    step = state.steps.get(event.step)
    if step is None or step.child is None or event.generation not in (None, step.generation):
        return state
    declared = definition[event.step]
    if step.asked and step.status is StepStatus.STARTED:
        return state.with_step(event.step, _done(declared, step, event))
    goes_back = state.status is SagaStatus.COMPENSATING or (state.status is SagaStatus.FAILED and not state.committed)
    goes_forward = state.status in (SagaStatus.STARTED, SagaStatus.FAILED) and not goes_back
    match event.status:
        case SagaStatus.COMPLETED if goes_forward and step.status is StepStatus.UNKNOWN:
            # Somebody has brought the failed child to a good end.
            return go_on(state.with_step(event.step, _done(declared, step, event)), SagaStatus.STARTED)
        case SagaStatus.COMPENSATED if goes_forward and step.status in _LEFT:
            # Somebody undid the child by itself: the step has not been done after all.
            return state.with_step(event.step, _done(declared, step, event))
        case SagaStatus.COMPENSATED if goes_back and step.status in _LEFT:
            track = ended(step.undo, event.at)
            step = replace(step, status=StepStatus.COMPENSATED, undo=track, undone=True)
            return go_on(state.with_step(event.step, step), SagaStatus.COMPENSATING)
        case SagaStatus.FAILED | SagaStatus.COMPLETED if (
            goes_back
            and (event.status is SagaStatus.FAILED or event.is_final)
            and (step.undo.due is not None or step.is_waiting)
        ):
            # It may come to an end before it is recorded that it was asked.
            why = "the child saga has failed" if event.status is SagaStatus.FAILED else _NO_WAY_BACK
            track = failing(ended(step.undo, event.at), event.error, why)
            return state.with_step(event.step, replace(step, status=StepStatus.COMPENSATION_FAILED, undo=track))
        case _:
            return state


def _done(declared: StepDefinition, step: StepState, event: ChildEnded) -> StepState:
    step = replace(step, linked=True)
    if event.status is SagaStatus.COMPLETED:
        return completed(step, event.child, event.at)
    reason = f"the child saga is {event.status}"
    track = failing(replace(step.forward, ended_at=event.at), event.error, reason)
    # Of a child that was undone nothing is left; of one that has failed something is.
    return over(declared, replace(step, forward=track, unclean=event.status is SagaStatus.FAILED), event.at)
