"""What a check reads of a store: all of it, a page at a time, and what no single saga says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from ..core.state import SagaState


class Inspected(Struct, frozen=True):
    """A saga with what the store has beside it, all as it was at one moment.

    Attributes:
        state: the saga.
        due_at: when ``due`` finds it; None if it does not.
        requests: how many requests wait in its inbox.
        owners: those whose claims on it the store finds by their name, sorted.
    """

    state: SagaState
    due_at: float | None = None
    requests: int = 0
    owners: tuple[str, ...] = ()


class Inspection(Protocol):
    """The part of a store that a check needs. Nothing here writes, and no call reads more than a page.

    Every method raises StoreUnavailable if the store does not answer in time. Reads are majority reads.
    """

    async def now(self) -> float:
        """The store's clock, seconds since the epoch: the same that ``Heart.beat`` shows."""
        ...

    async def scan(self, after: str | None, limit: int) -> list[str]:
        """The ids of sagas, sorted, that come after this one; from the first if it is None. Tombstones are left out.

        A saga that is there all the time is found by whoever asks for page after page.
        """
        ...

    async def inspect(self, saga_ids: Sequence[str]) -> dict[str, Inspected]:
        """Those among these sagas that exist.

        Raises:
            Exception: one of them cannot be read. Whoever wants the others asks for them one by one.
        """
        ...

    async def deaths(self, workers: Sequence[str]) -> dict[str, float | None]:
        """When each of these workers died, by the store's clock; None for one that lives. Unknown ones are left out."""
        ...

    async def lines(self, after: str | None, limit: int) -> list[str]:
        """The keys of locks for which somebody stands in line, as ``scan`` gives ids."""
        ...
