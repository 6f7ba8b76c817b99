"""A fan-out of a hundred elements, by one worker and by four that all change the same saga."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from benchmarks.engine.sagas import ELEMENTS
from benchmarks.figures import P50, P95
from benchmarks.scaling.loads import COMMITS, one_by_one, variant
from benchmarks.task import Task

_SIZE: Final = 100
_SAGAS: Final = 20
_AT_ONCE: Final = 10
"""Handlers in a worker: one worker alone needs ten rounds of them."""


async def measure(task: Task) -> dict[str, float]:
    """How long one saga takes, by the number of workers."""
    found: dict[str, float] = {}
    for workers in (1, 4):
        its = variant(task, f"elements_{workers}", ELEMENTS, _SIZE, concurrency=str(_AT_ONCE))
        figures = await one_by_one(replace(its, alone=_SAGAS), _SIZE, [None] * workers)
        found |= {f"{workers} workers, {name}": figures[name] for name in (P50, P95, COMMITS)}
    # How many times as fast.
    return found | {"four workers, of one": found["1 workers, p50 ms"] / found["4 workers, p50 ms"]}


if __name__ == "__main__":
    given = Task.given()
    given.answer(asyncio.run(measure(given)))
