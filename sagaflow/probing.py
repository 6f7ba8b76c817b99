"""What a probe finds out about a step whose outcome is not known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Happened(Generic[T_co]):
    """The step was done, and this is its output.

    Example:
        >>> Happened("tx-17").output
        'tx-17'
    """

    output: T_co


@dataclass(frozen=True, slots=True)
class NotHappened:
    """The step was not done, by none of its attempts, and will not be: nothing that is under way can take effect."""


@dataclass(frozen=True, slots=True)
class StillUnknown:
    """It cannot be told yet.

    Args:
        retry_after: when to ask again; without it, as the policy for compensations says.

    Raises:
        ValueError: the wait is negative.
    """

    retry_after: timedelta | None = None

    def __post_init__(self) -> None:
        if self.retry_after is not None and self.retry_after < timedelta(0):
            raise ValueError(f"StillUnknown({self.retry_after}): a wait is not negative")
