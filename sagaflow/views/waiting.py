"""What comes next in one saga, and why it has not come yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from ..core.definition import SagaDefinition, StepDefinition, StepKind
from ..core.locks import gate_is_open
from ..core.retry import Retry
from ..core.state import Direction, LockStatus, SagaState, SagaStatus, StepState, StepStatus, Track
from ..core.undo import is_settled, is_to_undo
from ..core.unfold import unfold
from ..core.work import open_work
from ..record import SagaRecord
from ..step_record import time_or_none
from .graph import definition_of
from .wording import listed, ordinal, span


class WaitsFor(StrEnum):
    """What has to come about."""

    NOTHING = "nothing"
    PERSON = "person"
    START = "start"
    ATTEMPT = "attempt"
    """An attempt that runs comes to its end."""
    WORKER = "worker"
    TIME = "time"
    STEPS = "steps"
    PLACE = "place"
    """Of a list with ``at_once=``."""
    LOCK = "lock"
    CHILD = "child"
    OUTSIDE = "outside"
    DEADLINE = "deadline"


class Wait(Struct, frozen=True):
    """One thing that is waited for.

    Attributes:
        waits_for: what, to be compared.
        text: who waits for what, and why, in one line.
        step: which step waits; None if it is the whole saga.
        until: when it comes, or is given up, where that is known; UTC.
    """

    waits_for: WaitsFor
    text: str
    step: str | None = None
    until: datetime | None = None


Lines = Mapping[str, Sequence[str]]
"""For the key of a lock, the sagas that stand in its line, the holder first."""

_DONE: Final = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})


def waits(record: SagaRecord[Any], now: datetime, *, lines: Lines | None = None) -> tuple[Wait, ...]:
    """What comes next, and what it waits for: what concerns all of the saga first, then its steps in order.

    Args:
        record: the saga. If this process does not know its class, nothing is said of the order of its steps.
        now: the time, by which "in 12 s" is counted.
        lines: who stands in line for locks, where that is known.

    Example:
        >>> from datetime import UTC
        >>> def what_is_next(record: SagaRecord[Any]) -> list[str]:
        ...     return [wait.text for wait in waits(record, datetime.now(UTC))]
    """
    return tuple(_Moment(record, now, lines or {}).waits())


class _Moment:
    def __init__(self, record: SagaRecord[Any], now: datetime, lines: Lines) -> None:
        self._record = record
        self._state: SagaState = record.state
        self._now = now.timestamp()
        self._lines = lines
        definition = definition_of(record)
        self._plan: SagaDefinition = unfold(definition, self._state)
        self._undecided = {work.step for work in open_work(definition, self._state) if not work.is_decided}

    def waits(self) -> Iterator[Wait]:
        state = self._state
        match state.status:
            case SagaStatus.COMPLETED | SagaStatus.COMPENSATED:
                yield Wait(WaitsFor.NOTHING, f"nothing: it is {state.status}")
                return
            case SagaStatus.FAILED:
                yield Wait(WaitsFor.PERSON, f"somebody must look at it: {state.why}")
                return
            case SagaStatus.SCHEDULED:
                yield from self._at(WaitsFor.START, "it begins {}", state.start_at)
            case _:
                pass
        if state.paused:
            yield self._paused()
        yield from self._saga_lock()
        for declared in self._plan:
            yield from self._step(declared, state.steps[declared.name])
        yield from self._deadline()

    # ------------------------------------------------------------------ the saga

    def _paused(self) -> Wait:
        act = next((act for act in reversed(self._state.acts) if act.what == "pause"), None)
        by = f" by {act.by} because {act.reason}" if act is not None else ""
        return Wait(WaitsFor.PERSON, f"paused{by}; it begins nothing until somebody resumes it")

    def _saga_lock(self) -> Iterator[Wait]:
        key = self._state.lock
        if key is not None and self._is_wanted(key) and self._state.status is not SagaStatus.SCHEDULED:
            yield Wait(WaitsFor.LOCK, f"the saga waits for {self._line(key)}")

    def _deadline(self) -> Iterator[Wait]:
        state = self._state
        if state.overdue or state.paused:
            return
        if state.status is SagaStatus.COMPENSATING:
            yield from self._at(WaitsFor.DEADLINE, "what is not undone {} is left to a person", state.undo_deadline_at)
        elif state.status is SagaStatus.STARTED and not state.committed:
            yield from self._at(WaitsFor.DEADLINE, "it is compensated {} unless it has ended", state.deadline_at)

    # ------------------------------------------------------------------ steps

    def _step(self, declared: StepDefinition, step: StepState) -> Iterator[Wait]:
        found = [
            wait for direction in Direction for wait in self._track(declared, step, direction, step.track(direction))
        ]
        if not found and step.is_waiting:
            found = [self._elsewhere(declared, step)]
        if not found and self._state.status is SagaStatus.STARTED and step.status is StepStatus.PENDING:
            found = list(self._forward(declared))
        if not found and self._state.status is SagaStatus.COMPENSATING and is_to_undo(declared, step):
            found = list(self._back(declared))
        yield from found

    def _track(self, declared: StepDefinition, step: StepState, direction: Direction, track: Track) -> Iterator[Wait]:
        what = _named(declared, direction)
        policy = declared.retry if direction is Direction.FORWARD else declared.compensation_retry
        if track.claim is not None:
            since = span(self._now - track.claim.since)
            text = f"{what} runs, since {since} ({_attempt(track.attempt, policy)})"
            yield Wait(WaitsFor.ATTEMPT, text, declared.name)
            return
        if track.due is None or self._state.paused:
            return
        if not gate_is_open(self._state, step):
            if step.lock is not None and self._is_wanted(step.lock):
                yield Wait(WaitsFor.LOCK, f"{what} waits for {self._line(step.lock)}", declared.name)
        elif track.due > self._now:
            text = f"{what} begins {{}}"
            if track.tries:
                text = f"{what} is tried again {{}} ({_attempt(track.tries + 1, policy)})"
            yield from self._at(WaitsFor.TIME, text, track.due, declared.name)
        elif declared.kind is StepKind.CHILD and direction is Direction.UNDO:
            yield Wait(WaitsFor.WORKER, f"{what} is about to be asked for", declared.name)
        else:
            doing = f"whether {what} is done" if declared.name in self._undecided else what
            text = f"{doing} waits for a worker of queue {declared.queue!r}, since {span(self._now - track.due)}"
            yield Wait(WaitsFor.WORKER, text, declared.name)

    def _elsewhere(self, declared: StepDefinition, step: StepState) -> Wait:
        what = f"step {declared.name!r}"
        if declared.kind is StepKind.CHILD or step.child is not None:
            child = self._record.children.get(declared.name)
            stands = f", which is {child.status}" if child is not None else ""
            undo = " to undo itself" if step.undo_asked else ""
            text = f"{what} waits for saga {self._record.steps[declared.name].id!r}{undo}{stands}"
            return Wait(WaitsFor.CHILD, text, declared.name)
        text = f"{what} waits for an answer from outside"
        if step.wait_until is not None:
            text += f"; it is given up {self._when(step.wait_until)}"
        return Wait(WaitsFor.OUTSIDE, text, declared.name, time_or_none(step.wait_until))

    def _forward(self, declared: StepDefinition) -> Iterator[Wait]:
        missing = [name for name in declared.after if self._state.steps[name].status not in _DONE]
        what = f"step {declared.name!r}"
        if missing:
            yield Wait(WaitsFor.STEPS, f"{what} waits for {listed(missing)}", declared.name)
        elif self._record.definition is None:
            yield Wait(WaitsFor.STEPS, f"{what} has not begun", declared.name)
        elif declared.at_once is not None and self._state.steps[declared.name].forward.due is None:
            yield Wait(WaitsFor.PLACE, f"{what} waits for its turn: {declared.at_once} at a time", declared.name)

    def _back(self, declared: StepDefinition) -> Iterator[Wait]:
        below = self._plan.dependents(declared.name)
        left = [one.name for one in self._plan if one.name in below]
        left = [name for name in left if not is_settled(self._plan[name], self._state.steps[name])]
        what = _named(declared, Direction.UNDO)
        if left:
            yield Wait(WaitsFor.STEPS, f"{what} waits until {listed(left)} {_are(left)} settled", declared.name)
        elif declared.at_once is not None:
            yield Wait(WaitsFor.PLACE, f"{what} waits for its turn: {declared.at_once} at a time", declared.name)

    # ------------------------------------------------------------------ words

    def _at(self, what: WaitsFor, text: str, at: float | None, step: str | None = None) -> Iterator[Wait]:
        if at is not None:
            yield Wait(what, text.format(self._when(at)), step, time_or_none(at))

    def _when(self, at: float) -> str:
        return f"in {span(at - self._now)}" if at > self._now else "now"

    def _is_wanted(self, key: str) -> bool:
        lock = self._state.locks.get(key)
        return lock is not None and lock.status is LockStatus.WANTED

    def _line(self, key: str) -> str:
        line, holder = list(self._lines.get(key, ())), self._state.locks[key].holder
        found = [f"lock {key!r}"]
        if self._state.id in line[1:]:
            found.append(f"{ordinal(line.index(self._state.id) + 1)} in line")
        holder = line[0] if line and line[0] != self._state.id else holder
        found += [f"held by saga {holder!r}"] if holder is not None else []
        return ", ".join(found)


def _named(declared: StepDefinition, direction: Direction) -> str:
    match direction:
        case Direction.FORWARD:
            return f"step {declared.name!r}"
        case Direction.PROBE:
            return f"probe {declared.probe!r} of step {declared.name!r}"
        case Direction.UNDO if declared.compensation is None:
            return f"the undo of step {declared.name!r}"
        case _:
            return f"compensation {declared.compensation!r} of step {declared.name!r}"


def _attempt(number: int, policy: Retry) -> str:
    return f"attempt {number} of {policy.attempts}" if policy.attempts is not None else f"attempt {number}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
