"""What a saga must look like, told from nothing but its definition and what happened to it.

A ``Ledger`` writes down who claimed what and how it ended, and says what follows: the status, what is open, what a
compensation is given. It shares no code with the core and keeps no conclusions, only facts: every answer is worked
out afresh from the whole history. Graphs are closed here again, from the raw ``after`` edges.

It knows plain steps, conditions (``when``), delays, a pivot, pauses, retries and deadlines. Of what else a saga can
have (``UNKNOWN_TO_LEDGERS``) it knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from sagaflow.core.definition import SagaDefinition, StepDefinition
from sagaflow.core.events import (
    CancellationRequested,
    Claimed,
    CompensationRequested,
    Decided,
    Ended,
    Event,
    Fate,
    PauseRequested,
    Released,
    ResumeRequested,
    Succeeded,
    Ticked,
    Undecidable,
    WorkerLost,
)
from sagaflow.core.retry import Retry
from sagaflow.core.state import Direction, SagaStatus, StepStatus
from sagaflow.testing.definitions import EVERYTHING, Feature

FORWARD, UNDO = Direction.FORWARD, Direction.UNDO

Slot = tuple[str, Direction]
"""A step, forward or back: what can be open, and is run at most once at a time."""

KNOWN_TO_LEDGERS = Feature.WHEN | Feature.DELAY | Feature.PIVOT | Feature.ENDLESS | Feature.CANCEL_SIBLINGS
UNKNOWN_TO_LEDGERS = EVERYTHING & ~KNOWN_TO_LEDGERS

LOSSES_ALLOWED = 5
LATE_OUTPUTS_KEPT = 16


class End(Enum):
    """How an attempt ended that did not end in a fate."""

    SUCCEEDED = "succeeded"
    LOST = "lost"
    RELEASED = "released"
    INTERRUPTED = "interrupted"


AGAIN = {Fate.RETRYABLE, Fate.TIMED_OUT}
"""After these the policy has its say."""

CLEAN = {Fate.ABORTED, Fate.REFUSED, End.RELEASED}
"""After these nothing can be left behind."""


@dataclass
class Attempt:
    owner: str
    end: End | Fate | None = None


@dataclass
class History:
    """The facts about one step."""

    declared: StepDefinition
    attempts: dict[Direction, list[Attempt]] = field(default_factory=lambda: {FORWARD: [], UNDO: []})
    outputs: list[str] = field(default_factory=list)
    """All that are known, without repetition: that of the attempt that completed it, then late ones as they came."""
    recorded: str | None = None
    undone: list[str | None] = field(default_factory=list)
    """What its successful compensations were given."""
    given: str | None = None
    """What the latest compensation was given."""
    first_error: dict[Direction, str] = field(default_factory=dict)
    decided: bool | None = None
    """What its condition has come to; None if nobody has said so."""
    undecidable: bool = False

    @property
    def skipped(self) -> bool:
        return self.decided is False

    def running(self, direction: Direction) -> bool:
        attempts = self.attempts[direction]
        return bool(attempts) and attempts[-1].end is None

    @property
    def done(self) -> bool:
        return self.skipped or any(attempt.end is End.SUCCEEDED for attempt in self.attempts[FORWARD])

    @property
    def may_have_happened(self) -> bool:
        unclean = any(attempt.end is not None and attempt.end not in CLEAN for attempt in self.attempts[FORWARD])
        return unclean or bool(self.outputs)

    @property
    def broken(self) -> bool:
        return not self.done and (self.undecidable or _exhausted(self.attempts[FORWARD], self.declared.retry))

    @property
    def given_up(self) -> bool:
        """Its compensation is: each undo that succeeds brings a new budget for the next."""
        attempts = self.attempts[UNDO]
        successes = [place for place, attempt in enumerate(attempts) if attempt.end is End.SUCCEEDED]
        since = successes[-1] + 1 if successes else 0
        return _exhausted(attempts[since:], self.declared.compensation_retry)

    @property
    def to_undo(self) -> bool:
        if self.declared.compensation is None or not self.may_have_happened or self.running(FORWARD):
            return False
        return not self.undone or any(output not in self.undone for output in self.outputs)

    @property
    def argument(self) -> str | None:
        """What its next compensation is to be given; None for an unknown outcome."""
        return next((output for output in self.outputs if output not in self.undone), None)

    @property
    def can_be_undone(self) -> bool:
        return self.to_undo and (self.argument is not None or self.declared.accepts_unknown)

    @property
    def settled(self) -> bool:
        return not (self.running(FORWARD) or self.to_undo or self.given_up)

    def status(self, turned: bool) -> StepStatus:
        if self.skipped:
            return StepStatus.SKIPPED
        if self.given_up:
            return StepStatus.COMPENSATION_FAILED
        if self.attempts[UNDO]:
            return StepStatus.COMPENSATING if self.to_undo else StepStatus.COMPENSATED
        if self.done:
            return StepStatus.COMPLETED
        if self.running(FORWARD):
            return StepStatus.STARTED
        if self.may_have_happened:
            return StepStatus.UNKNOWN if turned or self.broken else StepStatus.STARTED
        return StepStatus.FAILED if self.broken else StepStatus.PENDING


def _exhausted(attempts: Iterable[Attempt], policy: Retry) -> bool:
    ends = [attempt.end for attempt in attempts]
    fates = [end for end in ends if isinstance(end, Fate)]
    return (
        any(fate not in AGAIN for fate in fates)
        or (policy.attempts is not None and len(fates) >= policy.attempts)
        or ends.count(End.LOST) >= LOSSES_ALLOWED
    )


class Ledger:
    """The history of one saga, and what follows from it."""

    def __init__(self, definition: SagaDefinition, at: float, start_at: float | None) -> None:
        self.histories = {step.name: History(step) for step in definition}
        self.ancestors = _closed({step.name: step.after for step in definition})
        self.dependents = {
            name: {other for other, above in self.ancestors.items() if name in above} for name in self.histories
        }
        self.start_at = start_at if start_at is not None and start_at > at else None
        begins = at if self.start_at is None else self.start_at
        self.deadline_at = begins + definition.deadline.total_seconds() if definition.deadline else None
        self.scheduled = self.start_at is not None
        self.turned = False
        self.failed = False
        self.paused = False
        self.overdue = False
        self.dues: dict[Slot, tuple[float, float]] = {}
        """Of each open slot: the earliest and the latest moment at which it may become claimable."""
        self._conclude(at)

    # ------------------------------------------------------------------ what follows

    @property
    def status(self) -> SagaStatus:
        histories = self.histories.values()
        if self.failed:
            return SagaStatus.FAILED
        if self.scheduled:
            return SagaStatus.SCHEDULED
        in_motion = bool(self.running() or self._open())
        if not self.turned:
            if all(step.done for step in histories):
                return SagaStatus.COMPLETED
            broken = any(step.broken for step in histories)
            return SagaStatus.FAILED if broken and not in_motion else SagaStatus.STARTED
        if in_motion:
            return SagaStatus.COMPENSATING
        return SagaStatus.COMPENSATED if all(step.settled for step in histories) else SagaStatus.FAILED

    @property
    def committed(self) -> bool:
        """Whether there is no way back: the pivot has begun, and it is not certain that nothing of it has happened."""
        pivots = [step for step in self.histories.values() if step.declared.pivot]
        return not self.turned and any(step.running(FORWARD) or step.may_have_happened for step in pivots)

    def running(self) -> dict[Slot, str]:
        """Who runs what."""
        return {
            (name, direction): attempts[-1].owner
            for name, step in self.histories.items()
            for direction, attempts in step.attempts.items()
            if step.running(direction)
        }

    def open(self) -> set[Slot]:
        return set() if self.paused else self._open()

    def _open(self) -> set[Slot]:
        if self.failed or self.scheduled:
            return set()
        if self.turned:
            return {
                (name, UNDO)
                for name, step in self.histories.items()
                if step.can_be_undone and not step.running(UNDO) and not step.given_up
                if all(self.histories[other].settled for other in self.dependents[name])
            }
        return {
            (name, FORWARD)
            for name, step in self.histories.items()
            if not step.done and not step.broken and not step.running(FORWARD)
            if all(self.histories[other].done for other in self.ancestors[name])
        }

    def is_claimable(self, slot: Slot, at: float) -> bool | None:
        """None if jitter alone decides."""
        name, direction = slot
        if slot not in self.dues or self.paused:
            return False
        step = self.histories[name]
        if direction is FORWARD and step.declared.when is not None and step.decided is None:
            return False
        earliest, latest = self.dues[slot]
        return True if at >= latest else False if at < earliest else None

    # ------------------------------------------------------------------ what happens

    def observe(self, event: Event, changed: bool) -> None:
        """Write ``event`` down, which did or did not change the saga; it must have, or not, by what was known."""
        expected = self._effect(event, changed)
        assert changed is expected, f"{event} {'changed' if changed else 'did not change'} the saga"
        self._conclude(event.at)

    def _effect(self, event: Event, changed: bool) -> bool:
        match event:
            case Claimed():
                return self._claimed(event, changed)
            case Succeeded() | Ended() | Released():
                return self._ended(event)
            case WorkerLost():
                slots = [slot for slot, owner in self.running().items() if owner == event.owner]
                for name, direction in slots:
                    self.histories[name].attempts[direction][-1].end = End.LOST
                return bool(slots)
            case Ticked():
                return self._ticked(event.at)
            case Decided() | Undecidable():
                return self._decided(event)
            case PauseRequested():
                changes = not self.paused and not self.status.is_terminal
                self.paused = self.paused or changes
                return changes
            case ResumeRequested():
                changes, self.paused = self.paused, False
                return changes
            case CompensationRequested():
                return self._turn({SagaStatus.SCHEDULED, SagaStatus.STARTED, SagaStatus.COMPLETED})
            case CancellationRequested():
                return self._turn({SagaStatus.SCHEDULED, SagaStatus.STARTED})
            case _:
                return False  # it is about something that this saga does not have

    def _decided(self, event: Decided | Undecidable) -> bool:
        step = self.histories.get(event.step)
        if step is None or step.declared.when is None or step.decided is not None or self.paused:
            return False
        earliest, _ = self.dues.get((event.step, FORWARD), (float("inf"), 0.0))
        if event.at < earliest:
            return False
        if isinstance(event, Undecidable):
            step.undecidable = True
            step.first_error[FORWARD] = event.error
        else:
            step.decided = event.proceed
        return True

    def _claimed(self, event: Claimed, changed: bool) -> bool:
        slot = (event.step, event.direction)
        claimable = self.is_claimable(slot, event.at)
        if claimable is False or not changed:
            return claimable is True
        step = self.histories[event.step]
        step.attempts[event.direction].append(Attempt(event.owner))
        if event.direction is UNDO:
            step.given = step.argument
        return True

    def _ended(self, event: Succeeded | Ended | Released) -> bool:
        step = self.histories.get(event.step)
        if step is None:
            return False
        attempts = step.attempts.get(event.direction, [])
        if event.attempt != len(attempts) or not step.running(event.direction):
            return isinstance(event, Succeeded) and self._late(step, event)
        if isinstance(event, Released):
            attempts[-1].end = End.INTERRUPTED if event.begun else End.RELEASED
        elif isinstance(event, Ended):
            attempts[-1].end = event.fate
            step.first_error.setdefault(event.direction, event.error)
            self._wait(step, event)
        else:
            attempts[-1].end = End.SUCCEEDED
            if event.direction is UNDO:
                step.undone.append(step.given)
            else:
                assert event.output is not None
                step.recorded = event.output
                step.outputs = [event.output, *(late for late in step.outputs if late != event.output)]
        return True

    def _late(self, step: History, event: Succeeded) -> bool:
        if event.output is None or event.output in step.outputs:
            return False
        late = len(step.outputs) - (step.recorded is not None)
        if not 0 < event.attempt <= len(step.attempts[FORWARD]) or late >= LATE_OUTPUTS_KEPT:
            return False
        step.outputs.append(event.output)
        return True

    def _wait(self, step: History, event: Ended) -> None:
        """A retry is claimable after the wait that was asked for, or within the one that the policy draws from."""
        if event.after is not None:
            shortest = longest = event.after
        else:
            policy = step.declared.retry if event.direction is FORWARD else step.declared.compensation_retry
            attempts = step.attempts[event.direction]
            since = max((place for place, past in enumerate(attempts) if past.end is End.SUCCEEDED), default=-1)
            tries = sum(isinstance(attempt.end, Fate) for attempt in attempts[since + 1 :])
            longest = policy.backoff.total_seconds() * policy.factor ** (tries - 1)
            longest = min(longest, policy.max_delay.total_seconds())
            shortest = 0.0 if policy.jitter else longest
        self.dues[event.step, event.direction] = (event.at + shortest, event.at + longest)

    def _ticked(self, at: float) -> bool:
        if self.paused:
            return False
        began = self.scheduled and self.start_at is not None and at >= self.start_at
        if began:
            self.scheduled = False
        passed = self.deadline_at is not None and at >= self.deadline_at and self.status is SagaStatus.STARTED
        if passed and self.committed:
            noticed, self.overdue = not self.overdue, True
            return began or noticed
        return (passed and self._turn({SagaStatus.STARTED})) or began

    def _turn(self, from_statuses: set[SagaStatus]) -> bool:
        if self.status not in from_statuses or self.committed:
            return False
        self.turned, self.scheduled = True, False
        return True

    def _conclude(self, at: float) -> None:
        if any(step.broken for step in self.histories.values()) and not self.committed:
            self.turned = True
        if not self.committed:
            self.overdue = False
        # Only an operator brings a failed saga back: whatever comes later, it stays so.
        self.failed = self.status is SagaStatus.FAILED
        self.dues = {slot: self.dues.get(slot, self._from(slot, at)) for slot in self._open()}

    def _from(self, slot: Slot, at: float) -> tuple[float, float]:
        name, direction = slot
        step = self.histories[name]
        if direction is FORWARD and not step.attempts[FORWARD]:
            at += step.declared.delay.total_seconds()
        return at, at


def _closed(edges: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """All that each step waits for, directly or through others (Warshall)."""
    closed = {name: set(after) for name, after in edges.items()}
    for middle, beyond in closed.items():
        for ancestors in closed.values():
            if middle in ancestors:
                ancestors.update(beyond)
    return closed
