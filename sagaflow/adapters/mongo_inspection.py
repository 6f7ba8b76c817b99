"""What a check reads of a MongoDB store: by the ids of documents, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, cast

from pymongo import ASCENDING

from ..ports import Inspected
from .mongo_calls import PLAIN, Calls, answering, unbroken
from .mongo_documents import Document, to_due, to_state
from .mongo_filters import SAGA
from .store_rules import check_ids

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

    from .mongo_clients import AsyncClient


class MongoInspection:
    """The ``Inspection`` part of a ``MongoStore``."""

    _client: AsyncClient
    _sagas: AsyncCollection[Document]
    _workers: AsyncCollection[Document]
    _lines: AsyncCollection[Document]
    _timeout: float
    driver_calls: Calls

    @unbroken
    async def now(self) -> float:
        admin = cast("AsyncDatabase[Document]", self._client.get_database("admin"))
        async with self._answering("say what time it is"):
            hello = await admin.command("hello", codec_options=PLAIN)
        return float(hello["localTime"].timestamp())

    @unbroken
    async def scan(self, after: str | None, limit: int) -> list[str]:
        return await self._page(self._sagas, SAGA, after, limit)

    @unbroken
    async def inspect(self, saga_ids: Sequence[str]) -> dict[str, Inspected]:
        check_ids(saga_ids)
        async with self._answering("inspect sagas"):
            documents = await self._sagas.find({"_id": {"$in": list(saga_ids)}, **SAGA}).to_list(None)
        return {document["_id"]: _inspected(document) for document in documents}

    @unbroken
    async def deaths(self, workers: Sequence[str]) -> dict[str, float | None]:
        check_ids(workers)
        async with self._answering("look who is alive"):
            records = await self._workers.find({"_id": {"$in": list(workers)}}, {"dead_at": 1}).to_list(None)
        return {record["_id"]: record["dead_at"].timestamp() if "dead_at" in record else None for record in records}

    @unbroken
    async def lines(self, after: str | None, limit: int) -> list[str]:
        return await self._page(self._lines, {}, after, limit)

    async def _page(
        self, collection: AsyncCollection[Document], condition: Document, after: str | None, limit: int
    ) -> list[str]:
        start = {"$gte": ""} if after is None else {"$gt": after}
        async with self._answering("list a page"):
            documents = (
                await collection.find({"_id": start, **condition}, {"_id": 1})
                .sort("_id", ASCENDING)
                .limit(limit)
                .to_list(limit)
            )
        return [document["_id"] for document in documents]

    def _answering(self, what: str) -> AbstractAsyncContextManager[None]:
        return answering(what, self._timeout, self.driver_calls.primary)


def _inspected(document: Document) -> Inspected:
    due = to_due(document)
    return Inspected(
        state=to_state(document),
        due_at=due.wake_at if due else None,
        requests=len(document["inbox"]),
        owners=tuple(sorted(document.get("owners", ()))),
    )
