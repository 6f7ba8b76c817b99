"""What is measured, whoever exports it: the table of all metrics, and the observer that feeds them.

Labels are the names of sagas and of their steps, and words of which there are few; never an id. Names that data can
make (sagas whose steps are data) are bounded: what comes after the first thousand is counted as ``other``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from ..core.state import TERMINAL, SagaState
from ..errors import ConfigurationError
from ..ports import Attempt, AttemptEnd, Observer, Sample

NAMES_LIMIT: Final = 1_000
"""How many pairs of a saga and a step are told apart in one process."""

OTHER: Final = "other"
"""The saga, and the step, of all that come after those."""

_MOMENTS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SPANS: Final = (0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0)
_SIZES: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


class Kind(StrEnum):
    """What a metric is."""

    COUNTER = "counter"
    """It only grows."""
    LEVEL = "level"
    """It is told how much it grows or shrinks."""
    GAUGE = "gauge"
    """It is told what it is."""
    HISTOGRAM = "histogram"
    """It is told values, and keeps how many were how large."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: with dots, as OpenTelemetry names it.
        kind: what it is.
        help: what it says, in one sentence.
        labels: by which it is told apart.
        unit: ``s`` for seconds; empty for a plain number.
        buckets: of a histogram: the upper bounds.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()

    @property
    def prometheus_name(self) -> str:
        """As Prometheus names it, also where OpenTelemetry exports it there.

        Example:
            >>> SAGAS_STARTED.prometheus_name
            'sagaflow_sagas_started_total'
        """
        unit = "_seconds" if self.unit == "s" else ""
        return self.name.replace(".", "_") + unit + ("_total" if self.kind is Kind.COUNTER else "")


SAGAS_STARTED: Final = Metric("sagaflow.sagas.started", Kind.COUNTER, "Sagas that were started.", ("saga",))
SAGAS_ENDED: Final = Metric(
    "sagaflow.sagas.ended", Kind.COUNTER, "Sagas that came to an end, by their status.", ("saga", "status")
)
SAGA_DURATION: Final = Metric(
    *("sagaflow.saga.duration", Kind.HISTOGRAM, "From the start of a saga to its end.", ("saga", "status")),
    unit="s",
    buckets=_SPANS,
)
ATTEMPT_DURATION: Final = Metric(
    *("sagaflow.attempt.duration", Kind.HISTOGRAM, "Attempts of steps, compensations (undo) and probes."),
    labels=("saga", "step", "direction", "outcome"),
    unit="s",
    buckets=_MOMENTS,
)
QUEUE_DELAY: Final = Metric(
    *("sagaflow.queue.delay", Kind.HISTOGRAM, "How long attempts could have begun before they were claimed."),
    labels=("saga", "direction"),
    unit="s",
    buckets=_MOMENTS,
)
IN_FLIGHT: Final = Metric(
    "sagaflow.attempts.in.flight", Kind.LEVEL, "Handlers that run in this process.", ("saga", "direction")
)
COMMIT_BATCH: Final = Metric(
    "sagaflow.commit.batch.size", Kind.HISTOGRAM, "Changes that went to the store in one call.", buckets=_SIZES
)
CONFLICTS: Final = Metric(
    "sagaflow.commit.conflicts", Kind.COUNTER, "Changes that were not made, since somebody else was quicker."
)
UNSURE: Final = Metric(
    "sagaflow.commit.unsure", Kind.COUNTER, "Changes of which it is not known whether they were made."
)
FINDS: Final = Metric(
    *("sagaflow.sweeper.finds", Kind.COUNTER, "Due sagas, and orphans of dead workers, that a sweeper has found."),
    labels=("kind",),
)
HINTS_LOST: Final = Metric("sagaflow.hints.lost", Kind.COUNTER, "Hints that the broker did not take.")
DEAD_LETTERS: Final = Metric("sagaflow.dead.letters", Kind.COUNTER, "Hints that this process put aside.")
OLDEST_WAITING: Final = Metric(
    "sagaflow.oldest.waiting",
    Kind.GAUGE,
    "How long the longest waiting saga has been due, and nobody looked.",
    unit="s",
)
DUE: Final = Metric("sagaflow.due.sagas", Kind.GAUGE, "Sagas that are due now, as far as was counted.")
STALE: Final = Metric("sagaflow.stale.sagas", Kind.GAUGE, "Sagas that are dispatched again and again, in vain.")

