"""The invariants of one change, written out plainly: they need no history, only the state before and after."""

from __future__ import annotations

from collections import Counter
from typing import Final

from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import (
    CancellationRequested,
    ChildEnded,
    Claimed,
    CompensationRequested,
    Decided,
    Ended,
    Event,
    Fate,
    LockHeld,
    OperatorsAct,
    Probed,
    ResolutionRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
    Succeeded,
    Ticked,
)
from sagaflow.core.state import Direction, LockStatus, SagaState, SagaStatus, StepState, StepStatus
from sagaflow.core.work import Agenda, duties, next_due, open_work, undo_payload, unwanted
from tests.properties.graph import Node, Nodes, graph_of

SCHEDULED, STARTED, COMPENSATING = SagaStatus.SCHEDULED, SagaStatus.STARTED, SagaStatus.COMPENSATING
COMPLETED, COMPENSATED, FAILED = SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED

ARROWS: Final = {
    (SCHEDULED, STARTED),
    (SCHEDULED, COMPENSATED),
    (STARTED, COMPLETED),
    (STARTED, COMPENSATING),
    (STARTED, FAILED),
    (COMPLETED, COMPENSATING),
    (COMPENSATING, COMPENSATED),
    (COMPENSATING, FAILED),
    (COMPENSATED, COMPENSATING),
}
"""Every arrow that a saga takes by itself. Those out of ``failed`` are an operator's."""

IN_ONE_GO: Final = ARROWS | {
    # With nothing to undo, compensating is over as soon as it begins.
    (STARTED, COMPENSATED),
    (COMPLETED, COMPENSATED),
    # Looked at late: its time had come, and its deadline has passed meanwhile; or all of it has been skipped.
    (SCHEDULED, COMPENSATED),
    (SCHEDULED, COMPLETED),
    # The outside has answered before the saga began, and that is undone.
    (SCHEDULED, COMPENSATING),
}
"""What one event may be seen to do: a path of arrows that passes only through ``started`` and ``compensating``."""

BY_AN_ACT: Final = {(FAILED, STARTED), (FAILED, COMPENSATING), (FAILED, COMPENSATED), (FAILED, COMPLETED)}

DONE: Final = (StepStatus.COMPLETED, StepStatus.SKIPPED)
UNDOABLE: Final = (StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.COMPENSATING)
"""Of which steps something may be left that a compensation removes."""

LATE_OUTPUTS_KEPT: Final = 16
UNSURE: Final = ("timed_out", "lost")
"""The reasons of attempts after which a probe is asked before the step is run again."""


def check_change(definition: SagaDefinition, before: SagaState, event: Event, after: SagaState) -> None:
    """Fail if this change may not happen to any saga."""
    nodes, below = graph_of(definition, after)
    _check_arrow(before, event, after)
    for name, step in before.steps.items():
        assert name in after.steps, "a step vanished"
        if after.steps[name] is not step:
            _check_kept(nodes[name], step, event, after.steps[name])
            if after.steps[name].status is not step.status:
                _check_earned(nodes[name], step, event, after.steps[name])
    _check_starts(nodes, below, before, event, after)
    _check_pivot(definition, before, after)
    _check_locks(before, event, after)
    if after.status is FAILED and before.status is not FAILED:
        _check_failed(nodes, after)
    assert not before.paused or not isinstance(event, Claimed | Ticked), "nothing begins while it is paused"
    if isinstance(event, Claimed):
        left = Agenda.of(definition, before).without([event], after.updated_at)
        assert left == Agenda.of(definition, after), "a claim opens nothing, and closes nothing but what it takes up"
    assert len(after.acts) >= len(before.acts) or len(before.acts) == 100
    check_state(definition, after)


# ---------------------------------------------------------------------------------------- one state


