"""How sagas are put to a contestant that is asynchronous: many at once until the time is up, or one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

WARM_UP: Final = 50
"""Sagas before anything is measured: connections, caches, the interpreter's own warming up."""


@dataclass(frozen=True)
class Load:
    """What was seen: seconds that each saga took, and all of them together."""

    waits: list[float]
    seconds: float


async def at_once(sell: Callable[[int], Awaitable[None]], callers: int, seconds: float) -> Load:
    """So many callers that each do one saga after another, until the time is up.

    Args:
        sell: starts the saga of this number, and returns when it has ended.
    """
    waits: list[float] = []
    numbers = count()
    began = time.perf_counter()

    async def call() -> None:
        while (at := time.perf_counter()) < began + seconds:
            await sell(next(numbers))
            waits.append(time.perf_counter() - at)

    await asyncio.gather(*(call() for _ in range(callers)))
    return Load(waits, time.perf_counter() - began)


async def alone(sell: Callable[[int], Awaitable[None]], sagas: int) -> Load:
    """One saga after another."""
    waits: list[float] = []
    began = time.perf_counter()
    for number in range(sagas):
        at = time.perf_counter()
        await sell(number)
        waits.append(time.perf_counter() - at)
    return Load(waits, time.perf_counter() - began)
