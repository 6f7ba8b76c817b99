"""What the handlers of a test's sagas note down, and the short times that such tests share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

from sagaflow import Retry

SOON = timedelta(seconds=20)


def ms(milliseconds: float) -> timedelta:
    return timedelta(milliseconds=milliseconds)


ONCE = Retry(attempts=1)
THRICE = Retry(attempts=3, backoff=ms(1))
PARKED = Retry(attempts=3, backoff=ms(400), factor=1, jitter=False)
"""Waits longer than ``PARKING`` spends in memory."""


@dataclass
class Diary:
    """Lines in the order in which they were written, and a gate at which a handler can be made to wait."""

    lines: list[str] = field(default_factory=list[str])
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    async def gate(self) -> None:
        """Wait until the test opens the gate."""
        self.reached.set()
        async with asyncio.timeout(SOON.total_seconds()):
            await self.opened.wait()
