"""Looking at sagas."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

from ..core.state import SagaStatus
from ..ports import Query
from ..record import SagaRecord
from ..saga import Saga
from .arguments import checked_id, checked_tags
from .base import EngineBase
from .reports import SagaPage, Stranded
from .stranded import find_stranded


class Looking(EngineBase):
    """The part of an engine that shows sagas."""

    async def get(self, saga_id: str, /) -> SagaRecord[Any]:
        """The record of a saga. Without its class in this engine, its payloads come as plain builtins.

        Raises:
            SagaNotFound, StoreUnavailable
        """
        stored = await self._load(saga_id)
        return (await self._records([stored.state]))[0]

    async def list(
        self,
        *,
        saga: type[Saga[Any]] | str | None = None,
        statuses: Iterable[SagaStatus | str] = (),
        tags: Iterable[str] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> SagaPage:
        """Records, newest first, a page at a time.

        Args:
            saga: of this class alone.
            statuses: in one of these.
            tags: with all of these.
            limit: of the records of one page.
            cursor: of the page before, ``SagaPage.cursor``.

        Raises:
            ValueError: no such status, no such cursor, or what can be no tag.
            StoreUnavailable
        """
        self._must_be_open()
        name = saga if isinstance(saga, str) or saga is None else self._binding_of(saga).definition.name
        page = await self._store.find(
            Query(
                sagas=(name,) if name is not None else (),
                statuses=tuple(SagaStatus(status) for status in statuses),
                tags=checked_tags(tags),
                limit=limit,
                cursor=cursor,
            )
        )
        return SagaPage(tuple(await self._records(page.sagas)), page.cursor)

    async def list_active(self, *, limit: int = 100, cursor: str | None = None) -> SagaPage:
        """Records of the sagas that have not ended. See ``list``."""
        active = [status for status in SagaStatus if not status.is_terminal]
        return await self.list(statuses=active, limit=limit, cursor=cursor)

    async def watch(self, saga_id: str, /) -> AsyncGenerator[SagaRecord[Any], None]:
        """A saga's record now, and each newer one that is seen, until it has ended. See ``SagaHandle.changes``."""
        self._must_be_open()
        async with aclosing(self._watcher.states(checked_id(saga_id))) as states:
            async for state in states:
                yield (await self._records([state]))[0]

    async def wait(self, saga_id: str, /) -> SagaRecord[Any]:
        """A saga's record once it has ended. See ``SagaHandle.wait``."""
        self._must_be_open()
        state = await self._watcher.last(checked_id(saga_id))
        return (await self._records([state]))[0]

    async def stranded(self, *, limit: int = 1_000) -> Sequence[Stranded]:
        """The live sagas that were started by earlier versions of this engine's classes and cannot go on with these.

        Run it with the new version of a class before the last worker with the old one is gone.

        Returns:
            a line for each saga and step that nothing here can do, undo or probe, should it come to that; the oldest
            sagas first, at most ``limit`` lines.

        Raises:
            StoreUnavailable
        """
        self._must_be_open()
        return await find_stranded(self._store, self._bindings, limit)