METRICS: Final = (
    *(SAGAS_STARTED, SAGAS_ENDED, SAGA_DURATION, ATTEMPT_DURATION, QUEUE_DELAY, IN_FLIGHT, COMMIT_BATCH),
    *(CONFLICTS, UNSURE, FINDS, HINTS_LOST, DEAD_LETTERS, OLDEST_WAITING, DUE, STALE),
)
"""All of them."""


def step_label(step: str) -> str:
    """The name of a step, of which there are few: elements of a list have the name of theirs.

    Example:
        >>> step_label("reserve[217]")
        'reserve'
    """
    return step.partition("[")[0]


class Figures(Observer, ABC):
    """Turns what an engine tells into changes of metrics.

    Args:
        sample_every: how often this process asks the store what waits; None leaves that to another one.

    Raises:
        ConfigurationError: the pause is not longer than nothing.
    """

    def __init__(self, sample_every: timedelta | None = None) -> None:
        if sample_every is not None and sample_every <= timedelta():
            raise ConfigurationError(
                f"sample_every={sample_every!r}: write timedelta(seconds=15), say, or None for never"
            )
        self.sample_every = sample_every
        self._names: set[tuple[str, str]] = set()

    @abstractmethod
    def change(self, metric: Metric, value: float, *labels: str) -> None:
        """Take a value in: what is added to a counter or a level, what a gauge is, what a histogram is to count."""

    def begin(self) -> None:
        """Begin to count at nothing: whoever asks for an increase does not see one from nowhere to the first value."""
        for metric in METRICS:
            if metric.kind is Kind.COUNTER and not metric.labels:
                self.change(metric, 0)
        self.swept(0, 0)

    def _known(self, saga: str, step: str = "") -> tuple[str, str]:
        """Names that are told apart: these, or ``other`` when there are too many already."""
        pair = saga, step_label(step)
        if pair not in self._names:
            if len(self._names) >= NAMES_LIMIT:
                return OTHER, OTHER
            self._names.add(pair)
            if not step:
                for status in sorted(TERMINAL):
                    self.change(SAGAS_ENDED, 0, saga, status)
        return pair

    # ------------------------------------------------------------------ what is told

    def saga_started(self, saga: SagaState) -> None:
        self.change(SAGAS_STARTED, 1, self._known(saga.saga)[0])

    def saga_ended(self, saga: SagaState) -> None:
        name = self._known(saga.saga)[0]
        ended_at = saga.completed_at if saga.completed_at is not None else saga.updated_at
        self.change(SAGAS_ENDED, 1, name, saga.status)
        self.change(SAGA_DURATION, max(0.0, ended_at - saga.created_at), name, saga.status)

    def attempt_began(self, attempt: Attempt) -> None:
        if attempt.waited is not None:
            self.change(QUEUE_DELAY, attempt.waited, self._known(attempt.saga)[0], attempt.direction)

    def running(self, attempt: Attempt) -> AbstractContextManager[None]:
        return self._in_flight(self._known(attempt.saga)[0], attempt.direction)

    @contextmanager
    def _in_flight(self, saga: str, direction: str) -> Generator[None]:
        self.change(IN_FLIGHT, 1, saga, direction)
        try:
            yield
        finally:
            self.change(IN_FLIGHT, -1, saga, direction)

    def attempt_ended(self, attempt: Attempt, end: AttemptEnd, seconds: float) -> None:
        self.change(ATTEMPT_DURATION, seconds, *self._known(attempt.saga, attempt.step), attempt.direction, end)

    def committed(self, changes: int, conflicts: int, unsure: int) -> None:
        self.change(COMMIT_BATCH, changes)
        if conflicts:
            self.change(CONFLICTS, conflicts)
        if unsure:
            self.change(UNSURE, unsure)

    def swept(self, due: int, orphans: int) -> None:
        self.change(FINDS, due, "due")
        self.change(FINDS, orphans, "orphan")

    def hints_lost(self, hints: int) -> None:
        self.change(HINTS_LOST, hints)

    def dead_lettered(self) -> None:
        self.change(DEAD_LETTERS, 1)

    def sampled(self, sample: Sample) -> None:
        self.change(OLDEST_WAITING, sample.oldest)
        self.change(DUE, sample.due)
        self.change(STALE, sample.stale)
