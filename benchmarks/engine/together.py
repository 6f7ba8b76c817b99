"""SagaFlow in one process, which starts sagas and works on them: on servers, on SQLite, or in memory."""

from __future__ import annotations

import asyncio
import os

from benchmarks import figures, load
from benchmarks.engine import sagas
from benchmarks.engine.apart import alone, timed
from benchmarks.engine.making import make
from benchmarks.engine.reading import records_of
from benchmarks.task import Task


async def main(task: Task) -> None:
    """Measure by the task."""
    made = make(task)
    async with made.engine as engine:
        await alone(engine, made.saga, task.workload, load.WARM_UP)
        found = await alone(engine, made.saga, task.workload, task.alone)
        ends = made.calls.ends = sagas.Ends()
        ids: set[str] = set()

        async def sell(_: int) -> None:
            handle = await engine.start(made.saga, task.workload)
            ids.add(handle.id)
            await ends[handle.id].wait()
            del ends[handle.id]

        meter = figures.Meter({"all": os.getpid()})
        meter.start()
        await load.at_once(sell, task.in_flight, task.seconds)
        while (await engine.list_active(limit=1)).sagas:  # noqa: ASYNC110  # only their last commits are missing
            await asyncio.sleep(0.01)
        cpu, memory = meter.stop(), meter.memory()
        found |= timed(await records_of(engine, ids, 0), cpu) | memory
        everything = await records_of(engine, None, 0)
        sagas.check(everything, task.workload)
    handlers = sagas.handlers_of(task.workload)
    assert made.calls.count == len(everything) * handlers, f"{made.calls.count} calls for {len(everything)} sagas"
    task.answer(found)


if __name__ == "__main__":
    asyncio.run(main(Task.given()))
