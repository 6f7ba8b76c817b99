"""A small world in which one saga lives: workers that claim, die and come back as zombies, and everybody else.

Children that end, an outside that answers, locks that others hold, operators who mean well: each comes at any time. A
history is a list of drawn ``Move``s. Each says roughly what should happen and leaves to the world which of the
possible things it is, so that every list of moves makes sense and shrinks to a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from hypothesis import strategies as st

from sagaflow.core.decide import decide, fold, new_saga
from sagaflow.core.definition import SagaDefinition, StepDefinition, StepKind
from sagaflow.core.events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    ChildInserted,
    Claimed,
    CompensationRequested,
    Deadlocked,
    Decided,
    Ended,
    Event,
    FamilyEnded,
    FamilyTold,
    Fate,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
    ParentTold,
    PauseRequested,
    Probed,
    Released,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
    Succeeded,
    Ticked,
    Undecidable,
    WorkerLost,
)
from sagaflow.core.state import Direction, Link, LockStatus, SagaState, SagaStatus, StepStatus
from sagaflow.core.work import DutyKind, Work, duties, next_due, open_work, undo_payload
from tests.properties.invariants import check_change, check_heard, check_state
from tests.properties.ledger import Ledger

T = TypeVar("T")

WORKERS = 3
FATES = tuple(Fate)
KEYS = ("k0", "k1")
"""The keys of locks: so few that steps share them with each other and with the saga."""
ENDS = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


class Kind(Enum):
    """What a move is about; simple things first, which is what examples shrink to."""

    CLAIM = auto()
    SUCCEED = auto()
    DECIDE = auto()
    ANSWER = auto()
    """What is waited for comes: a signal, the end of a child, a lock."""
    END = auto()
    LOSE = auto()
    ZOMBIE = auto()
    RELEASE = auto()
    COMPENSATE = auto()
    CANCEL = auto()
    WAIT = auto()
    SIGNAL = auto()
    CHILD = auto()
    LOCK = auto()
    PAUSE = auto()
    ACT = auto()
    FAMILY = auto()
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
    Kind.DECIDE: 5,
    Kind.ANSWER: 6,
    Kind.END: 3,
    Kind.LOSE: 2,
    Kind.ZOMBIE: 4,
    Kind.RELEASE: 1,
    Kind.COMPENSATE: 1,
    Kind.CANCEL: 1,
    Kind.WAIT: 2,
    Kind.SIGNAL: 2,
    Kind.CHILD: 1,
    Kind.LOCK: 1,
    Kind.PAUSE: 1,
    Kind.ACT: 2,
    Kind.FAMILY: 1,
    Kind.CLAIM_ANYTHING: 1,
    Kind.REPLAY: 2,
    Kind.NONSENSE: 1,
}
_DRAWN = [kind for kind, weight in _WEIGHTS.items() for _ in range(weight)]

MOVES = st.builds(
    Move, st.sampled_from(_DRAWN), st.integers(0, 59), st.integers(0, 11), st.sampled_from([False, False, False, True])
)


@dataclass(frozen=True)
class Handler:
    """One attempt that runs somewhere, whether or not the saga still waits for it."""

    step: str
    direction: Direction
    attempt: int
    owner: str


def _pick(choices: Sequence[T], which: int) -> T | None:
    return choices[which % len(choices)] if choices else None


class World:
    """One saga and all that happens around it; every change is checked as it is made.

    Args:
        definition: what it runs by.
        start_at: when it is to begin, at 1000 if that is later.
        told: a ledger keeps its history, which knows plain steps, conditions, delays, pivots and pauses, and no more.
        is_child: some other saga started it.
    """

    def __init__(
        self, definition: SagaDefinition, start_at: float | None = None, *, told: bool = False, is_child: bool = False
    ) -> None:
        self.definition = definition
        self.now = 1_000.0
        self.state = new_saga(
            definition,
            "saga-1",
            "{}",
            self.now,
            start_at,
            lock=KEYS[0] if definition.lock else None,
            parent=Link("parent", "step") if is_child else None,
        )
        self.ledger = Ledger(definition, self.now, start_at) if told else None
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

    def _event(self, move: Move) -> Event | None:  # noqa: C901, PLR0912  # a table
        match move.kind:
            case Kind.SUCCEED | Kind.END | Kind.RELEASE | Kind.ZOMBIE:
                return self._report(move)
            case Kind.CLAIM | Kind.CLAIM_ANYTHING:
                return self._claim(move)
            case Kind.DECIDE:
                return self._decide(move)
            case Kind.ANSWER:
                return _pick(list(self._answers()), move.which)
            case Kind.LOSE:
                return self._lose(move.how % WORKERS)
            case Kind.REPLAY:
                return _pick(self.log, move.which)
            case Kind.WAIT:
                self.now += float(move.how) * 0.25 if move.which % 2 else float(move.how) * 60.0
                return Ticked(self.now)
            case Kind.COMPENSATE if move.which % 4 == 0:
                return CompensationRequested(f"request {move.which}", self.now)
            case Kind.CANCEL if move.which % 4 == 0:
                return CancellationRequested(f"request {move.which}", self.now)
            case Kind.SIGNAL:
                return self._signal(move)
            case Kind.CHILD:
                return self._child(move)
            case Kind.LOCK:
                return self._lock(move)
            case Kind.PAUSE if move.which % 3 == 0:
                return PauseRequested("ada", "to look", self.now)
            case Kind.PAUSE:
                return ResumeRequested("ada", "seen", self.now)
            case Kind.ACT if self.ledger is None:
                return self._act(move)
            case Kind.FAMILY if self.ledger is None:
                return self._family(move)
            case Kind.NONSENSE:
                return self._nonsense(move)
            case _:
                return None

    # ------------------------------------------------------------------ workers

    def _claim(self, move: Move) -> Claimed | None:
        slots = [(name, direction) for name in self.state.steps for direction in Direction]
        if move.kind is Kind.CLAIM:
            slots = [(work.step, work.direction) for work in open_work(self.definition, self.state) if work.is_decided]
        slot = _pick(slots, move.which)
        return slot and Claimed(*slot, self.workers[move.how % WORKERS], self.now)

    def _decide(self, move: Move) -> Event | None:
        work = _pick([work for work in open_work(self.definition, self.state) if not work.is_decided], move.which)
        if work is None:
            return None
        declared = self.definition[work.step]
        if move.how == 11:
            return Undecidable(work.step, f"error {len(self.log)}", self.now)
        if declared.when is not None and move.how % 3 == 2:
            return Decided(work.step, self.now, proceed=False)
        return self._decision(declared, move.how % 4, KEYS[move.which % 2])

    def _decision(self, declared: StepDefinition, size: int, key: str) -> Decided:
        elements = tuple(f"item {number}" for number in range(size)) if declared.kind is StepKind.EACH else None
        return Decided(declared.name, self.now, elements=elements, lock=key if declared.lock else None)

    def _report(self, move: Move) -> Event | None:
        handler = _pick(self.zombies if move.kind is Kind.ZOMBIE else self.running, move.which)
        if handler is None:
            return None
        if move.kind is Kind.RELEASE:
            return Released(handler.step, handler.direction, handler.attempt, self.now, begun=move.how % 2 == 1)
        if move.kind is Kind.END or (move.kind is Kind.ZOMBIE and move.how % 4 == 3):
            return self._failure(handler, move.how)
        return self._success(handler, move.how)

    def _success(self, handler: Handler, how: int) -> Event:
        # Few different outputs, so that a late one is often equal to an earlier one.
        output = f"{handler.step}-{how % 3}"
        match handler.direction:
            case Direction.FORWARD:
                return Succeeded(handler.step, handler.direction, handler.attempt, output, self.now)
            case Direction.UNDO:
                return Succeeded(handler.step, handler.direction, handler.attempt, None, self.now)
            case Direction.PROBE:
                return self._found(handler, output, how)

    def _found(self, handler: Handler, output: str, how: int) -> Probed:
        happened = (True, False, None, True)[how % 4]
        return Probed(
            handler.step,
            handler.attempt,
            happened,
            self.now,
            output=output if happened else None,
            after=float(how) if happened is None and how > 6 else None,
        )

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

    # ------------------------------------------------------------------ the others

    def _signal(self, move: Move) -> Signalled | None:
        step = _pick([step for step in self.definition if step.signal is not None], move.which)
        if step is None:
            return None
        # One token always says the same, and few say something different.
        output = None if move.how % 4 == 3 else f"{step.name}-{move.how % 3}"
        error = "refused" if output is None else None
        return Signalled(step.signal or "", f"token {move.how}", self.now, output, error)

    def _children(self) -> list[StepDefinition]:
        return [step for step in self.definition if step.kind is StepKind.CHILD]

    def _child_of(self, step: str) -> str:
        return f"{step}/{self.state.steps[step].generation}"

    def _child(self, move: Move) -> Event | None:
        declared = _pick(self._children(), move.which)
        if declared is None or self.state.steps[declared.name].child is None:
            return None
        name = declared.name
        if move.how % 5 == 3:
            return ChildInserted(name, self.now)
        if move.how % 5 == 4:
            return ChildAsked(name, self.now)
        error = None if move.how % 3 == 0 else f"error {len(self.log)}"
        return ChildEnded(name, ENDS[move.how % 3], self.now, error, self._child_of(name))

    def _lock(self, move: Move) -> Event | None:
        key = _pick(sorted(self.state.locks), move.which)
        if key is None:
            return None
        term = self.state.locks[key].term - (move.how == 11)
        choices: list[Event] = [
            LockHeld(key, term, self.now),
            LockBlocked(key, term, "other", self.now),
            LockFreed(key, self.now),
            LockReleased(key, term, self.now),
            Deadlocked(key, term, "they wait for each other", self.now),
        ]
        return choices[move.how % len(choices)]

    def _act(self, move: Move) -> Event | None:
        step = _pick(list(self.state.steps), move.which) or ""
        output = f"{step}-{move.which % 3}"
        at = self.now
        choices: list[Event] = [
            RetryRequested("ada", "again", at),
            RetryRequested("ada", "again", at, step=step, new_key=move.which % 2 == 0),
            SkipRequested("ada", "not needed", at, step),
            SkipRequested("ada", "by hand", at, step, output=output),
            SkipRequested("ada", "may stay", at, step, direction=Direction.UNDO),
            ResolutionRequested("ada", "looked", at, step, Resolution.HAPPENED, output),
            ResolutionRequested("ada", "looked", at, step, Resolution.NOT_HAPPENED),
            ResolutionRequested("ada", "by hand", at, step, Resolution.COMPENSATED),
        ]
        # An act that fits a saga that runs is drawn as often as one that fits a saga that has failed.
        return choices[move.how % len(choices)]

    def _family(self, move: Move) -> Event:
        at = self.now + move.how * 60.0
        choices: list[Event] = [ParentTold(self.now), FamilyEnded(at, self.now), FamilyTold(at, self.now)]
        if self.state.forget_at is not None:
            choices.append(FamilyTold(self.state.forget_at, self.now))
        return choices[move.which % len(choices)]

    def _nonsense(self, move: Move) -> Event:
        """What no honest party says: unknown steps, attempts that never were, times out of order."""
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
            Decided("nobody", at),
            Probed(step, attempt, None, at),
            Signalled("nobody", "token", at, "nonsense"),
            ChildEnded("nobody", SagaStatus.COMPLETED, at),
            LockHeld("nobody", 1, at),
            SkipRequested("ada", "nonsense", at, "nobody"),
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
        if self.ledger is not None:
            self.ledger.observe(event, changed=after is not before)
        check_heard(self.definition, before, event, after)
        if after is not before:
            check_change(self.definition, before, event, after)
            assert after.revision == before.revision
        again = decide(self.definition, after, event)
        # A child that has failed is not asked to undo itself, whenever that is heard.
        counts_again = isinstance(event, Claimed | LockFreed) or (
            isinstance(event, ChildEnded) and event.status is SagaStatus.FAILED
        )
        assert again is after or counts_again, f"an event that comes twice counts once: {event}"
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
        if ledger is None:
            return
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

        Nor does anybody else fail to do his part: children end, the outside answers, locks become free, what is paused
        goes on.

        Args:
            moves: how the first handlers end, instead of well.
        """
        endings = list(moves)
        for _ in range(200 + 100 * len(self.definition.steps)):
            if self.state.status.is_terminal:
                return
            events: list[Event] = [WorkerLost(owner, self.now) for owner in self.dead if owner in self.state.owners]
            if self.state.paused:
                events.append(ResumeRequested("ada", "go on", self.now))
            if not events:
                events = [self._ending(handler, endings) for handler in self.running]
            self.held = events or list(self._answers()) or self._begin()
            self.flush()
        raise AssertionError("I1: it never ends")

    def operate(self) -> None:
        """An operator gets a failed saga to another end: he lets it try again, and then leaves out what still fails."""
        self.held = [RetryRequested("ada", "again", self.now, new_key=True)]
        self.flush()
        self.heal()
        forward = self.state.committed
        for name, step in self.state.steps.items() if self.state.status is SagaStatus.FAILED else ():
            direction = Direction.FORWARD if forward else Direction.UNDO
            if step.status not in (StepStatus.COMPLETED, StepStatus.SKIPPED) or not forward:
                self.held.append(SkipRequested("ada", "let it be", self.now, name, direction))
        self.flush()
        self.heal()

    def _ending(self, handler: Handler, endings: list[Move]) -> Event:
        if endings and endings.pop().kind is Kind.END:
            return self._failure(handler, len(endings) % 12)
        return self._success(handler, 0)

    def _begin(self) -> list[Event]:
        """Time passes until something is to be done, and it is begun."""
        due = next_due(self.definition, self.state)
        assert due is not None, "I7: nobody will ever look at it again"
        self.now = max(self.now, due)
        works = [work for work in open_work(self.definition, self.state) if work.due <= self.now]
        return [Ticked(self.now), *map(self._take, works)]

    def _take(self, work: Work) -> Event:
        if not work.is_decided:
            return self._decision(self.definition[work.step], 2, KEYS[1])
        return Claimed(work.step, work.direction, self.workers[0], self.now)

    def _answers(self) -> Iterator[Event]:
        """What the others owe to the saga, and what it owes to them, done."""
        for duty in duties(self.definition, self.state):
            match duty.kind:
                case DutyKind.INSERT_CHILD:
                    yield ChildInserted(duty.subject, self.now)
                case DutyKind.COMPENSATE_CHILD:
                    yield ChildAsked(duty.subject, self.now)
                case DutyKind.TAKE_LOCK:
                    yield LockHeld(duty.subject, self.state.locks[duty.subject].term, self.now)
                case DutyKind.RELEASE_LOCK:
                    yield LockReleased(duty.subject, self.state.locks[duty.subject].term, self.now)
                case _:
                    pass
        for key, lock in self.state.locks.items():
            if lock.status is LockStatus.WANTED and lock.holder is not None:
                yield LockFreed(key, self.now)
        for declared in self.definition:
            step = self.state.steps[declared.name]
            if not step.is_waiting:
                continue
            if declared.kind is StepKind.CHILD and (step.linked or step.undo_asked):
                end = SagaStatus.COMPENSATED if step.undo_asked else SagaStatus.COMPLETED
                yield ChildEnded(declared.name, end, self.now, child=self._child_of(declared.name))
            elif declared.signal is not None:
                yield Signalled(declared.signal, f"answer {len(self.log)}", self.now, f"{declared.name}-0")
