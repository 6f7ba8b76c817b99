"""What an engine has from the machine that it runs on: clocks, chance, new names, and a thread beside its event loop.

All of it comes through here, so that a simulation can be the machine.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from random import Random
from typing import Protocol

from ulid import ULID


class Beside(Protocol):
    """Work that goes on beside the event loop."""

    def hasten(self) -> None:
        """Cut this pause short, and all that follow."""
        ...

    async def ended(self) -> None:
        """Wait for its end."""
        ...


class Machine:
    """The machine itself.

    Attributes:
        random: for jitter; nothing depends on what it says.
    """

    def __init__(self) -> None:
        self.random: Random = Random()

    def wall(self) -> float:
        """Seconds since the epoch, by a clock that may be wrong and may jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary point, by a clock that only moves forward."""
        return time.monotonic()

    def new_id(self) -> str:
        """A name that nobody else has; later ones sort after earlier ones."""
        return str(ULID())

    def beside(self, work: Iterator[float], name: str) -> Beside:
        """Do ``work`` beside the event loop; what it yields are pauses, in seconds."""
        return _Thread(work, name)


class _Thread:
    def __init__(self, work: Iterator[float], name: str) -> None:
        self._work = work
        self._hurried = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for pause in self._work:
            self._hurried.wait(pause)

    def hasten(self) -> None:
        self._hurried.set()

    async def ended(self) -> None:
        await asyncio.to_thread(self._thread.join)
