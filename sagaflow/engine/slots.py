"""How many handlers run at once."""

from __future__ import annotations

import asyncio


class Slots:
    """A bound on what runs at once. Unlike a semaphore it can be taken without waiting, and beyond its bound.

    Beyond it only for what the store already says is ours: an attempt must not wait for a slot while it is claimed.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken: int = 0
        self._changed = asyncio.Event()

    @property
    def free(self) -> int:
        return max(0, self.total - self.taken)

    def take(self) -> None:
        self.taken += 1

    def try_take(self) -> bool:
        if self.taken >= self.total:
            return False
        self.taken += 1
        return True

    def give(self, count: int = 1) -> None:
        self.taken -= count
        if self.taken < self.total:
            self._changed.set()

    async def wait(self) -> None:
        """Return when a slot is free; it is not taken."""
        while self.taken >= self.total:
            self._changed.clear()
            await self._changed.wait()
