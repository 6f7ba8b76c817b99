"""The store's time, carried on by this machine's monotonic clock."""

from __future__ import annotations

from typing import Final

from .machine import Machine

_DRIFT: Final = 0.001
"""Seconds that two clocks may go apart in a second; those of good order do so by far less."""


class StoreClock:
    """A ``Clock``: sampled with each heartbeat, so that the machine's own wall clock is never trusted for long.

    A sample says only that the store read its clock at some moment of the round trip, which may be long where a
    machine is busy. So the samples together are believed: the offset lies where they overlap, the earlier ones being
    worth less as they age. One that contradicts them says that a clock was set, and is believed alone. (See
    https://en.wikipedia.org/wiki/Marzullo%27s_algorithm)
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._low, self._high = float("-inf"), float("inf")
        self._observed_at = machine.monotonic()
        # Until the first sample the wall clock is the best guess.
        self._offset = machine.wall() - machine.monotonic()

    def now(self) -> float:
        return self._machine.monotonic() + self._offset

    def monotonic(self) -> float:
        return self._machine.monotonic()

    def observe(self, store_time: float, asked_at: float, answered_at: float) -> None:
        earliest = store_time - answered_at
        latest = store_time - asked_at + _DRIFT * (answered_at - asked_at)
        apart = _DRIFT * (answered_at - self._observed_at)
        self._low, self._high = max(earliest, self._low - apart), min(latest, self._high + apart)
        if self._low > self._high:
            self._low, self._high = earliest, latest
        self._observed_at = answered_at
        self._offset = (self._low + self._high) / 2
