"""What an overview shows of a MongoDB store: counted by the server, along indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from pymongo import ASCENDING

from ..core.state import SagaState, SagaStatus
from ..ports import Ended, Tally
from .mongo_calls import unbroken
from .mongo_documents import LISTED, Document, to_state
from .mongo_inspection import MongoInspection

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pymongo.asynchronous.command_cursor import AsyncCommandCursor

_TERMINAL = [status.value for status in SagaStatus if status.is_terminal]


class MongoSurvey(MongoInspection):
    """The ``Survey`` part of a ``MongoStore``."""

    @unbroken
    async def tally(self) -> list[Tally]:
        group = {"$group": {"_id": {"saga": "$saga", "status": "$status"}, "count": {"$sum": 1}}}
        found = await self._counted("count sagas", [{"$match": {"status": {"$exists": True}}}, group], hint="tally")
        return [Tally(one["_id"]["saga"], SagaStatus(one["_id"]["status"]), one["count"]) for one in found]

    @unbroken
    async def ended(self, since: float, width: float, stretches: int) -> list[Ended]:
        times = {"$gte": since, "$lt": since + width * stretches}
        stretch = {"$floor": {"$divide": [{"$subtract": ["$completed_at", since]}, width]}}
        found = await self._counted(
            "count sagas that have ended",
            [
                {"$match": {"status": {"$in": _TERMINAL}, "completed_at": times}},
                {"$group": {"_id": {"stretch": stretch, "status": "$status"}, "count": {"$sum": 1}}},
            ],
            hint="ended",
        )
        # A division may round up to the end of the last stretch.
        return [
            Ended(min(int(one["_id"]["stretch"]), stretches - 1), SagaStatus(one["_id"]["status"]), one["count"])
            for one in found
        ]

    @unbroken
    async def oldest(self, statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
        wanted = {"status": {"$in": [status.value for status in statuses]}}
        async with self._answering("list the oldest sagas"):
            documents = (
                await self._sagas.find(wanted, LISTED)
                .sort([("created_at", ASCENDING), ("_id", ASCENDING)])
                .limit(limit)
                .to_list(limit)
            )
        return [to_state(document) for document in documents]

    async def _counted(self, what: str, pipeline: Sequence[Mapping[str, Any]], hint: str) -> list[Document]:
        async with self._answering(what):
            cursor: Any = self._sagas.aggregate(list(pipeline), hint=hint)
            if hasattr(cursor, "__await__"):  # PyMongo's; Motor gives the cursor itself
                cursor = await cast("Awaitable[AsyncCommandCursor[Document]]", cursor)
            found: list[Document] = await cursor.to_list(None)
        return found
