"""Workers that nobody harms while their servers go through something: what must be true of them in the end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

from .stage import Stage
from .verdict import Figures

STOPPING = 15.0
"""Seconds in which a worker that has nothing in hand ends when it is told to: no coroutine of it waits for ever."""


async def verdict_on_unharmed(stage: Stage, *words: str, seconds: float = 120.0) -> Figures:
    """The verdict, and that no worker ended, no handler was cut off, and each worker ends in order when it is told."""
    figures = await stage.verdict(*words, seconds=seconds)
    cut_off = [attempt for attempt in stage.ledger.attempts() if attempt.ended is None]
    found = [
        *(f"{attempt.key}: begun in process {attempt.pid}, cut off" for attempt in cut_off),
        *(f"worker {worker.pid} ended" for worker in stage.fleet.workers if not worker.runs),
        *[line async for line in _late(stage)],
    ]
    return replace(figures, violations=(*figures.violations, *found))


async def _late(stage: Stage) -> AsyncIterator[str]:
    running = stage.fleet.running()
    for worker in running:
        worker.terminate()
    until = time.monotonic() + STOPPING
    for worker in running:
        try:
            code = await worker.wait(seconds=max(0.1, until - time.monotonic()))
        except TimeoutError:
            yield f"worker {worker.pid} does not end in {STOPPING:g} s\n{worker.log_end()}"
        else:
            if code:
                yield f"worker {worker.pid} ended with code {code}\n{worker.log_end()}"


@dataclass
class Spell:
    """The time in which a fault lasts, and what went on in it."""

    stage: Stage
    began: float
    ended: float = 0.0

    def __str__(self) -> str:
        begun = [self.began, *self._beginnings(), self.ended]
        pause = max(later - sooner for sooner, later in pairwise(begun))
        return f"{len(begun) - 2:,} handlers begun in its {self.ended - self.began:.1f} s, none for {pause:.1f} s"

    def _beginnings(self) -> Iterator[float]:
        return (attempt.began for attempt in self.stage.ledger.attempts() if self.began <= attempt.began <= self.ended)


@asynccontextmanager
async def spell(stage: Stage) -> AsyncIterator[Spell]:
    """The block is the time in which a fault lasts."""
    stage.faults += 1
    lasting = Spell(stage, time.time())
    try:
        yield lasting
    finally:
        lasting.ended = time.time()
