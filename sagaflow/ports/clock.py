"""What time it is: a port, so that tests and simulations can tell."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks: the store's, which all processes share, and this machine's, which never jumps."""

    def now(self) -> float:
        """The store's time, in seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary point; it only moves forward, also while the process is stopped."""
        ...

    def observe(self, store_time: float, asked_at: float, answered_at: float) -> None:
        """Take in a sample of the store's time, which was asked for and answered at these ``monotonic`` moments."""
        ...
