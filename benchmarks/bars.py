"""What SagaFlow is to reach, and whether one run has shown that it does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from benchmarks import figures, roster
from benchmarks.contestant import ONCE, Contestant
from benchmarks.engine.sagas import HOPS
from benchmarks.results import Figure, Middle, Results
from benchmarks.task import GROUP, SEQUENCE, UNDONE


class Verdict(StrEnum):
    """Whether a bar was reached."""

    HOLDS = "holds"
    MISSED = "MISSED"
    UNKNOWN = "not measured"


@dataclass(frozen=True)
class Bar:
    """One figure, or the ratio of two, and its bound.

    Attributes:
        what: in words.
        figure: what is bounded.
        bound: the least that it must be, or the most, as ``at_most`` says.
        of: what it is divided by, if it is a ratio.
        unit: of what is bounded.
    """

    what: str
    figure: Figure
    bound: float
    at_most: bool = False
    of: Figure | None = None
    unit: str = ""

    def seen(self, results: Results) -> Middle | None:
        """What was measured of it; None if it was not."""
        if self.of is None:
            return results.middle(self.figure)
        return results.combined(lambda one, other: one / other, self.figure, self.of)

    def verdict(self, results: Results) -> Verdict:
        """By the median of all rounds."""
        seen = self.seen(results)
        if seen is None:
            return Verdict.UNKNOWN
        reached = seen.median <= self.bound if self.at_most else seen.median >= self.bound
        return Verdict.HOLDS if reached else Verdict.MISSED


def _least(what: str, bound: float, figure: Figure, of: Figure | None = None, unit: str = "") -> Bar:
    return Bar(what, figure, bound, of=of, unit=unit)


def _most(what: str, bound: float, figure: Figure, of: Figure | None = None, unit: str = "") -> Bar:
    return Bar(what, figure, bound, at_most=True, of=of, unit=unit)


def _rate(contestant: Contestant, workload: str = SEQUENCE) -> Figure:
    return Figure(contestant.name, workload, figures.RATE)


def _alone(contestant: Contestant, name: str) -> Figure:
    return Figure(contestant.name, SEQUENCE, name)


def _seen(contestant: Contestant, name: str) -> Figure:
    return Figure(contestant.name, ONCE[0], name)


_ENGINE: Final = _rate(roster.ENGINE)
_P50: Final = _alone(roster.IN_PLACE, figures.P50)
_P95: Final = _alone(roster.IN_PLACE, figures.P95)
_CPU: Final = Figure(roster.MEMORY.name, SEQUENCE, figures.CPU)
_PROPORTION: Final = _seen(roster.WAITING, "1000 in flight, of proportion")
_PEAK: Final = _seen(roster.WAITING, "1000 in flight, worker peak MB")
_TIME_OF_50: Final = _seen(roster.LENGTH, "time of 50 steps, of 3")
_CPU_OF_50: Final = _seen(roster.LENGTH, "CPU of 50 steps, of 3")
_DRIVERS: Final = _seen(roster.FOOTPRINT, "drivers imported")

BARS: Final = (
    _least("servers: of a claim and a completion per step, 6 times", 6, _ENGINE, _rate(roster.CLAIMS)),
    _least("servers: of the coalesced script, 60 %", 0.6, _ENGINE, _rate(roster.COALESCED)),
    _least("servers, two compensations: of the sequence, 50 %", 0.5, _rate(roster.ENGINE, UNDONE), _ENGINE),
    _least("servers, a parallel group: of the sequence, 60 %", 0.6, _rate(roster.ENGINE, GROUP), _ENGINE),
    _least(
        "steps on other queues: of one update per step, 80 %", 0.8, _rate(roster.QUEUES, HOPS), _rate(roster.UPDATES)
    ),
    _least("the goal: each step kept by a majority", 2_000, _ENGINE, unit="sagas/s"),
    _most("alone, p50: of one message a saga, 1.5 times", 1.5, _alone(roster.ENGINE, figures.P50), _P50),
    _most("alone, p95: of one message a saga, twice", 2, _alone(roster.ENGINE, figures.P95), _P95),
    _least("SQLite: of the script with a transaction each, 80 %", 0.8, _rate(roster.SQLITE), _rate(roster.SQLITE_1)),
    _least("SQLite: of DBOS on SQLite, 8 times", 8, _rate(roster.SQLITE), _rate(roster.DBOS)),
    _most("SQLite alone: p50", 2, _alone(roster.SQLITE, figures.P50), unit="ms"),
    _most("memory: CPU of a saga", 0.2, _CPU, unit="ms"),
    _least("1,000 in flight in a worker: of ten times 100, 90 %", 0.9, _PROPORTION),
    _least("two workers: of one, 1.5 times", 1.5, _seen(roster.WAITING, "two workers, of one")),
    _least("100 elements: four workers are no slower than one", 1, _seen(roster.ELEMENTS, "four workers, of one")),
    _most("50 steps: time of a step, of that of 3 steps", 1.25, _TIME_OF_50),
    _most("50 steps: CPU of a step, of that of 3 steps", 1.25, _CPU_OF_50),
    _most("a full store: time of a saga, of an empty one's", 1.25, _seen(roster.ARCHIVE, "time, of empty")),
    _most("a full store: due sagas, p95", 20, _seen(roster.ARCHIVE, "due p95 ms"), unit="ms"),
    _most("a full store: list_active, p95", 20, _seen(roster.ARCHIVE, "list_active p95 ms"), unit="ms"),
    _most("a full store: get, p95", 20, _seen(roster.ARCHIVE, "get p95 ms"), unit="ms"),
    _most("a full store: queries without an index", 0, _seen(roster.ARCHIVE, "queries without an index")),
    *(
        _most(f"a page of 100,000 sagas: {part} is shown", 200, _seen(roster.PAGE, f"{part} shown ms"), unit="ms")
        for part in ("overview", "list", "one saga")
    ),
    _most("a worker with 1,000 in flight: peak memory", 150, _PEAK, unit="MB"),
    _most("import of sagaflow", 150, _seen(roster.FOOTPRINT, "import ms"), unit="ms"),
    _most("import of sagaflow: drivers that come with it", 0, _DRIVERS),
)
