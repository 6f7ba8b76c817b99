"""How everything is, in one answer: numbers, what has ended lately, and what somebody should look at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from msgspec import Struct

from ..core.state import SagaStatus
from ..engine.engine import Engine
from ..record import SagaRecord
from ..views import SagaSummary, Wait, WaitsFor, saga_summary, waits

Span = Literal["hour", "day", "week"]

_STRETCHES: Final[dict[Span, tuple[timedelta, int]]] = {
    "hour": (timedelta(minutes=1), 60),
    "day": (timedelta(minutes=30), 48),
    "week": (timedelta(hours=3), 56),
}
_FRESH: Final = 2.0
"""Seconds for which an answer is good for others who ask."""

_SHOWN: Final = 8
_ENDS: Final = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


class Counts(Struct, frozen=True):
    """The sagas of one class: how many there are of each status that there is."""

    saga: str
    statuses: dict[str, int]


class Chart(Struct, frozen=True):
    """How many sagas ended in each stretch of time.

    Attributes:
        since: when the first stretch begins.
        width: of a stretch, in seconds.
        ends: for each way to end, a number for each stretch.
    """

    since: datetime
    width: float
    ends: dict[str, list[int]]


class Attention(Struct, frozen=True):
    """A saga that somebody should look at; ``next`` says what it waits for."""

    saga: SagaSummary
    next: str


class OverviewData(Struct, frozen=True):
    """How everything is.

    Attributes:
        at: when this was so.
        totals: how many sagas have each status.
        sagas: the same by class, in the order of the alphabet.
        chart: what has ended lately.
        oldest: the sagas that have not ended and were started first.
        failed: the sagas that failed and were started last.
    """

    at: datetime
    totals: dict[str, int]
    sagas: tuple[Counts, ...]
    chart: Chart
    oldest: tuple[Attention, ...]
    failed: tuple[Attention, ...]


class Overview:
    """Looks at everything at most every two seconds, however many ask."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[Span, tuple[float, asyncio.Task[OverviewData]]] = {}

    async def look(self, span: Span) -> OverviewData:
        """How everything is, by the chart of the last hour, day or week.

        Raises:
            StoreUnavailable
        """
        at, task = self._known.get(span, (0.0, None))
        is_good = task is not None and not (task.done() and (task.cancelled() or task.exception()))
        if task is None or not is_good or time.monotonic() > at + _FRESH:
            task = asyncio.create_task(self._look(span), name=f"overview of the {span}")
            self._known[span] = (time.monotonic(), task)
        return await asyncio.shield(task)

    async def _look(self, span: Span) -> OverviewData:
        now = datetime.now(UTC)
        tallies = await self._engine.tally()
        names = sorted({tally.saga for tally in tallies} | set(self._engine.sagas))
        failed = await self._engine.list(statuses=[SagaStatus.FAILED], limit=_SHOWN)
        return OverviewData(
            at=now,
            totals={status: sum(one.count for one in tallies if one.status is status) for status in SagaStatus},
            sagas=tuple(Counts(name, {one.status: one.count for one in tallies if one.saga == name}) for name in names),
            chart=await self._chart(span, now),
            oldest=_attention(await self._engine.oldest(limit=_SHOWN), now),
            failed=_attention(failed.sagas, now),
        )

    async def _chart(self, span: Span, now: datetime) -> Chart:
        width, stretches = _STRETCHES[span]
        seconds = width.total_seconds()
        # Stretches stay where they are while time goes on; the last one is not over.
        last = now.timestamp() // seconds * seconds
        since = datetime.fromtimestamp(last - (stretches - 1) * seconds, UTC)
        ends = {str(status): [0] * stretches for status in _ENDS}
        for one in await self._engine.ended(since, width, stretches):
            ends[one.status][one.stretch] += one.count
        return Chart(since, seconds, ends)


def _attention(records: Sequence[SagaRecord[Any]], now: datetime) -> tuple[Attention, ...]:
    return tuple(Attention(saga_summary(record), _next(waits(record, now))) for record in records)


def _next(found: Sequence[Wait]) -> str:
    """What holds a saga up: not that a step waits for another one, but what that one waits for."""
    first = min(
        found, key=lambda wait: wait.waits_for in (WaitsFor.STEPS, WaitsFor.PLACE, WaitsFor.DEADLINE), default=None
    )
    return first.text if first is not None else ""
