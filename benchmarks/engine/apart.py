"""SagaFlow as services have it: this process starts sagas and works on none; worker processes do, through the broker.

*Under load* it starts sagas while fewer than ``in_flight`` of those that it has started are unfinished, which it sees
by counting in the database, until the time is up; the clock stops when the last one has ended, by the store's time.
*Alone* it starts one, and waits for its result, before it starts the next.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from pymongo import AsyncMongoClient

from benchmarks import figures, load
from benchmarks.engine import sagas
from benchmarks.engine.making import make
from benchmarks.engine.reading import records_of
from benchmarks.engine.workers import Workers, working
from benchmarks.task import Task
from sagaflow import Engine, SagaRecord

STARTERS: Final = 100
"""Calls of ``start`` under way at once."""
STORED: Final = "stored "
"""Before the name of a quantile: as the store has dated it, not as the starter has seen it."""

STEADY: Final = "steady sagas/s"

_LOOK_EVERY: Final = 0.05  # seconds
_UNFINISHED: Final = {"$in": ["scheduled", "started", "compensating"]}

SLACK: Final = 5.0
"""Seconds that the clocks of a process and of the store, as that sees it, certainly do not lie apart."""


class Backlog:
    """How many of the sagas since some time are unfinished, and who waits for there to be fewer."""

    def __init__(self, client: AsyncMongoClient[Any], most: int, since: float) -> None:
        self._sagas = client.get_default_database().get_collection("sagaflow_sagas")
        self._unfinished = {"status": _UNFINISHED, "created_at": {"$gte": since}}
        self._most = most
        self._room = most
        self._count = 0
        self._looked = asyncio.Event()

    async def room(self) -> None:
        """Return when one more may be started, and count it."""
        while self._room <= 0:
            await self._looked.wait()
        self._room -= 1

    async def look(self) -> None:
        """Count, again and again."""
        while True:
            self._count = await self._sagas.count_documents(self._unfinished)
            # Of those that are started while the server counts it may miss some: then a few more are under way.
            self._room = self._most - self._count
            looked, self._looked = self._looked, asyncio.Event()
            looked.set()
            await asyncio.sleep(_LOOK_EVERY)

    async def emptied(self) -> None:
        """Return when nothing is unfinished, after the last has been started."""
        await self._looked.wait()  # this look may have begun before the last start; the next one has not
        while True:
            await self._looked.wait()
            if self._count == 0:
                return


@asynccontextmanager
async def backlog_of(task: Task, since: float) -> AsyncIterator[Backlog]:
    """The backlog of a task's database, looked at all the while."""
    async with AsyncMongoClient[Any](task.mongo) as client:
        backlog = Backlog(client, task.in_flight, since)
        looking = asyncio.create_task(backlog.look())
        try:
            yield backlog
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)


async def loaded(task: Task, engine: Engine, saga: Any, context: object, workers: Workers) -> dict[str, float]:
    """The figures of a load; sagas that were there before must have ended."""
    meter = figures.Meter({"starter": os.getpid(), **roles(workers)})
    since = time.time() - SLACK
    ids: set[str] = set()
    async with backlog_of(task, since) as backlog:

        async def start(_: int) -> None:
            await backlog.room()
            ids.add((await engine.start(saga, context)).id)

        meter.start()
        await load.at_once(start, STARTERS, task.seconds)
        await backlog.emptied()
        cpu = meter.stop()
    found = await records_of(engine, ids, since)
    sagas.check(found, task.workload)
    return timed(found, cpu) | meter.memory()


def timed(records: Sequence[SagaRecord[Any]], cpu: dict[str, float]) -> dict[str, float]:
    """The figures of a load by what the store has dated: from the first beginning to the last end.

    ``STEADY`` is the rate from the first end to the last beginning, while neither has the load begun nor does it fade.
    """
    begins = [record.created_at.timestamp() for record in records]
    ends = [record.completed_at.timestamp() for record in records if record.completed_at is not None]
    waits = [end - begin for begin, end in zip(begins, ends, strict=True)]
    found = figures.loaded(len(records), max(ends) - min(begins), cpu, waits)
    first, last = min(ends), max(begins)
    if last > first:
        found[STEADY] = sum(first <= end <= last for end in ends) / (last - first)
    return found


async def alone(engine: Engine, saga: Any, context: object, count: int) -> dict[str, float]:
    """The figures of sagas one at a time, as their starter sees them, and as the store has them."""
    since = time.time() - SLACK
    ids: set[str] = set()

    async def sell(_: int) -> None:
        handle = await engine.start(saga, context)
        await handle.wait()
        ids.add(handle.id)

    found = figures.quantiles((await load.alone(sell, count)).waits)
    waits = [
        (record.completed_at - record.created_at).total_seconds()
        for record in await records_of(engine, ids, since)
        if record.completed_at is not None
    ]
    return found | figures.quantiles(waits, STORED)


def roles(workers: Workers) -> dict[str, int]:
    """The workers' pids, by names for a meter."""
    return {f"worker {number}": pid for number, pid in enumerate(workers.pids)}


async def main(task: Task) -> None:
    """Measure by the task; its option ``queues`` names those that have a worker of their own, with spaces."""
    queues = task.options["queues"].split() if "queues" in task.options else [None]
    async with working(task, queues) as workers:
        made = make(task, work="none")
        async with made.engine as engine:
            await alone(engine, made.saga, task.workload, load.WARM_UP)
            found = await alone(engine, made.saga, task.workload, task.alone)
            found |= await loaded(task, engine, made.saga, task.workload, workers)
            everything = await records_of(engine, None, 0)
            sagas.check(everything, task.workload)
        calls = sum(await workers.end())
        assert calls == len(everything) * sagas.handlers_of(task.workload), f"{calls} calls for {len(everything)} sagas"
    task.answer(found)


if __name__ == "__main__":
    asyncio.run(main(Task.given()))
