"""What a state asks for: read off it, never stored."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from .definition import SagaDefinition
from .state import MAIN, Direction, SagaState, SagaStatus


class Work(Struct, frozen=True):
    """An attempt that may be claimed, from ``due`` on, by workers of ``queue``."""

    step: str
    direction: Direction
    due: float
    queue: str


def open_work(definition: SagaDefinition, state: SagaState) -> list[Work]:
    """Every attempt that is open, now or later, in the order of the definition."""
    return [
        Work(declared.name, direction, track.due, declared.queue)
        for declared in definition
        for direction in Direction
        if (track := state.steps[declared.name].track(direction)).due is not None
    ]


def next_due(state: SagaState) -> float | None:
    """The earliest moment at which something is to be done for this saga that nobody has claimed; None if never."""
    return min(_dues(state), default=None)


def _dues(state: SagaState) -> Iterator[float]:
    if state.status is SagaStatus.SCHEDULED and state.start_at is not None:
        yield state.start_at
    if state.status is SagaStatus.STARTED and state.deadline_at is not None:
        yield state.deadline_at
    for step in state.steps.values():
        for track in (step.forward, step.undo):
            if track.due is not None:
                yield track.due


def undo_payload(state: SagaState, step: str) -> str | None:
    """The output that the claimed compensation of ``step`` is given; None for an unknown outcome."""
    current = state.steps[step]
    if current.undoing is None or current.undoing == MAIN:
        return current.output
    return current.late[current.undoing]