def check_state(definition: SagaDefinition, state: SagaState) -> None:
    """Fail if no saga may ever look like this."""
    nodes, below = graph_of(definition, state)
    assert nodes.keys() == state.steps.keys()
    _check_status(nodes, state)
    _check_parked(definition, nodes, state)
    _check_tracks(nodes, state)
    _check_open(definition, nodes, below, state)
    _check_progress(nodes, below, state)
    _check_at_once(nodes, state)
    pivot = next((state.steps[step.name] for step in definition.steps if step.pivot), None)
    if pivot is not None:
        if pivot.forward.claim is not None or pivot.status in (*DONE, StepStatus.UNKNOWN):
            assert state.committed or state.status in (COMPENSATING, COMPENSATED, FAILED)
        # One that was said to have failed, and was found out to have happened after all, comes too late.
        if pivot.status is StepStatus.COMPLETED and not pivot.exhausted:
            assert state.committed, "a pivot that is done stays done"
    if state.committed:
        assert pivot is not None
        assert state.status in (STARTED, COMPLETED, FAILED) or pivot.status is StepStatus.SKIPPED, "I10"
        assert state.status not in (COMPENSATING, COMPENSATED), "I10"


def _check_status(nodes: Nodes, state: SagaState) -> None:
    """I4, and that every end has its reason."""
    if state.status is COMPLETED:
        assert all(step.status in DONE for step in state.steps.values()), "I4"
    if state.status is COMPENSATED:
        settled = {StepStatus.PENDING, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.COMPENSATED}
        for name, node in nodes.items():
            status = state.steps[name].status
            assert status is not StepStatus.STARTED, "I4"
            assert not node.is_undoable or status in settled, "I4"
            received = state.signals.get(node.declared.signal or "")
            if node.is_undoable and status is not StepStatus.SKIPPED and received is not None and received.output:
                step = state.steps[name]
                was_told = received.output in (step.output, *step.late) or len(step.late) == LATE_OUTPUTS_KEPT
                assert was_told or state.acts, "an answer was given that nobody undid"
    if state.status in (COMPENSATING, COMPENSATED):
        assert state.reason
    assert (state.status is FAILED) is bool(state.failure), "a saga fails for a stated reason"
    assert state.status is not FAILED or state.why
    assert state.status.is_terminal is (state.completed_at is not None)


def _check_parked(definition: SagaDefinition, nodes: Nodes, state: SagaState) -> None:
    """I7: somebody will look at it again."""
    due = next_due(definition, state)
    if state.status.is_terminal:
        assert (due is not None) is bool(duties(definition, state))
        return
    waits = any(_is_waiting(nodes[name], step) for name, step in state.steps.items())
    blocked = any(lock.status is LockStatus.WANTED and lock.holder is not None for lock in state.locks.values())
    assert state.owners or due is not None or state.paused or waits or blocked, "I7"


def _is_waiting(node: Node, step: StepState) -> bool:
    """For a child saga that exists, or for the outside."""
    asked = step.asked and step.status is StepStatus.STARTED and (step.linked or not node.is_child)
    return asked or (step.undo_asked and step.status is StepStatus.COMPENSATING)


def _check_tracks(nodes: Nodes, state: SagaState) -> None:
    for name, step in state.steps.items():
        for track in (step.forward, step.undo, step.probe):
            assert track.claim is None or track.due is None, "what runs is not open"
            assert track.claim is None or _has_locks(state, step), "I10: nothing runs without its locks"
            assert not state.status.is_terminal or (track.claim is None and track.due is None)
        running = [track for track in (step.forward, step.undo, step.probe) if track.claim is not None]
        assert len(running) <= 1, "one thing at a time"
        assert step.forward.due is None or state.status is STARTED, "I2"
        assert step.undo.due is None or state.status is COMPENSATING, "I3"
        assert step.undo.claim is None or nodes[name].declared.compensation is not None
        if state.status is COMPENSATING and step.status is StepStatus.STARTED:
            assert step.forward.claim is not None, "what waits ends when the saga turns back"
        if state.reason and step.status is StepStatus.UNKNOWN and nodes[name].is_undoable:
            received = state.signals.get(nodes[name].declared.signal or "")
            assert received is None or received.output in (None, *step.late), "an answer is not undone"
        if state.status is SCHEDULED:
            assert step.forward.attempt == 0, "nothing begins before its time"


def _has_locks(state: SagaState, step: StepState) -> bool:
    return all(
        key in state.locks and state.locks[key].status is LockStatus.HELD
        for key in (state.lock, step.lock)
        if key is not None
    )


