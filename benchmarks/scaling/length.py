"""Sagas of 3, 10 and 50 steps in a row: what one transition costs as they get longer."""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.engine.sagas import CHAIN
from benchmarks.figures import RATE, WORKER_CPU
from benchmarks.scaling.loads import under_load, variant
from benchmarks.task import Task

_LENGTHS: Final = (3, 10, 50)
_IN_FLIGHT: Final = 100


async def measure(task: Task) -> dict[str, float]:
    """Milliseconds, and of them those of the worker's CPU, for each step that a saga makes."""
    found: dict[str, float] = {}
    for length in _LENGTHS:
        figures = await under_load(variant(task, f"length_{length}", f"{CHAIN}{length}", _IN_FLIGHT), "chain")
        found[f"{length} steps, ms a step"] = 1_000 / figures[RATE] / length
        found[f"{length} steps, worker CPU ms a step"] = figures[WORKER_CPU] / length
    shortest, longest = min(_LENGTHS), max(_LENGTHS)
    for what, name in (("time", "ms a step"), ("CPU", "worker CPU ms a step")):
        share = found[f"{longest} steps, {name}"] / found[f"{shortest} steps, {name}"]
        found[f"{what} of {longest} steps, of {shortest}"] = share
    return found


if __name__ == "__main__":
    given = Task.given()
    given.answer(asyncio.run(measure(given)))
