"""What can happen to a saga. Illegal values are refused here, so that ``decide`` need not look for them.

``at`` is the store's time, in seconds since the epoch, at which the event was seen.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from .state import Direction


class Fate(StrEnum):
    """How an attempt ended that did not succeed."""

    ABORTED = "aborted"
    """By ``Abort``, or an exception type of ``abort_on``: nothing happened, no further attempt."""
    RETRYABLE = "retryable"
    """By an exception that the policy retries, or by a timeout that it retries."""
    FINAL = "final"
    """By an exception that the policy does not retry."""
    UNRECORDABLE = "unrecordable"
    """It returned, but its output cannot be stored."""
    REFUSED = "refused"
    """Its handler could not be called: a context or an input cannot be read. Certainly nothing happened."""


class Claimed(Struct, frozen=True, tag=True):
    """A worker wants to run the open attempt of a step."""

    step: str
    direction: Direction
    owner: str
    at: float


class Succeeded(Struct, frozen=True, tag=True):
    """An attempt returned. ``output`` is the payload; None for a compensation, and only for that."""

    step: str
    direction: Direction
    attempt: int
    output: str | None
    at: float

    def __post_init__(self) -> None:
        if (self.output is None) is not (self.direction is Direction.UNDO):
            raise ValueError(
                f"Succeeded({self.step!r}, {self.direction}): a step has an output, a compensation has none"
            )


class Ended(Struct, frozen=True, tag=True):
    """An attempt did not succeed.

    ``error`` is a payload. ``after`` is the wait, in seconds, that the handler itself asked for; only with
    ``Fate.RETRYABLE``.
    """

    step: str
    direction: Direction
    attempt: int
    fate: Fate
    error: str
    at: float
    after: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None and (self.fate is not Fate.RETRYABLE or self.after < 0):
            raise ValueError(
                f"Ended(fate={self.fate}, after={self.after}): only what is retried waits, and not negatively"
            )


class Released(Struct, frozen=True, tag=True):
    """A claim was given back before its handler began: that is no attempt."""

    step: str
    direction: Direction
    attempt: int
    at: float


class WorkerLost(Struct, frozen=True, tag=True):
    """A worker is recorded as dead: whatever it had claimed may have happened, or not."""

    owner: str
    at: float


class Ticked(Struct, frozen=True, tag=True):
    """Time has passed: a start or a deadline may have come."""

    at: float


class CompensationRequested(Struct, frozen=True, tag=True):
    """Somebody wants the saga undone, whether it runs or has completed."""

    reason: str
    at: float


class CancellationRequested(Struct, frozen=True, tag=True):
    """Somebody wants the saga stopped and undone while it runs."""

    reason: str
    at: float


Request = CompensationRequested | CancellationRequested
"""What can wait in an inbox."""

Event = Claimed | Succeeded | Ended | Released | WorkerLost | Ticked | Request
