"""What an overview shows of a store: numbers of sagas, and those that have been at it for longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from ..core.state import SagaState, SagaStatus


class Tally(Struct, frozen=True):
    """How many sagas of one class have one status; classes and statuses of which there is none are left out."""

    saga: str
    status: SagaStatus
    count: int


class Ended(Struct, frozen=True):
    """How many sagas came to their end, in one way, in one stretch of time.

    Attributes:
        stretch: the number of the stretch, from 0.
        status: how they ended.
        count: how many; never 0.
    """

    stretch: int
    status: SagaStatus
    count: int


class Survey(Protocol):
    """The part of a store that an overview needs. Nothing here writes, and no payload is read for a number.

    Each call is answered from indexes: at 100,000 sagas in some hundredths of a second. Tombstones are left out.
    Every method raises StoreUnavailable if the store does not answer in time. Reads are majority reads.
    """

    async def tally(self) -> list[Tally]:
        """How many sagas there are, by class and status; in no order."""
        ...

    async def ended(self, since: float, width: float, stretches: int) -> list[Ended]:
        """How many sagas came to their end in each of so many stretches of ``width`` seconds from ``since`` on.

        A stretch has its beginning and not its end. Counted are sagas that stand at their end now, by their
        ``completed_at``.
        """
        ...

    async def oldest(self, statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
        """The sagas of these statuses that were created first, the oldest first, ties by id."""
        ...
