"""A small explicit-state model checker: visit every state, check every move, and find where one cannot get out again.

Breadth first, so that the first trace to a violation is a shortest one.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)

STUCK = "stuck"


class Violation(Exception):
    """A move that must not be possible. ``kind`` names the rule that it breaks."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Move(Generic[S]):
    """One step of the model.

    Attributes:
        label: what happens, for the trace.
        after: makes the next state; raises Violation if that must not happen.
        is_fault: the world need not do this: nobody may count on it to come to an end.
    """

    label: str
    after: Callable[[], S]
    is_fault: bool = False


class Model(Protocol[S]):
    """What is explored."""

    def initial(self) -> S: ...

    def moves(self, state: S, /) -> Iterable[Move[S]]: ...

    def is_over(self, state: S, /) -> bool:
        """Whether this is an end that one wants to come to."""
        ...


@dataclass(slots=True)
class Report(Generic[S]):
    """What was found. ``violations`` has a shortest trace for each kind; ``stuck`` the states without a way out."""

    states: int = 0
    moves: int = 0
    violations: dict[str, list[str]] = field(default_factory=dict)
    stuck: list[S] = field(default_factory=list)
    overs: set[S] = field(default_factory=set)

    @property
    def is_clean(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        told = [f"{self.states} states, {self.moves} moves, {len(self.stuck)} stuck"]
        for kind, trace in self.violations.items():
            told += [f"{kind}:", *(f"    {label}" for label in trace)]
        return "\n".join(told)


def explore(model: Model[S], limit: int = 2_000_000) -> Report[S]:
    """Visit every state that can be reached.

    A state is stuck if no path without faults leads from it to an end. What a violation leads to is not followed.

    Raises:
        RuntimeError: there are more than ``limit`` states: the model is not bounded as it was meant to be.
    """
    with _uncollected():
        return _explore(model, limit)


@contextmanager
def _uncollected() -> Iterator[None]:
    """States hold no cycles; looking for some among so many would take a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _explore(model: Model[S], limit: int) -> Report[S]:
    report = Report[S]()
    first = model.initial()
    came_from: dict[S, tuple[S, str] | None] = {first: None}
    back: dict[S, list[S]] = {}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        if model.is_over(state):
            report.overs.add(state)
        for move in model.moves(state):
            report.moves += 1
            try:
                after = move.after()
            except Violation as violation:
                told = f"{move.label}  <-- {violation}"
                report.violations.setdefault(violation.kind, [*_trace(came_from, state), told])
                continue
            if not move.is_fault:
                back.setdefault(after, []).append(state)
            if after not in came_from:
                came_from[after] = (state, move.label)
                queue.append(after)
        if len(came_from) > limit:
            raise RuntimeError(f"more than {limit} states")
    report.states = len(came_from)
    saved = _reaching(report.overs, back)
    report.stuck = [state for state in came_from if state not in saved]
    if report.stuck:
        report.violations[STUCK] = _trace(came_from, report.stuck[0])
    return report


def _reaching(ends: Iterable[S], back: dict[S, list[S]]) -> set[S]:
    found = set(ends)
    todo = list(found)
    while todo:
        for state in back.get(todo.pop(), ()):
            if state not in found:
                found.add(state)
                todo.append(state)
    return found


def _trace(came_from: dict[S, tuple[S, str] | None], state: S) -> list[str]:
    labels: list[str] = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(label)
    return labels[::-1]