def _check_open(definition: SagaDefinition, nodes: Nodes, below: dict[str, set[str]], state: SagaState) -> None:
    """I2, I3, I10: what can be claimed may begin."""
    works = open_work(definition, state)
    assert not works or not state.paused
    for work in works:
        node, step = nodes[work.step], state.steps[work.step]
        assert work.queue == node.declared.queue
        assert _has_locks(state, step), "I10: nothing is done without its locks"
        if work.direction is Direction.FORWARD:
            assert state.status is STARTED, "I2"
            assert all(state.steps[name].status in DONE for name in node.after), "I2"
            assert work.is_decided is (step.decided or not node.is_decided_by_code)
        elif work.direction is Direction.UNDO:
            assert state.status is COMPENSATING, "I3"
            assert not node.is_child, "a child saga undoes itself"
            assert all(is_settled(nodes, state, name) for name in below[work.step]), "I3"
        else:
            assert node.declared.probe is not None
            assert state.status in (STARTED, COMPENSATING)
        forward = state.status is STARTED
        assert work.side is (Direction.FORWARD if forward else Direction.UNDO)
    unwanted_now = set(unwanted(definition, state))
    assert not unwanted_now or (definition.cancel_siblings and state.status is COMPENSATING)


def _check_progress(nodes: Nodes, below: dict[str, set[str]], state: SagaState) -> None:
    """I1: what may begin is open."""
    for name, node in nodes.items():
        step = state.steps[name]
        if state.status is STARTED and step.status is StepStatus.STARTED:
            moves = any(track.claim is not None or track.due is not None for track in step.tracks)
            assert moves or step.asked, "I1: what has begun goes on"
        bounded = node.group is not None and node.declared.at_once is not None
        if state.status is STARTED and step.status is StepStatus.PENDING and not bounded:
            ready = all(state.steps[other].status in DONE for other in node.after)
            assert ready is (step.forward.due is not None), "I1: what may begin is open, and nothing else"
        if state.status is not COMPENSATING or not node.is_undoable or step.status not in UNDOABLE:
            continue
        if step.undo.claim is not None or step.undo_asked or state.overdue or bounded:
            continue
        if step.probe.claim is not None or step.probe.due is not None:
            continue
        ready = all(is_settled(nodes, state, other) for other in below[name])
        knows = node.is_child or step.output is not None or bool(step.late) or node.declared.accepts_unknown
        assert (ready and knows) is (step.undo.due is not None), "I1: what may be undone is open, and nothing else"


def _check_at_once(nodes: Nodes, state: SagaState) -> None:
    doing, undoing = Counter[str](), Counter[str]()
    bounds: dict[str, int] = {}
    for name, node in nodes.items():
        if node.group is None or node.declared.at_once is None:
            continue
        step = state.steps[name]
        if state.acts and step.unclean:
            continue  # what an operator has tried again comes back at once
        bounds[node.group] = node.declared.at_once
        doing[node.group] += step.forward.due is not None or step.status is StepStatus.STARTED
        undoing[node.group] += step.undo.due is not None or step.undo.claim is not None
    for group, bound in bounds.items():
        assert doing[group] <= bound, "at_once"
        assert undoing[group] <= bound, "at_once"


def is_settled(nodes: Nodes, state: SagaState, name: str) -> bool:
    """Whether nothing of the step is left that must be undone before what it builds on."""
    status = state.steps[name].status
    if status in (StepStatus.COMPLETED, StepStatus.UNKNOWN):
        return not nodes[name].is_undoable
    return status not in (StepStatus.STARTED, StepStatus.COMPENSATING, StepStatus.COMPENSATION_FAILED)


# ---------------------------------------------------------------------------------------- one change


