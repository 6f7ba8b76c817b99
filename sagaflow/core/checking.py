"""What must hold in every stored state of one saga, and what is wrong with one that breaks it.

``breaches`` looks at a state that somebody has read, and changes nothing. Of the graph it takes only what never changes
while a saga lives (steps, edges, kinds, what can be undone): policies are those of today, and may have been others when
the state was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct

from .definition import SagaDefinition, StepDefinition, StepKind
from .digest import digest_of
from .state import Direction, LockStatus, SagaState, SagaStatus, StepState, StepStatus
from .tracks import is_busy, is_in_motion
from .undo import is_settled, unsettled
from .unfold import unfold
from .work import next_due


class Rule(StrEnum):
    """The rules that a check knows; the values stay as they are, for programs that read them."""

    UNREADABLE = "unreadable"
    """Every saga in a store can be read."""
    CHANGED = "changed-after-its-end"
    """What has ended only changes when it is asked to: it has the digest that it was given."""
    ENDED = "ended-wrongly"
    """A saga that has ended, or turned back, has its steps where that leaves them, and says why."""
    ATTEMPT = "attempt-inconsistent"
    """Attempts only grow, and what is known of a step comes from them."""
    CLAIM = "claim-misplaced"
    """Only what may run is claimed, and one thing of a step at a time."""
    GRAPH = "graph-mismatch"
    """A saga has the steps of the graph that it was started by."""
    EARLY = "opened-too-early"
    """Nothing may begin before what it waits for."""
    MISSED_STEP = "missed-step"
    """A step that may begin is open."""
    MISSED_UNDO = "missed-undo"
    """A compensation that may begin is open."""
    MISSED_END = "missed-end"
    """A saga of which nothing is left to be done has ended."""
    UNATTENDED = "unattended"
    """Somebody will look again at a saga that has something left to be done."""
    OVERDUE = "overdue"
    """Somebody takes up what is due."""
    OWNERLESS_CLAIM = "ownerless-claim"
    """A claim is held by a worker that lives, or has just died."""
    HIDDEN_CLAIM = "hidden-claim"
    """Claims are found by the name of who holds them, so that those of the dead are."""
    ACTIVE_CHILD = "active-child"
    """A saga that has ended well has no child saga that has not."""
    MISSED_CHILD = "missed-child"
    """The child saga that a step waits for is there, and its end is heard of."""
    STALE_LOCK = "stale-lock"
    """Who stands first in the line for a lock runs, or has failed."""
    LOCK_HOLDERS = "lock-holders"
    """A lock has one holder, or one family: the first in its line."""


class Breach(Struct, frozen=True):
    """One rule that a saga breaks, and how; without any payload."""

    rule: Rule
    what: str


_DONE: Final = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
_UNDOABLE: Final = frozenset({StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.COMPENSATING})
_RUNS: Final = {
    Direction.FORWARD: frozenset({StepStatus.STARTED}),
    Direction.UNDO: frozenset({StepStatus.COMPENSATING}),
    Direction.PROBE: frozenset({StepStatus.STARTED, StepStatus.UNKNOWN, StepStatus.COMPENSATING}),
}
"""Where a step stands while it is done, undone, or probed."""
_TURNED: Final = frozenset({SagaStatus.COMPENSATING, SagaStatus.COMPENSATED})
_RUNNING: Final = frozenset({SagaStatus.STARTED, SagaStatus.COMPENSATING})
_SAYS_WHY: Final = 2
"""The version of the stored form from which on a saga that has failed says why."""


def breaches(state: SagaState, definition: SagaDefinition | None) -> list[Breach]:
    """All that is wrong with this state, as far as it shows by itself; ``definition`` is None if nobody has its graph.

    Of a definition only the graph is looked at, as ``read_graph`` gives it.
    """
    found = list(_of_the_saga(state))
    for name, step in state.steps.items():
        found += _of_the_attempts(state, name, step)
    if state.status in _RUNNING and not any(map(is_in_motion, state.steps.values())):
        found.append(
            Breach(Rule.MISSED_END, f"it is {state.status}, and nothing of it runs, is open, or is waited for")
        )
    if definition is None:
        return found
    graph = _unfolded(definition, state)
    if graph is None:
        return [*found, Breach(Rule.GRAPH, f"its steps are not those of its graph {state.fingerprint}")]
    return [*found, *_of_the_end(graph, state), *_forward(graph, state), *_back(graph, state)]


def unattended(state: SagaState, definition: SagaDefinition | None) -> Breach | None:
    """What is wrong with a saga that no store finds due, and that nobody has a claim on; None if it may rest."""
    graph = _unfolded(definition, state)
    if graph is not None and next_due(graph, state) is not None:
        return Breach(Rule.UNATTENDED, "something of it is to be done, and it is never due")
    waits = any(step.is_waiting and (step.linked or step.child is None) for step in state.steps.values())
    blocked = any(lock.status is LockStatus.WANTED and lock.holder is not None for lock in state.locks.values())
    if state.status.is_terminal or state.paused or waits or blocked:
        return None
    return Breach(Rule.UNATTENDED, f"it is {state.status}, never due, claimed by nobody, and waits for nothing")


def _unfolded(definition: SagaDefinition | None, state: SagaState) -> SagaDefinition | None:
    """The graph that the saga runs by; None if nobody has it, or it is not that of this saga."""
    if definition is None or any(step.name not in state.steps for step in definition):
        return None
    if any((state.steps[name].size or 0) > len(state.steps) for name in definition.each):
        return None  # it would be unfolded into more steps than there are
    unfolded = unfold(definition, state)
    return unfolded if state.steps.keys() == {step.name for step in unfolded} else None


# ---------------------------------------------------------------------------------------- the saga by itself


def _of_the_saga(state: SagaState) -> Iterator[Breach]:
    if state.digest is not None and not state.status.is_terminal:
        yield Breach(Rule.CHANGED, f"it had ended, and is {state.status} without having been asked to go on")
    elif state.digest not in (None, digest_of(state)):
        yield Breach(Rule.CHANGED, f"it was {state.status}, and was changed by something that is no engine")
    if state.status.is_terminal is (state.completed_at is None):
        yield Breach(
            Rule.ENDED, f"it is {state.status}, and has {'no' if state.status.is_terminal else 'a'} time of its end"
        )
    if state.schema >= _SAYS_WHY and (state.status is SagaStatus.FAILED) is (state.failure is None):
        yield Breach(
            Rule.ENDED, f"it is {state.status}, and {'does not say' if state.failure is None else 'says'} why it failed"
        )
    if state.status in _TURNED and not state.reason:
        yield Breach(Rule.ENDED, f"it is {state.status}, and does not say why it turned back")
    if state.committed and state.status in _TURNED:
        yield Breach(Rule.ENDED, f"it is {state.status}, and its pivot has begun: there was no way back")


def _of_the_attempts(state: SagaState, name: str, step: StepState) -> Iterator[Breach]:
    claims = 0
    for direction, track in zip(Direction, step.tracks, strict=True):
        if track.attempt < track.tries + track.losses:
            what = f"{track.attempt} attempts, of which {track.tries} failed and {track.losses} were lost"
            yield Breach(Rule.ATTEMPT, f"step {name!r} has {what} ({direction})")
        if track.claim is None and not (state.status.is_terminal and track.due is not None):
            continue
        if state.status.is_terminal:
            yield Breach(Rule.ENDED, f"it is {state.status}, and step {name!r} is open, or claimed ({direction})")
        if track.claim is None:
            continue
        claims += 1
        if track.due is not None or track.attempt < 1:
            yield Breach(Rule.CLAIM, f"step {name!r} is claimed, and open or never begun ({direction})")
        if step.status not in _RUNS[direction]:
            yield Breach(Rule.CLAIM, f"step {name!r} is {step.status}, and claimed ({direction})")
        if not _has_locks(state, step):
            yield Breach(Rule.CLAIM, f"step {name!r} is claimed without the lock that it needs ({direction})")
    if claims > 1:
        yield Breach(Rule.CLAIM, f"step {name!r} is claimed {claims} times")
    if step.late_undone > len(step.late) or (step.undoing is not None and step.undoing >= len(step.late)):
        yield Breach(Rule.ATTEMPT, f"step {name!r} has undone more late outputs than have come")


def _has_locks(state: SagaState, step: StepState) -> bool:
    return all(
        key in state.locks and state.locks[key].status is LockStatus.HELD
        for key in (state.lock, step.lock)
        if key is not None
    )


# ---------------------------------------------------------------------------------------- the saga and its graph


def _of_the_end(definition: SagaDefinition, state: SagaState) -> Iterator[Breach]:
    for declared in definition:
        name, step = declared.name, state.steps[declared.name]
        if state.status is SagaStatus.COMPLETED and step.status not in _DONE:
            yield Breach(Rule.ENDED, f"it is completed, and step {name!r} is {step.status}")
        if state.status is SagaStatus.COMPENSATED and not is_settled(declared, step):
            yield Breach(Rule.ENDED, f"it is compensated, and step {name!r} is {step.status}")
        if step.status is not StepStatus.COMPLETED or declared.kind is StepKind.JOIN:
            continue
        if step.output is None or step.forward.ended_at is None:
            yield Breach(Rule.ATTEMPT, f"step {name!r} is completed, without an output or without a time")
        elif step.forward.attempt == 0:
            yield Breach(Rule.ATTEMPT, f"step {name!r} is completed, and has never begun")


def _forward(definition: SagaDefinition, state: SagaState) -> Iterator[Breach]:
    """What may begin is open, and nothing else."""
    busy = _busy(definition, state, is_in_motion)
    for declared in definition:
        name, step = declared.name, state.steps[declared.name]
        ready = all(state.steps[other].status in _DONE for other in declared.after)
        if step.forward.due is not None and not (ready and state.status is SagaStatus.STARTED):
            yield Breach(Rule.EARLY, f"step {name!r} is open, and what it waits for is not done")
        if state.status is not SagaStatus.STARTED or is_in_motion(step) or _may_wait(declared, busy):
            continue
        if step.status is StepStatus.STARTED or (step.status is StepStatus.PENDING and ready):
            yield Breach(Rule.MISSED_STEP, f"step {name!r} is {step.status}, may begin, and is not open")


def _back(definition: SagaDefinition, state: SagaState) -> Iterator[Breach]:
    """What may be undone is open, and nothing else."""
    busy = _busy(definition, state, lambda step: is_busy(step.undo))
    held_back = _held_back(definition, state)
    for declared in definition:
        name, step = declared.name, state.steps[declared.name]
        if step.undo.due is not None and (name in held_back or state.status is not SagaStatus.COMPENSATING):
            yield Breach(
                Rule.EARLY, f"the compensation of step {name!r} is open, and what depends on it is not settled"
            )
        if state.status is not SagaStatus.COMPENSATING or state.overdue or name in held_back:
            continue
        can_be = declared.is_undoable and step.status in _UNDOABLE and _is_known(declared, step)
        if can_be and not is_in_motion(step) and not _may_wait(declared, busy):
            yield Breach(Rule.MISSED_UNDO, f"the compensation of step {name!r} may begin, and is not open")


def _is_known(declared: StepDefinition, step: StepState) -> bool:
    """Whether there is something that the compensation is certainly given, whatever it accepts."""
    if step.undone:
        return step.late_undone < len(step.late)
    return declared.kind is StepKind.CHILD or step.output is not None or bool(step.late)


def _held_back(definition: SagaDefinition, state: SagaState) -> set[str]:
    """The steps that something depends on, directly or not, of which something is left."""
    left = unsettled(definition, state)
    held_back: set[str] = set()
    for declared in reversed(definition.steps):
        if declared.name in left or declared.name in held_back:
            held_back.update(declared.after)
    return held_back


def _busy(definition: SagaDefinition, state: SagaState, is_taken: Callable[[StepState], bool]) -> frozenset[str]:
    """The lists of which an element is being worked on."""
    return frozenset(
        declared.element[0]
        for declared in definition
        if declared.element is not None and is_taken(state.steps[declared.name])
    )


def _may_wait(declared: StepDefinition, busy: Container[str]) -> bool:
    """Whether it may wait for a place beside other elements: how many places there are is a policy; there is one."""
    return declared.element is not None and declared.element[0] in busy
