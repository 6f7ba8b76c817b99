"""The invariants of one change, written out plainly: they need no history, only the state before and after."""

from __future__ import annotations

from typing import Final

from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import CancellationRequested, CompensationRequested, Event, Succeeded, Ticked
from sagaflow.core.state import Direction, SagaState, SagaStatus, StepState, StepStatus
from sagaflow.core.work import next_due, open_work

SCHEDULED, STARTED, COMPENSATING = SagaStatus.SCHEDULED, SagaStatus.STARTED, SagaStatus.COMPENSATING
COMPLETED, COMPENSATED, FAILED = SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED

ARROWS: Final = {
    (SCHEDULED, STARTED),
    (SCHEDULED, COMPENSATED),
    (STARTED, COMPLETED),
    (STARTED, COMPENSATING),
    (COMPLETED, COMPENSATING),
    (COMPENSATING, COMPENSATED),
    (COMPENSATING, FAILED),
    (COMPENSATED, COMPENSATING),
}
"""Every arrow that a saga takes by itself. Those out of ``failed`` are an operator's."""

IN_ONE_GO: Final = ARROWS | {
    # With nothing to undo, or nothing that can be undone, compensating is over as soon as it begins.
    (STARTED, COMPENSATED),
    (STARTED, FAILED),
    (COMPLETED, COMPENSATED),
    # Looked at late: its time had come, and its deadline has passed meanwhile.
    (SCHEDULED, COMPENSATED),
}
"""What one event may be seen to do: a path of arrows that passes only through ``started`` and ``compensating``."""

UNDOABLE: Final = (StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.COMPENSATING)
"""Of which steps something may be left that a compensation removes."""


def check_change(definition: SagaDefinition, before: SagaState, event: Event, after: SagaState) -> None:
    """Fail if this change may not happen to any saga."""
    _check_arrow(before, event, after)
    for step in definition:
        _check_kept(before.steps[step.name], after.steps[step.name])
    _check_starts(definition, before, after)
    if after.status is FAILED and before.status is not FAILED:
        _check_failed(definition, after)
    check_state(definition, after)


def check_state(definition: SagaDefinition, state: SagaState) -> None:
    """Fail if no saga may ever look like this."""
    steps = [(step, state.steps[step.name]) for step in definition]
    if state.status is COMPLETED:  # I4
        assert all(step.status in (StepStatus.COMPLETED, StepStatus.SKIPPED) for _, step in steps)
    if state.status is COMPENSATED:  # I4
        bad = {StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.STARTED, StepStatus.COMPENSATION_FAILED}
        assert not [step for declared, step in steps if declared.compensation and step.status in bad]
    if state.status.is_terminal:
        assert not open_work(definition, state)
        assert not state.owners
        assert state.completed_at is not None
        assert next_due(state) is None
    else:  # I7
        assert state.completed_at is None
        assert state.owners or next_due(state) is not None
    if state.status in (COMPENSATING, COMPENSATED, FAILED):
        assert state.reason
    for _, step in steps:
        for track in (step.forward, step.undo):
            assert track.claim is None or track.due is None, "what runs is not open"
    for work in open_work(definition, state):
        assert work.queue == definition[work.step].queue
        expected = Direction.FORWARD if state.status is STARTED else Direction.UNDO
        assert work.direction is expected, "I2, I3: nothing starts forward but in a started saga, or back before"


def _check_arrow(before: SagaState, event: Event, after: SagaState) -> None:
    if before.status is after.status:
        return
    assert (before.status, after.status) in IN_ONE_GO, f"I8: {before.status} -> {after.status}"
    if before.status is COMPLETED:
        assert isinstance(event, CompensationRequested)
    if before.status is COMPENSATED:
        assert isinstance(event, Succeeded)
        assert event.direction is Direction.FORWARD
    if before.status is SCHEDULED:
        assert isinstance(event, Ticked | CompensationRequested | CancellationRequested)


def _check_kept(before: StepState, after: StepState) -> None:
    """I5, I6: what is known stays known, and attempts only grow."""
    assert before.output is None or after.output == before.output
    known = {*after.late, after.output}
    assert known.issuperset(before.late), "a late output vanished"
    for direction in Direction:
        old, new = before.track(direction), after.track(direction)
        assert old.first_error is None or new.first_error == old.first_error
        assert old.last_error is None or new.last_error is not None
        assert old.attempt <= new.attempt <= old.attempt + 1
    assert after.undone >= before.undone
    assert after.late_undone >= before.late_undone


def _check_starts(definition: SagaDefinition, before: SagaState, after: SagaState) -> None:
    """I2, I3, I10: a new claim was open just before, and only what it waits for is behind it."""
    for declared in definition:
        for direction in Direction:
            new = after.steps[declared.name].track(direction)
            if new.attempt == before.steps[declared.name].track(direction).attempt:
                continue
            assert before.steps[declared.name].track(direction).is_open
            assert new.claim is not None
            if direction is Direction.FORWARD:
                done = (StepStatus.COMPLETED, StepStatus.SKIPPED)
                assert all(after.steps[name].status in done for name in declared.after), "I2"
            else:
                assert before.steps[declared.name].status in UNDOABLE, "I3"
                assert all(is_settled(definition, after, name) for name in dependents(definition, declared.name)), "I3"


def dependents(definition: SagaDefinition, name: str) -> set[str]:
    """All that waits for this step, directly or through others, from the raw edges."""
    direct = {step.name for step in definition if name in step.after}
    return direct.union(*(dependents(definition, other) for other in direct))


def is_settled(definition: SagaDefinition, state: SagaState, name: str) -> bool:
    """Whether nothing of the step is left that must be undone before what it builds on."""
    status = state.steps[name].status
    if status in (StepStatus.COMPLETED, StepStatus.UNKNOWN):
        return definition[name].compensation is None
    return status not in (StepStatus.STARTED, StepStatus.COMPENSATING, StepStatus.COMPENSATION_FAILED)


def _check_failed(definition: SagaDefinition, after: SagaState) -> None:
    """A saga fails only for a compensation that failed, or for an outcome that nobody knows how to undo."""
    assert any(
        step.status is StepStatus.COMPENSATION_FAILED
        or (step.status is StepStatus.UNKNOWN and not declared.accepts_unknown and not step.output and not step.late)
        for declared in definition
        for step in [after.steps[declared.name]]
    )