def _check_arrow(before: SagaState, event: Event, after: SagaState) -> None:
    """I8."""
    if before.status is after.status:
        return
    arrow = (before.status, after.status)
    acted = isinstance(event, RetryRequested | SkipRequested | ResolutionRequested | ChildEnded)
    assert arrow in IN_ONE_GO or (acted and arrow in BY_AN_ACT), f"I8: {before.status} -> {after.status}"
    if before.status is COMPLETED:
        assert isinstance(event, CompensationRequested)
    if before.status is COMPENSATED:
        assert isinstance(event, Succeeded | Signalled)
    if before.status is SCHEDULED:
        assert isinstance(event, Ticked | CompensationRequested | CancellationRequested)


def _check_failed(nodes: Nodes, after: SagaState) -> None:
    """A saga fails for what is broken behind its pivot, or else for what could not be undone, and for nothing else."""
    statuses = {step.status for step in after.steps.values()}
    if after.committed:
        assert not statuses.isdisjoint((StepStatus.FAILED, StepStatus.UNKNOWN))
        return
    stuck = any(
        step.status is StepStatus.UNKNOWN
        and nodes[name].is_undoable
        and not nodes[name].declared.accepts_unknown
        and not (step.output or step.late)
        for name, step in after.steps.items()
    )
    assert stuck or after.overdue or StepStatus.COMPENSATION_FAILED in statuses


def _check_kept(node: Node, before: StepState, event: Event, after: StepState) -> None:
    """I5, I6: what is known stays known, and attempts only grow."""
    acted = isinstance(event, OperatorsAct)
    # An operator who tries a child saga again gets another child saga.
    assert acted or before.output in (None, after.output) or after.generation, "I5"
    known = {*after.late, after.output}
    assert acted or known.issuperset(before.late), "a late output vanished"
    for old, new in zip(before.tracks, after.tracks, strict=True):
        assert old.first_error is None or new.first_error == old.first_error, "I5"
        assert old.last_error is None or new.last_error is not None, "I5"
        assert old.attempt <= new.attempt <= old.attempt + 1, "I6"
    assert after.undone >= before.undone
    assert after.late_undone >= before.late_undone
    assert after.size == before.size or before.size is None
    assert after.decided >= before.decided
    assert before.item == after.item or node.group is not None


def _check_earned(node: Node, before: StepState, event: Event, after: StepState) -> None:
    """A step is only what somebody has said that it is."""
    acted = isinstance(event, SkipRequested | ResolutionRequested)
    match after.status:
        case StepStatus.COMPENSATED if node.is_child:
            assert acted or (isinstance(event, ChildEnded) and event.status is COMPENSATED)
        case StepStatus.COMPENSATED:
            assert acted or (isinstance(event, Succeeded) and event.direction is Direction.UNDO)
        case StepStatus.SKIPPED:
            assert isinstance(event, Decided | SkipRequested)
        case StepStatus.COMPLETED if node.is_child:
            assert isinstance(event, ChildEnded)
            assert event.status is COMPLETED
        case StepStatus.COMPLETED if not node.is_join:
            # What the outside has said counts, however the asking ended.
            is_answered = node.declared.signal is not None
            assert is_answered or isinstance(event, Succeeded | Probed | Signalled | ResolutionRequested)
            assert after.output is not None
        case StepStatus.FAILED:
            assert not after.unclean, "what may have happened is not known to have failed"
            if isinstance(event, Ended) and not node.is_child:
                assert event.fate in (Fate.ABORTED, Fate.REFUSED)
                assert not before.unclean
        case _:
            pass


def check_heard(definition: SagaDefinition, before: SagaState, event: Event, after: SagaState) -> None:
    """Nothing that carries a transaction's id is thrown away, be it that nothing has changed."""
    nodes, _ = graph_of(definition, before)
    if isinstance(event, Signalled):
        told = before.signals.get(event.signal)
        if event.output is None or (told is not None and told.token == event.token):
            return
        for name, node in nodes.items():
            step = after.steps[name]
            if node.declared.signal == event.signal and before.steps[name].forward.attempt:
                received = after.signals.get(event.signal)
                known = (received and received.output, step.output, *step.late)
                assert event.output in known or len(step.late) == LATE_OUTPUTS_KEPT, "an answer was lost"
        return
    if not isinstance(event, Succeeded) or event.output is None or event.step not in before.steps:
        return
    node, step = nodes[event.step], after.steps[event.step]
    asks = node.is_child or node.declared.signal is not None
    if not asks and 0 < event.attempt <= before.steps[event.step].forward.attempt:
        assert event.output in (step.output, *step.late) or len(step.late) == LATE_OUTPUTS_KEPT, "an output was lost"


