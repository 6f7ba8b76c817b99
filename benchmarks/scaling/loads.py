"""One load on servers, as the scripts of this folder compare several: its workload, its workers, what is in flight."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from benchmarks.engine import sagas
from benchmarks.engine.apart import alone, loaded
from benchmarks.engine.making import make
from benchmarks.engine.reading import records_of
from benchmarks.engine.workers import working
from benchmarks.task import Task

COMMITS: Final = "commits a saga"

_WARM_UP: Final = 10


def variant(task: Task, name: str, workload: str, in_flight: int, **options: str) -> Task:
    """The task of one load, in a database of its own on the same servers."""
    database = task.namespace
    mongo = task.mongo.replace(f"/{database}", f"/{database}_{name}")
    return replace(task, workload=workload, in_flight=in_flight, mongo=mongo, options={**task.options, **options})


async def under_load(task: Task, context: object, workers: int = 1) -> dict[str, float]:
    """The figures of many sagas at once, each checked to have ended as it must."""
    async with working(task, [None] * workers) as working_there:
        made = make(task, work="none")
        async with made.engine as engine:
            await alone(engine, made.saga, context, _WARM_UP)
            found = await loaded(task, engine, made.saga, context, working_there)
        await working_there.end()
        return found


async def one_by_one(task: Task, context: object, workers: Sequence[str | None]) -> dict[str, float]:
    """The figures of some sagas one at a time, each checked to have ended as it must."""
    async with working(task, workers):
        made = make(task, work="none")
        async with made.engine as engine:
            await alone(engine, made.saga, context, 1)
            found = await alone(engine, made.saga, context, task.alone)
            records = await records_of(engine, None, 0)
            sagas.check(records, task.workload)
            # Each commit raises a saga's revision by one.
            return found | {COMMITS: statistics.mean(record.revision for record in records)}
