"""When an attempt is made again: the policy, and the delay that it asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import cast


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when a step, or a compensation, is tried again after an exception.

    Attempt *n* (counted from 1) that fails is followed by a wait of ``backoff * factor ** (n - 1)``, at most
    ``max_delay``. With ``jitter`` the wait is drawn evenly between nothing and that value ("full jitter", Brooker,
    *Exponential Backoff And Jitter*, 2015), so that a thousand sagas that failed together do not come back together.

    Args:
        attempts: how many attempts there are in all, the first included; at least 1. None is without limit.
        backoff: the wait after the first failed attempt.
        factor: by what the wait grows with each further attempt; at least 1.
        max_delay: the longest wait.
        jitter: whether waits are randomised.
        on: the exception types that are worth another attempt; others end the step at once.

    Raises:
        ValueError: a value is out of its range.
        TypeError: ``on`` holds something that is no exception type.

    Example:
        >>> Retry(attempts=5, on=(ConnectionError,)).attempts
        5
    """

    attempts: int | None = 3
    backoff: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    max_delay: timedelta = timedelta(minutes=1)
    jitter: bool = True
    on: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): there is at least 1 attempt, the first one")
        if self.backoff < timedelta(0) or self.max_delay < timedelta(0):
            raise ValueError(f"Retry(backoff={self.backoff}, max_delay={self.max_delay}): a wait is not negative")
        if not 1 <= self.factor < float("inf"):
            raise ValueError(f"Retry(factor={self.factor}): waits do not shrink; write a number of at least 1")
        for kind in cast("tuple[object, ...]", self.on):  # annotations bind nobody at run time
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(f"Retry(on=...): {kind!r} is no exception type; write on=(ConnectionError, ...)")

    def allows(self, tries: int) -> bool:
        """Whether there is another attempt after so many that failed."""
        return self.attempts is None or tries < self.attempts


STEP_RETRY = Retry()
"""What a step has that declares no policy, in a saga that declares none."""

COMPENSATION_RETRY = Retry(attempts=10)
"""What a compensation has likewise: an undo is worth more patience."""


def delay(policy: Retry, failures: int, seed: str) -> float:
    """Seconds to wait after the ``failures``-th failed attempt (from 1).

    Deterministic: the jitter is drawn from ``seed``, so that whoever decides the same event decides the same wait.
    """
    first, cap = policy.backoff.total_seconds(), policy.max_delay.total_seconds()
    try:
        longest = min(first * policy.factor ** (failures - 1), cap)
    except OverflowError:
        longest = cap if first else 0.0
    return longest * _fraction(seed) if policy.jitter else longest


def _fraction(seed: str) -> float:
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
