"""Logging that stays readable while something is down."""

from __future__ import annotations

import logging
from time import monotonic

_PERIOD = 10.0  # seconds; an outage of ten minutes then leaves sixty lines and not sixty thousand


class Throttle:
    """At most one line per ten seconds and cause; the next one says how many were left out."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, cause: str, message: str, *args: object, **extra: object) -> None:
        """Log a warning; ``cause`` is what is counted, so it must be one of few."""
        now = monotonic()
        if now - self._last.get(cause, -_PERIOD) < _PERIOD:
            self._left_out[cause] = self._left_out.get(cause, 0) + 1
            return
        self._last[cause] = now
        left_out = self._left_out.pop(cause, 0)
        suffix = f" ({left_out} more like it in the last seconds)" if left_out else ""
        self._logger.warning(message + suffix, *args, extra=extra)
