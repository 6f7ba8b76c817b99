"""Ending tasks for certain.

Before Python 3.12 ``asyncio.wait_for``, which the drivers use, can swallow a cancellation that comes just when what it
waits for is done. A task that was told to end once may then go on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_AGAIN: Final = 1.0  # seconds after which a task that goes on is told again


def is_cancelled() -> bool:
    """Whether the current task was told to end, even if nothing was raised: what a loop that calls drivers asks."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(tasks: Iterable[asyncio.Task[Any]], *, seconds: float) -> list[asyncio.Task[Any]]:
    """Tell tasks to end, again and again, for so many seconds at most; those that still go on are returned."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + seconds
    pending = [task for task in tasks if not task.done()]
    while pending and (left := give_up_at - loop.time()) > 0:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=min(left, _AGAIN))
        pending = [task for task in pending if not task.done()]
    return pending
