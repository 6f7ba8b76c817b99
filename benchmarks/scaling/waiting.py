"""Handlers that wait, as those that call services do: with so many sagas in flight, a worker does so many a second.

Three handlers of 500 ms make a saga of 1.5 s: of a thousand in flight, 667 end each second if nothing is in the way.
The rates are those of the time between the first end and the last beginning.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from benchmarks.engine.apart import STEADY
from benchmarks.engine.sagas import WAITING
from benchmarks.figures import WORKER_MEMORY
from benchmarks.scaling.loads import under_load, variant
from benchmarks.task import Task

_SECONDS: Final = 0.5
_STEPS: Final = 3
_SIZES: Final = (100, 300, 1_000)
_LONGER: Final = 3
"""Times as long as other loads, for each saga takes so long."""
_SHARED: Final = 300
"""In flight for each of two workers, and for the one that they are compared with."""


async def measure(task: Task) -> dict[str, float]:
    """Sagas a second, and the share of what so many in flight could be."""
    found: dict[str, float] = {}
    task = replace(task, seconds=_LONGER * task.seconds)
    for size in _SIZES:
        its = variant(task, f"waiting_{size}", WAITING, size, concurrency=str(size))
        figures = await under_load(its, _SECONDS)
        found[f"{size} in flight, sagas/s"] = figures[STEADY]
        found[f"{size} in flight, of what is possible"] = figures[STEADY] / (size / (_STEPS * _SECONDS))
        found[f"{size} in flight, worker peak MB"] = figures[WORKER_MEMORY]
    smallest, largest = min(_SIZES), max(_SIZES)
    rates = {size: found[f"{size} in flight, sagas/s"] for size in _SIZES}
    found[f"{largest} in flight, of proportion"] = rates[largest] / rates[smallest] / (largest / smallest)
    its = variant(task, "two_workers", WAITING, 2 * _SHARED, concurrency=str(_SHARED))
    two = (await under_load(its, _SECONDS, workers=2))[STEADY]
    return found | {"two workers, sagas/s": two, "two workers, of one": two / rates[_SHARED]}


if __name__ == "__main__":
    given = Task.given()
    given.answer(asyncio.run(measure(given)))
