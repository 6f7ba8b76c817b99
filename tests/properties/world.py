"""A small world in which one saga lives: workers that claim, die and come back as zombies, and requests at any time.

A history is a list of drawn ``Move``s. Each says roughly what should happen and leaves to the world which of the
possible things it is, so that every list of moves makes sense and shrinks to a short one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from hypothesis import strategies as st

from sagaflow.core.decide import decide, fold, new_saga
from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import (
    CancellationRequested,
    Claimed,
    CompensationRequested,
    Ended,
    Event,
    Fate,
    Released,
    Succeeded,
    Ticked,
    WorkerLost,
)
from sagaflow.core.state import Direction, SagaState
from sagaflow.core.work import next_due, open_work, undo_payload
from tests.properties.invariants import check_change, check_state
from tests.properties.ledger import Ledger

WORKERS = 3
FATES = tuple(Fate)


class Kind(Enum):
    """What a move is about; simple things first, which is what examples shrink to."""

    CLAIM = auto()
    SUCCEED = auto()
    END = auto()
    LOSE = auto()
    ZOMBIE = auto()
    RELEASE = auto()
    COMPENSATE = auto()
    CANCEL = auto()
    WAIT = auto()
    CLAIM_ANYTHING = auto()
    REPLAY = auto()
    NONSENSE = auto()


@dataclass(frozen=True)
class Move:
    kind: Kind
    which: int
    how: int
    held: bool
    """Whether its event waits and is folded together with the next ones."""


# Work is drawn more often than trouble, and requests seldom, so that sagas get somewhere.
_WEIGHTS = {
    Kind.CLAIM: 12,
    Kind.SUCCEED: 9,
    Kind.END: 3,
    Kind.LOSE: 2,
    Kind.ZOMBIE: 4,
    Kind.RELEASE: 1,
    Kind.COMPENSATE: 1,
    Kind.CANCEL: 1,
    Kind.WAIT: 2,
    Kind.CLAIM_ANYTHING: 1,
    Kind.REPLAY: 2,
    Kind.NONSENSE: 1,
}
_KINDS = [kind for kind, weight in _WEIGHTS.items() for _ in range(weight)]

MOVES = st.builds(
    Move, st.sampled_from(_KINDS), st.integers(0, 59), st.integers(0, 11), st.sampled_from([False, False, False, True])
)


@dataclass(frozen=True)
class Handler:
    """One attempt that runs somewhere, whether or not the saga still waits for it."""

    step: str
    direction: Direction
    attempt: int
    owner: str


class World:
    """One saga and all that happens around it; every change is checked as it is made."""

    def __init__(self, definition: SagaDefinition, start_at: float | None = None) -> None:
        self.definition = definition
        self.now = 1_000.0
        self.state = new_saga(definition, "saga-1", "{}", self.now, start_at)
        self.ledger = Ledger(definition, self.now, start_at)
        self.log: list[Event] = []
        self.held: list[Event] = []
        self.workers = [f"w{number}.0" for number in range(WORKERS)]
        self.dead: list[str] = []
        self.running: list[Handler] = []
        self.zombies: list[Handler] = []
        check_state(definition, self.state)
        self._agree()

    # ------------------------------------------------------------------ moves

    def play(self, moves: Iterable[Move]) -> None:
        for move in moves:
            event = self._event(move)
            if event is not None:
                self.held.append(event)
                if not move.held:
                    self.flush()
        self.flush()

    def _event(self, move: Move) -> Event | None:
        if move.kind in (Kind.SUCCEED, Kind.END, Kind.RELEASE, Kind.ZOMBIE):
            return self._report(move)
        match move.kind:
            case Kind.CLAIM | Kind.CLAIM_ANYTHING:
                return self._claim(move)
            case Kind.LOSE:
                return self._lose(move.how % WORKERS)
            case Kind.REPLAY if self.log:
                return self.log[move.which % len(self.log)]
            case Kind.WAIT:
                self.now += float(move.how) * 0.25 if move.which % 2 else float(move.how) * 60.0
                return Ticked(self.now)
            case Kind.COMPENSATE if move.which % 4 == 0:
                return CompensationRequested(f"request {move.which}", self.now)
            case Kind.CANCEL if move.which % 4 == 0:
                return CancellationRequested(f"request {move.which}", self.now)
            case Kind.NONSENSE:
                return self._nonsense(move)
        return None

    def _claim(self, move: Move) -> Claimed | None:
        slots = [(step.name, direction) for step in self.definition for direction in Direction]
        if move.kind is Kind.CLAIM:
            slots = [(work.step, work.direction) for work in open_work(self.definition, self.state)]
        if not slots:
            return None
        step, direction = slots[move.which % len(slots)]
        return Claimed(step, direction, self.workers[move.how % WORKERS], self.now)

    def _report(self, move: Move) -> Event | None:
        handlers = self.zombies if move.kind is Kind.ZOMBIE else self.running
        if not handlers:
            return None
        handler = handlers[move.which % len(handlers)]
        if move.kind is Kind.RELEASE:
            return Released(handler.step, handler.direction, handler.attempt, self.now)
        if move.kind is Kind.END or (move.kind is Kind.ZOMBIE and move.how % 4 == 3):
            return self._failure(handler, move.how)
        return self._success(handler, move.how)

    def _success(self, handler: Handler, how: int) -> Succeeded:
        # Few different outputs, so that a late one is often equal to an earlier one.
        output = f"{handler.step}-{how % 3}" if handler.direction is Direction.FORWARD else None
        return Succeeded(handler.step, handler.direction, handler.attempt, output, self.now)

    def _failure(self, handler: Handler, how: int) -> Ended:
        # Half of the ways are retryable, half of these say themselves when.
        fate = FATES[how] if how < len(FATES) else Fate.RETRYABLE
        after = float(how) if fate is Fate.RETRYABLE and how % 2 else None
        error = f"error {len(self.log)}"
        return Ended(handler.step, handler.direction, handler.attempt, fate, error, self.now, after)

    def _lose(self, number: int) -> WorkerLost:
        lost = self.workers[number]
        self.dead.append(lost)
        self.workers[number] = f"w{number}.{len(self.dead)}"
        return WorkerLost(lost, self.now)

    def _nonsense(self, move: Move) -> Event:
        """What no honest worker says: unknown steps, attempts that never were, times out of order."""
        names = ["nobody", self.definition.steps[0].name]
        step, direction = names[move.which % 2], tuple(Direction)[move.how % 2]
        attempt = [-1, 0, 10**9][move.how % 3]
        output = "nonsense" if direction is Direction.FORWARD else None
        at = [-1e18, 0.0, 1e18][move.which % 3]
        choices: list[Event] = [
            Claimed("nobody", direction, "nobody", at),
            Succeeded(step, direction, attempt, output, at),
            Ended(step, direction, attempt, FATES[move.how % len(FATES)], "nonsense", at),
            Released(step, direction, attempt, at),
            WorkerLost("nobody", at),
        ]
        return choices[move.which % len(choices)]

    # ------------------------------------------------------------------ changes

    def flush(self) -> None:
        """Fold what is held as one change, and check every event of it on the way."""
        events, self.held = self.held, []
        before = changed = self.state
        for event in events:
            changed = self._apply(changed, event)
        self.state = fold(self.definition, before, events)
        if changed is before:
            assert self.state is before
        else:
            assert self.state.revision == before.revision + 1, "I6"
            assert self.state.steps == changed.steps
            assert self.state.status is changed.status
            assert self.state.updated_at >= max([before.updated_at, *(event.at for event in events)])
        self.log.extend(events)
        self._notice(before)
        self._agree()

    def _apply(self, before: SagaState, event: Event) -> SagaState:
        after = decide(self.definition, before, event)
        assert decide(self.definition, before, event) == after, "decide is deterministic"
        self.ledger.observe(event, changed=after is not before)
        if after is not before:
            check_change(self.definition, before, event, after)
            assert after.revision == before.revision
        again = decide(self.definition, after, event)
        assert again is after or isinstance(event, Claimed), "an event that comes twice counts once"
        return after

    def _notice(self, before: SagaState) -> None:
        """See which attempts have begun, and which are no longer waited for: any of those may be heard of again."""
        current = [
            Handler(name, direction, track.attempt, track.claim.owner)
            for name, step in self.state.steps.items()
            for direction in Direction
            if (track := step.track(direction)).claim is not None
        ]
        self.zombies.extend(handler for handler in self.running if handler not in current)
        self.running = current

    def _agree(self) -> None:
        """The saga looks as its history says that it must."""
        state, ledger = self.state, self.ledger
        assert state.status is ledger.status
        assert {(work.step, work.direction) for work in open_work(self.definition, state)} == ledger.open()
        assert {(it.step, it.direction): it.owner for it in self.running} == ledger.running()
        for name, history in ledger.histories.items():
            step = state.steps[name]
            assert step.status is history.status(ledger.turned), name
            assert [output for output in (step.output, *step.late) if output is not None] == history.outputs
            assert step.output == history.recorded
            if history.running(Direction.UNDO):
                assert undo_payload(state, name) == history.given
            for direction, attempts in history.attempts.items():
                track = step.track(direction)
                assert track.attempt == len(attempts)
                assert track.first_error == history.first_error.get(direction)

    # ------------------------------------------------------------------ the end of all faults

    def heal(self, moves: Iterable[Move] = ()) -> None:
        """No more faults: the dead are known to be dead, what runs ends well, what is open is run when it is due.

        Args:
            moves: how the first handlers end, instead of well.
        """
        endings = list(moves)
        for _ in range(100 * len(self.definition.steps)):
            if self.state.status.is_terminal:
                return
            events: list[Event] = [WorkerLost(owner, self.now) for owner in self.dead if owner in self.state.owners]
            if not events:
                events = [self._ending(handler, endings) for handler in self.running]
            if not events:
                due = next_due(self.state)
                assert due is not None, "I7: nobody will ever look at it again"
                self.now = max(self.now, due)
                works = [work for work in open_work(self.definition, self.state) if work.due <= self.now]
                claims = [Claimed(work.step, work.direction, self.workers[0], self.now) for work in works]
                events = [Ticked(self.now), *claims]
            self.held = events
            self.flush()
        raise AssertionError("I1: it never ends")

    def _ending(self, handler: Handler, endings: list[Move]) -> Event:
        if endings and endings.pop().kind is Kind.END:
            return self._failure(handler, len(endings) % 12)
        return self._success(handler, 0)
