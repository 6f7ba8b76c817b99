"""What a page of operators asks of an engine: how many sagas there are, the oldest ones, those whose id begins so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ..core.state import SagaStatus
from ..ports import Ended, Query, Tally
from ..record import SagaRecord
from ..saga import Saga, SagaTypes
from .arguments import checked_id
from .base import EngineBase
from .reading import load_readable
from .reports import SagaPage

_ACTIVE = tuple(status for status in SagaStatus if not status.is_terminal)


class Surveying(EngineBase):
    """The part of an engine that shows many sagas at once."""

    @property
    def sagas(self) -> Mapping[str, type[Saga[Any]]]:
        """Its classes by the names of their sagas."""
        found = self._bindings.classes
        return {name: binding.saga for name, binding in found.items() if binding.saga is not None}

    def types_of(self, saga: type[Saga[Any]], /) -> SagaTypes:
        """The types of one of its classes: of the context, and of what its steps yield.

        Raises:
            NoEngine: it does not have the class.
        """
        return self._binding_of(saga).types

    async def tally(self) -> list[Tally]:
        """How many sagas there are, by class and status.

        Raises:
            StoreUnavailable
        """
        self._must_be_open()
        return await self._store.tally()

    async def ended(self, since: datetime, width: timedelta, stretches: int) -> list[Ended]:
        """How many sagas came to their end in each of so many stretches of time from ``since`` on.

        Raises:
            StoreUnavailable
        """
        self._must_be_open()
        return await self._store.ended(since.timestamp(), width.total_seconds(), stretches)

    async def oldest(self, *, statuses: Sequence[SagaStatus] = _ACTIVE, limit: int = 10) -> Sequence[SagaRecord[Any]]:
        """The records of the sagas that were started first; by default of those that have not ended.

        Raises:
            StoreUnavailable
        """
        self._must_be_open()
        return await self._records(await self._store.oldest(statuses, limit))

    async def find(self, query: Query) -> SagaPage:
        """Records by a query of the store, newest first. See ``list``.

        Raises:
            ValueError: the cursor is none of a page.
            StoreUnavailable
        """
        self._must_be_open()
        page = await self._store.find(query)
        return SagaPage(tuple(await self._records(page.sagas)), page.cursor)

    async def named(self, beginning: str, *, limit: int = 50) -> Sequence[SagaRecord[Any]]:
        """The records of the sagas whose id begins so, by id; the very one first, if there is one.

        Raises:
            ValueError: it is the beginning of no id.
            StoreUnavailable
        """
        self._must_be_open()
        beginning = checked_id(beginning)
        after = await self._store.scan(beginning, limit)
        ids = [beginning, *(one for one in after if one.startswith(beginning))]
        found = {stored.state.id: stored.state for stored in await load_readable(self._store, ids)}
        return await self._records([found[saga_id] for saga_id in ids[: limit + 1] if saga_id in found])
