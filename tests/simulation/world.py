"""Virtual time: what happens when, and the story of it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Final

BEGINNING: Final = 1_700_000_000.0
"""Seconds since the epoch at which every simulation begins."""


class World:
    """A heap of things that are to happen. Nothing else happens, so that one seed is one run.

    Attributes:
        random: decides everything that is left to chance.
        now: seconds since the epoch, as the servers see it.
        story: what has happened, a line each, for whoever must understand a run that went wrong.
        faults: how many of them there were.
        broken: what was found to be wrong; nothing happens any more then.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = BEGINNING
        self.story: list[tuple[float, str, str]] = []
        self.faults = 0
        self.broken: AssertionError | None = None
        self._order = count()
        self._coming: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, delay: float, call: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        heapq.heappush(self._coming, (self.now + delay, next(self._order), call))

    def run(self, *, until: float, unless: Callable[[], bool]) -> None:
        """Let happen what comes, up to a time, or until there is no need any more."""
        while self._coming and self._coming[0][0] <= until and not unless():
            self.now, _, call = heapq.heappop(self._coming)
            call()
            if self.broken is not None:
                raise self.broken
        if not unless():
            self.now = max(self.now, until)

    def tell(self, who: str, what: str) -> None:
        """Add a line to the story."""
        self.story.append((self.now - BEGINNING, who, what))

    def fault(self, who: str, what: str) -> None:
        """Add a line that tells of a fault."""
        self.faults += 1
        self.tell(who, f"! {what}")