def _check_starts(nodes: Nodes, below: dict[str, set[str]], before: SagaState, event: Event, after: SagaState) -> None:
    """I2, I3, I10: a new claim was open just before, and only what it waits for is behind it."""
    for name, old in before.steps.items():
        node, new = nodes[name], after.steps[name]
        if new is old:
            continue
        for direction in Direction:
            if new.track(direction).attempt == old.track(direction).attempt:
                continue
            assert not before.paused, "nothing begins while it is paused"
            assert old.track(direction).is_open
            assert _has_locks(before, old), "I10"
            if direction is Direction.FORWARD:
                assert before.status is STARTED, "I2"
                assert all(before.steps[other].status in DONE for other in node.after), "I2"
                assert old.decided or not node.is_decided_by_code, "user code has not said that it is to be done"
                _check_was_probed(node, old)
            elif direction is Direction.UNDO:
                assert old.status in UNDOABLE, "I3"
                assert all(is_settled(nodes, before, other) for other in below[name]), "I3"
                assert not old.undone or old.late_undone < len(old.late), "I3: it is undone once"
                if not node.is_child:
                    _check_argument(node, before, after)
            else:
                assert old.unclean or old.late or old.status is StepStatus.UNKNOWN, "there is nothing to find out"
            if not (node.is_child and direction is Direction.UNDO):
                assert isinstance(event, Claimed)
                assert new.track(direction).claim is not None


def _check_was_probed(node: Node, step: StepState) -> None:
    """Before a step is run again after a loss or a timeout, its probe is asked."""
    asks = node.declared.probe is not None and not step.unresolved and not step.late
    assert not (asks and step.unclean and step.forward.reason in UNSURE), "it was not probed"


def _check_argument(node: Node, before: SagaState, after: SagaState) -> None:
    """A compensation is given what is known, and None only if it takes that, and nothing can be found out."""
    step = before.steps[node.name]
    given = undo_payload(after, node.name)
    if step.undone:
        assert given == step.late[step.late_undone]
    elif step.output is not None:
        assert given == step.output
    elif step.late:
        assert given == step.late[0]
    else:
        assert given is None
        assert node.declared.accepts_unknown, "it does not accept an unknown outcome"
        assert node.declared.probe is None or step.unresolved, "it was not probed"
        received = before.signals.get(node.declared.signal or "")
        assert received is None or received.output is None, "the outside has answered"


def _check_pivot(definition: SagaDefinition, before: SagaState, after: SagaState) -> None:
    """I10: there is no way back behind the pivot, unless it certainly was not done."""
    pivot = next((step.name for step in definition.steps if step.pivot), None)
    if pivot is None or not before.committed:
        return
    assert after.committed or after.steps[pivot].status in (StepStatus.FAILED, StepStatus.PENDING, StepStatus.UNKNOWN)
    assert after.committed or after.steps[pivot].forward.claim is None


def _check_locks(before: SagaState, event: Event, after: SagaState) -> None:
    for key, old in before.locks.items():
        new = after.locks[key]
        assert new.term >= old.term
        if new.term == old.term and new.status is not old.status:
            order = list(LockStatus)
            # One that was released is released again, if somebody late has put the saga into the line again.
            is_again = (old.status, new.status) == (LockStatus.RELEASED, LockStatus.RELEASING)
            assert is_again or order.index(new.status) > order.index(old.status), "a term has one life"
            if new.status is LockStatus.HELD:
                assert isinstance(event, LockHeld)
            if old.status is LockStatus.HELD:
                assert after.status in (COMPLETED, COMPENSATED), "a lock is held to the end, and beyond by what failed"
        if new.term > old.term:
            # With nothing to undo it is given up at once.
            assert new.status is (LockStatus.RELEASING if after.status.is_terminal else LockStatus.WANTED)
            assert old.status is not LockStatus.HELD, "what is held is not wanted again"
