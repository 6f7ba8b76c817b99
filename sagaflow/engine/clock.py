"""The store's time, carried on by this machine's monotonic clock."""

from __future__ import annotations

from .machine import Machine


class StoreClock:
    """A ``Clock``: sampled with each heartbeat, so that the machine's own wall clock is never trusted for long."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        # Until the first sample the wall clock is the best guess.
        self._offset = machine.wall() - machine.monotonic()

    def now(self) -> float:
        return self._machine.monotonic() + self._offset

    def monotonic(self) -> float:
        return self._machine.monotonic()

    def observe(self, store_time: float, asked_at: float, answered_at: float) -> None:
        self._offset = store_time - (asked_at + answered_at) / 2
