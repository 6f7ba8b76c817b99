"""Logging that stays readable while something is down."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

_PERIOD: Final = 10.0  # seconds; an outage of ten minutes then leaves sixty lines and not sixty thousand


class Throttle:
    """Logs at most one line per ten seconds and topic; the next one says how many were left out."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def log(self, level: int, topic: str, message: str, *args: object) -> None:
        """Log a line; ``topic`` is what is counted, so it must be one of few."""
        now = monotonic()
        if now - self._last.get(topic, -_PERIOD) < _PERIOD:
            self._left_out[topic] = self._left_out.get(topic, 0) + 1
            return
        self._last[topic] = now
        left_out = self._left_out.pop(topic, 0)
        suffix = f" ({left_out} more like it in the last seconds)" if left_out else ""
        self._logger.log(level, message + suffix, *args)

    def warning(self, topic: str, message: str, *args: object) -> None:
        """Log a warning, as ``log`` does."""
        self.log(logging.WARNING, topic, message, *args)
