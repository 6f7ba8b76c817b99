"""The explorer sees what there is to be seen: a model that is wrong is found out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.protocol.explorer import STUCK, Move, Violation, explore


@dataclass(frozen=True)
class Counter:
    """Counts up to ``end`` by ones and, if it is allowed, by twos."""

    end: int
    by_two: bool = False
    by_two_is_fault: bool = False
    forbidden: int | None = None

    def initial(self) -> int:
        return 0

    def is_over(self, state: int) -> bool:
        return state == self.end

    def moves(self, state: int) -> Iterator[Move[int]]:
        if state < self.end:
            yield Move(f"one from {state}", lambda: self._at(state + 1))
            if self.by_two:
                yield Move(f"two from {state}", lambda: self._at(state + 2), self.by_two_is_fault)

    def _at(self, state: int) -> int:
        if state == self.forbidden:
            raise Violation("forbidden", str(state))
        return state


def test_every_state_is_visited() -> None:
    report = explore(Counter(10))
    assert (report.states, report.moves, report.overs) == (11, 10, {10})
    assert report.is_clean


def test_a_violation_comes_with_a_shortest_way_to_it() -> None:
    report = explore(Counter(10, by_two=True, forbidden=5))
    assert [label.split("  ")[0] for label in report.violations["forbidden"]] == [
        "one from 0",
        "two from 1",
        "two from 3",
    ]
    assert "forbidden:" in str(report)


def test_a_state_without_a_way_to_an_end_is_stuck() -> None:
    report = explore(Counter(4, by_two=True))
    assert report.stuck == [5]
    assert report.violations[STUCK] == ["one from 0", "two from 1", "two from 3"]


def test_a_way_out_that_needs_a_fault_is_none() -> None:
    """From 0 only the fault leads on; from 2 one gets to 4 by ones."""
    report = explore(Counter(4, by_two=True, by_two_is_fault=True, forbidden=1))
    assert report.stuck == [0, 5]


def test_a_model_without_bounds_is_refused() -> None:
    with pytest.raises(RuntimeError, match="more than 100 states"):
        explore(Counter(1_000), limit=100)
