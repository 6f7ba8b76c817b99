"""What was measured, round by round, and what is computed from it: medians, spreads, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Measurement(NamedTuple):
    """One contestant, at one workload, in one round."""

    contestant: str
    workload: str
    round: int
    figures: dict[str, float]


class Middle(NamedTuple):
    """The median of several rounds, and the least and the greatest of them."""

    median: float
    least: float
    greatest: float

    @property
    def spread(self) -> float:
        """How far the least and the greatest lie apart, as a share of the median."""
        return (self.greatest - self.least) / self.median if self.median else 0.0


class Figure(NamedTuple):
    """The name of one figure of one contestant at one workload."""

    contestant: str
    workload: str
    name: str


@dataclass
class Results:
    """All measurements of one run, and who failed."""

    measurements: list[Measurement] = field(default_factory=list[Measurement])
    failures: list[str] = field(default_factory=list[str])

    def add(self, measurement: Measurement) -> None:
        """Keep one more."""
        self.measurements.append(measurement)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The contestants with their workloads, in the order in which they were measured first."""
        yield from dict.fromkeys((one.contestant, one.workload) for one in self.measurements)

    def names(self, contestant: str, workload: str) -> list[str]:
        """The names of the figures that there are."""
        return list(
            dict.fromkeys(
                name
                for one in self.measurements
                if (one.contestant, one.workload) == (contestant, workload)
                for name in one.figures
            )
        )

    def by_round(self, figure: Figure) -> dict[int, float]:
        """The values of a figure, by round; none where it was not measured."""
        return {
            one.round: one.figures[figure.name]
            for one in self.measurements
            if (one.contestant, one.workload) == figure[:2] and figure.name in one.figures
        }

    def middle(self, figure: Figure) -> Middle | None:
        """The median of a figure with its spread; None if it was never measured."""
        return _middle(list(self.by_round(figure).values()))

    def combined(self, compute: Callable[[float, float], float], one: Figure, other: Figure) -> Middle | None:
        """What is computed from two figures of the same round; None if there is no round with both.

        Round by round, because what slows the machine down for a while slows both.
        """
        left, right = self.by_round(one), self.by_round(other)
        return _middle([compute(left[number], right[number]) for number in left if number in right])


def _middle(values: list[float]) -> Middle | None:
    return Middle(statistics.median(values), min(values), max(values)) if values else None
