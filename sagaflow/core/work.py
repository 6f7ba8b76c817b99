"""What a state asks for: read off it, never stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from .definition import SagaDefinition, StepDefinition, StepKind
from .events import Claimed
from .locks import gate_is_open, has_left_lines
from .state import MAIN, Direction, LockStatus, SagaState, SagaStatus, StepState, StepStatus
from .unfold import unfold

_DIRECTIONS = tuple(Direction)  # to iterate over an enum for each step would take longer than all the rest
_NOTHING = (None, None, None)


class Work(Struct, frozen=True):
    """An attempt that may be claimed, from ``due`` on, by workers of ``queue``.

    ``side`` says which of them: those that do steps, or those that undo them. ``is_decided``: whether it can be claimed
    at once, or user code must say something first.
    """

    step: str
    direction: Direction
    due: float
    queue: str
    side: Direction
    is_decided: bool = True


def open_work(definition: SagaDefinition, state: SagaState) -> list[Work]:
    """Every attempt that is open, now or later, in the order of the definition."""
    if state.paused:
        return []
    found: list[Work] = []
    steps = state.steps
    for declared in unfold(definition, state).steps:
        step = steps[declared.name]
        dues = step.forward.due, step.undo.due, step.probe.due
        if dues == _NOTHING or not gate_is_open(state, step):
            continue
        for direction, due in zip(_DIRECTIONS, dues, strict=True):
            if due is not None and not _is_duty(declared, direction):
                is_decided = direction is not Direction.FORWARD or step.decided or not declared.is_decided
                side = _side(state, direction)
                found.append(Work(declared.name, direction, due, declared.queue, side, is_decided))
    return found


def _side(state: SagaState, direction: Direction) -> Direction:
    if direction is Direction.PROBE:
        return Direction.FORWARD if state.status is SagaStatus.STARTED else Direction.UNDO
    return direction


def _is_duty(declared: StepDefinition, direction: Direction) -> bool:
    return declared.kind is StepKind.CHILD and direction is Direction.UNDO


def _steps(definition: SagaDefinition, state: SagaState) -> Iterator[tuple[StepDefinition, StepState]]:
    return ((declared, state.steps[declared.name]) for declared in unfold(definition, state))


def unwanted(definition: SagaDefinition, state: SagaState) -> list[str]:
    """The steps whose running attempts are to be cancelled, because the saga has turned back."""
    if not definition.cancel_siblings or state.status is not SagaStatus.COMPENSATING:
        return []
    return [declared.name for declared, step in _steps(definition, state) if step.forward.claim is not None]


# ---------------------------------------------------------------------------------------- duties


class DutyKind(StrEnum):
    """What a saga owes to another document."""

    INSERT_CHILD = "insert child"
    COMPENSATE_CHILD = "compensate child"
    TELL_PARENT = "tell parent"
    TELL_FAMILY = "tell family"
    TAKE_LOCK = "take lock"
    RELEASE_LOCK = "release lock"


class Duty(Struct, frozen=True):
    """Something that is done to another document until it is recorded as done. Doing it twice is as doing it once.

    ``subject`` is a step, or the key of a lock; empty where there is only one.
    """

    kind: DutyKind
    subject: str = ""


def duties(definition: SagaDefinition, state: SagaState) -> list[Duty]:
    """All that the saga owes to other documents now."""
    found = [Duty(kind, key) for key in state.locks if (kind := _lock_duty(state, key))]
    for declared in definition.children:
        step = state.steps[declared.name]
        if step.asked and not step.linked and step.status is StepStatus.STARTED and not state.paused:
            found.append(Duty(DutyKind.INSERT_CHILD, declared.name))
        if step.undo.due is not None and gate_is_open(state, step) and not state.paused:
            found.append(Duty(DutyKind.COMPENSATE_CHILD, declared.name))
    if state.status.is_terminal:
        if state.parent is not None and not state.told:
            found.append(Duty(DutyKind.TELL_PARENT))
        may_go = state.forget_at is not None and state.expire_at is None and has_left_lines(state)
        if may_go and state.may_have_children:
            found.append(Duty(DutyKind.TELL_FAMILY))
    return found


def _lock_duty(state: SagaState, key: str) -> DutyKind | None:
    lock = state.locks[key]
    if lock.status is LockStatus.RELEASING:
        return DutyKind.RELEASE_LOCK
    is_running = state.status in (SagaStatus.STARTED, SagaStatus.COMPENSATING) and not state.paused
    return DutyKind.TAKE_LOCK if lock.status is LockStatus.WANTED and lock.holder is None and is_running else None


# ---------------------------------------------------------------------------------------- times


class Agenda(Struct, frozen=True):
    """All that one state asks for.

    Attributes:
        works: every attempt that is open.
        duties: what the saga owes to other documents.
        tick: the earliest moment at which time alone changes the saga; None if it never does.
        due: the earliest moment at which something is to be done that nobody has claimed; None if never.
    """

    works: list[Work]
    duties: list[Duty]
    tick: float | None
    due: float | None

    @classmethod
    def of(cls, definition: SagaDefinition, state: SagaState) -> Agenda:
        """Read it off the state."""
        works, owed, tick = open_work(definition, state), duties(definition, state), next_tick(state)
        return cls(works, owed, tick, _earliest(works, state.updated_at if owed else None, tick))

    def without(self, claims: Iterable[Claimed], at: float) -> Agenda:
        """What is left of it when these have been taken up, which opens nothing, in a state that was updated at ``at``.

        The same as to read it off that state, and quicker.
        """
        taken = {(claim.step, claim.direction) for claim in claims}
        works = [work for work in self.works if (work.step, work.direction) not in taken]
        return Agenda(works, self.duties, self.tick, _earliest(works, at if self.duties else None, self.tick))


def _earliest(works: Iterable[Work], owed: float | None, tick: float | None) -> float | None:
    dues = [work.due for work in works]
    if owed is not None:
        dues.append(owed)
    if tick is not None:
        dues.append(tick)
    return min(dues, default=None)


def next_due(definition: SagaDefinition, state: SagaState) -> float | None:
    """The earliest moment at which something is to be done for this saga that nobody has claimed; None if never."""
    return Agenda.of(definition, state).due


def next_tick(state: SagaState) -> float | None:
    """The earliest moment at which time alone changes the saga; None if it never does."""
    if state.paused:
        return None
    limits = [step.wait_until for step in state.steps.values() if step.wait_until is not None and step.is_waiting]
    limit: float | None = None
    if state.status is SagaStatus.SCHEDULED:
        limit = state.start_at
    elif state.status is SagaStatus.STARTED and not state.overdue:
        limit = state.deadline_at
    elif state.status is SagaStatus.COMPENSATING and not state.overdue:
        limit = state.undo_deadline_at
    return min(limits if limit is None else [*limits, limit], default=None)


def undo_payload(state: SagaState, step: str) -> str | None:
    """The output that the claimed compensation of ``step`` is given; None for an unknown outcome."""
    current = state.steps[step]
    if current.undoing is None or current.undoing == MAIN:
        return current.output
    return current.late[current.undoing]
