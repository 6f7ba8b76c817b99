"""What the core would do with a saga if from now on all went well: its own decisions, played to the end.

Nothing here knows a rule of its own. A rehearsal gives the saga the events that a lucky world would give it, one round
after the other, and ``decide`` says what becomes of it; what was undone, and in which order, is read off. So a plan
cannot disagree with what the engine does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from ..core.decide import decide
from ..core.definition import SagaDefinition, StepDefinition, StepKind
from ..core.events import (
    ChildAsked,
    ChildEnded,
    ChildInserted,
    Claimed,
    Decided,
    Event,
    LockHeld,
    Probed,
    ResumeRequested,
    Signalled,
    Succeeded,
)
from ..core.state import MAIN, Direction, LockStatus, SagaState, SagaStatus, StepState, StepStatus
from ..core.undo import next_undo
from ..core.unfold import unfold
from ..core.work import DutyKind, Work, duties, open_work

_OUTPUT: Final = "\0"
"""Stands for whatever a step would yield: no codec writes it, so that it is equal to no output that there is."""

_NOBODY: Final = "rehearsal"


class Outcome(StrEnum):
    """What is known of a step that is undone."""

    COMPLETED = "completed"
    UNKNOWN = "unknown"
    LATE = "late"
    """An output that came after its attempt had been given up; it is undone by itself."""


class Undo(Struct, frozen=True):
    """One undo.

    Attributes:
        step: what is undone.
        compensation: the method that does so; None if a child saga undoes itself.
        outcome: what the compensation is told of the step.
        if_done: it is undone only if it turns out that it was done: that is not known yet.
        is_running: somebody is at it already.
        child: of a step that another saga does: the name of its class.
    """

    step: str
    compensation: str | None
    outcome: Outcome
    if_done: bool = False
    is_running: bool = False
    child: str | None = None


Wave = tuple[Undo, ...]
"""What is undone side by side, once all waves before are through."""


class Because(StrEnum):
    """Why a step is not undone."""

    NOT_BEGUN = "not begun"
    NOTHING_LEFT = "nothing left"
    """It failed cleanly, or was left out."""
    UNDONE = "undone already"
    NO_COMPENSATION = "no compensation"
    PAST_PIVOT = "past the pivot"
    CANNOT = "cannot be undone"


class Kept(Struct, frozen=True):
    """A step that is not undone.

    Attributes:
        step: which.
        status: where it stands.
        because: why, to be compared.
        why: why, in words.
    """

    step: str
    status: StepStatus
    because: Because
    why: str


class Rehearsal:
    """A saga in a world in which everything succeeds.

    Args:
        definition: what it runs by.
        state: where it stands.
        stuck: the steps whose child sagas cannot be undone, and how each of these ends instead.
    """

    def __init__(
        self, definition: SagaDefinition, state: SagaState, stuck: Mapping[str, SagaStatus] | None = None
    ) -> None:
        self._definition = definition
        self._stuck = stuck or {}
        self._now = state.updated_at
        self.state: SagaState = state
        self.waves: list[Wave] = []
        self.locks: list[str] = []

    @property
    def plan(self) -> SagaDefinition:
        """The graph that it runs by as it stands, each list as its elements."""
        return unfold(self._definition, self.state)

    def happens(self, *events: Event) -> bool:
        """These events, in order; whether they changed anything."""
        before = self.state
        for event in events:
            self.state = decide(self._definition, self.state, event)
        return self.state is not before

    def resumes(self) -> None:
        """It goes on, if it is paused."""
        if self.state.paused:
            self.happens(ResumeRequested(_NOBODY, "", self._now))

    # ------------------------------------------------------------------ forward

    def goes_on(self, without: str | None = None) -> None:
        """All is done that can be done without that step."""
        while self.state.status is SagaStatus.STARTED:
            if not self.happens(*self._next(without)):
                return

    def _next(self, without: str | None) -> Iterator[Event]:
        yield from self._locks()
        for work in open_work(self._definition, self.state):
            if work.step != without:
                yield self._claimed(work) if work.is_decided else self._decided(work, 1)
        for name, step in self.state.steps.items():
            if name != without:
                yield from self._attempts(name, step)
        for duty in duties(self._definition, self.state):
            if duty.kind is DutyKind.INSERT_CHILD:
                yield ChildInserted(duty.subject, self._now)
        for declared in self.plan:
            if self.state.steps[declared.name].is_waiting:
                yield self._answer(declared)

    def begins(self, step: str, elements: int = 1) -> None:
        """What is open of that step is taken up; if it is a list, this many elements are open then."""
        for _ in range(2):  # user code is asked first, and a lock is taken
            works = [work for work in open_work(self._definition, self.state) if work.step == step]
            self.happens(*(self._claimed(work) if work.is_decided else self._decided(work, elements) for work in works))
            self.happens(*self._locks())

    def _answer(self, declared: StepDefinition) -> Event:
        if declared.signal is not None:
            return Signalled(declared.signal, _NOBODY, self._now, _OUTPUT)
        return ChildEnded(declared.name, SagaStatus.COMPLETED, self._now, child=declared.name)

    def _decided(self, work: Work, size: int) -> Decided:
        self._now = max(self._now, work.due)
        declared = self.plan[work.step]
        elements = (_OUTPUT,) * size if declared.kind is StepKind.EACH else None
        return Decided(work.step, self._now, elements=elements, lock=_NOBODY if declared.lock else None)

    # ------------------------------------------------------------------ back

    def settles(self) -> set[str]:
        """What runs comes to its end, and probes say what happened; the steps of which that was not known before."""
        asked: set[str] = set()
        while self.state.status is SagaStatus.COMPENSATING:
            events = [event for name, step in self.state.steps.items() for event in self._attempts(name, step)]
            probes = [work for work in open_work(self._definition, self.state) if work.direction is Direction.PROBE]
            asked |= {event.step for event in events} | {work.step for work in probes}
            locks = list(self._locks())
            self.locks += [event.key for event in locks if event.key not in self.locks]
            if not self.happens(*locks, *events, *map(self._claimed, probes)):
                break
        return asked

    def unwinds(self) -> None:
        """The saga is undone to its end; what was undone stands in ``waves``, for which locks in ``locks``."""
        self.resumes()
        doubtful: set[str] = set()
        while self.state.status is SagaStatus.COMPENSATING:
            doubtful |= self.settles()
            before = self._undoing()
            self.happens(*self._begin())
            running = self._undoing()
            if not running:
                break
            plan, given = self.plan, self.state.steps
            names = [declared.name for declared in plan if declared.name in running]
            self.happens(*map(self._undone, names))
            wave = tuple(
                _undo(plan[name], given[name], if_done=name in doubtful, is_running=name in before)
                for name in names
                if self.state.steps[name].status is not StepStatus.COMPENSATION_FAILED
            )
            self.waves += [wave] if wave else []

    def _begin(self) -> Iterator[Event]:
        for work in open_work(self._definition, self.state):
            yield self._claimed(work)
        for duty in duties(self._definition, self.state):
            if duty.kind is DutyKind.COMPENSATE_CHILD:
                yield ChildAsked(duty.subject, self._now)

    def _undoing(self) -> set[str]:
        return {
            name
            for name, step in self.state.steps.items()
            if step.undo.claim is not None or (step.undo_asked and step.status is StepStatus.COMPENSATING)
        }

    def _undone(self, name: str) -> Event:
        step = self.state.steps[name]
        if step.undo.claim is not None:
            return Succeeded(name, Direction.UNDO, step.undo.attempt, None, self._now)
        end = self._stuck.get(name, SagaStatus.COMPENSATED)
        return ChildEnded(name, end, self._now, child=name, is_final=end is SagaStatus.COMPLETED)

    # ------------------------------------------------------------------ both

    def _locks(self) -> Iterator[LockHeld]:
        for key, lock in self.state.locks.items():
            if lock.status is LockStatus.WANTED:
                yield LockHeld(key, lock.term, self._now)

    def _claimed(self, work: Work) -> Claimed:
        self._now = max(self._now, work.due)
        return Claimed(work.step, work.direction, _NOBODY, self._now)

    def _attempts(self, name: str, step: StepState) -> Iterator[Succeeded | Probed]:
        if step.forward.claim is not None:
            yield Succeeded(name, Direction.FORWARD, step.forward.attempt, _OUTPUT, self._now)
        if step.probe.claim is not None:
            yield Probed(name, step.probe.attempt, True, self._now, _OUTPUT)

    # ------------------------------------------------------------------ what stays

    def kept(self, undone: Collection[str]) -> Iterator[Kept]:
        """The steps that are not among those that were undone, and why."""
        state, plan = self.state, self.plan
        for declared in plan:
            if declared.kind is not StepKind.JOIN and declared.name not in undone:
                status = state.steps[declared.name].status
                because = _because(declared, status, committed=state.committed)
                yield Kept(declared.name, status, because, _words(declared, because, state))


def _undo(declared: StepDefinition, step: StepState, *, if_done: bool, is_running: bool) -> Undo:
    if step.undoing is not None and step.undoing != MAIN:
        outcome = Outcome.LATE
    else:
        outcome = Outcome.COMPLETED if step.output is not None else Outcome.UNKNOWN
    return Undo(declared.name, declared.compensation, outcome, if_done, is_running, declared.child)


def _because(declared: StepDefinition, status: StepStatus, *, committed: bool) -> Because:
    match status:
        case StepStatus.PENDING:
            return Because.NOT_BEGUN
        case StepStatus.FAILED | StepStatus.SKIPPED:
            return Because.NOTHING_LEFT
        case StepStatus.COMPENSATED:
            return Because.UNDONE
        case _ if committed:
            return Because.PAST_PIVOT
        case _:
            return Because.CANNOT if declared.is_undoable else Because.NO_COMPENSATION


def _words(declared: StepDefinition, because: Because, state: SagaState) -> str:
    step = state.steps[declared.name]
    match because:
        case Because.NOT_BEGUN:
            return "it has not begun"
        case Because.NOTHING_LEFT:
            return "it was left out" if step.status is StepStatus.SKIPPED else "it failed, and nothing of it remains"
        case Because.UNDONE:
            said = [act for act in state.acts if act.step == declared.name and act.what in _SETTLED]
            return f"{said[-1].by} has settled it: {said[-1].reason}" if said else "it is undone already"
        case Because.NO_COMPENSATION:
            return "it has no compensation"
        case Because.PAST_PIVOT:
            return "the pivot has begun: there is no way back"
        case _:
            return _why_not(declared, step)


_SETTLED: Final = ("skip the compensation", "resolve as compensated")


def _why_not(declared: StepDefinition, step: StepState) -> str:
    what = f"compensation {declared.compensation!r}" if declared.compensation else "its child saga"
    if step.status is StepStatus.COMPENSATION_FAILED:
        return f"{what} failed ({step.undo.reason})"
    if next_undo(declared, step) is None:
        return f"{what} does not accept an unknown outcome"
    return "it is undone after what cannot be undone"
