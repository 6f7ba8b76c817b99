"""Waiting for what only another process, or a thread, makes true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def until(see: Callable[[], Awaitable[T]], *, seconds: float = ...) -> T: ...
@overload
async def until(see: Callable[[], T], *, seconds: float = ...) -> T: ...
async def until(see: Callable[[], Any], *, seconds: float = 20) -> Any:
    """Look again and again; what was seen, once it is true.

    Raises:
        TimeoutError: it was not seen in time.
    """
    async with asyncio.timeout(seconds):
        while True:
            looked = see()
            seen = await looked if isawaitable(looked) else looked
            if seen:
                return seen
            await asyncio.sleep(0.01)
