"""What is forgotten in MongoDB, and what is left of it.

The server deletes by itself what has an ``expires`` in the past: sagas whose id the engine chose, and tombstones. A
tombstone is a small document in the place of its saga, without any field by which sagas are found or changed::

    {_id, schema, tombstone: {saga, status, completed_at, until}, expires}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pymongo import ASCENDING, DeleteOne, ReplaceOne

from ..core.state import SCHEMA, SagaStatus
from ..ports import Tombstone
from .mongo_documents import Document, to_date
from .store_rules import check_schema

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection

# A request that waits was accepted, so it is not passed over.
_WITHOUT_REQUESTS: Final = {"inbox.0": {"$exists": False}}

_REMAINS: Final = {"schema": 1, "revision": 1, "expire_at": 1, "named": 1, "saga": 1, "status": 1, "completed_at": 1}


async def expire(sagas: AsyncCollection[Document], now: float, limit: int, keep_ids: float) -> int:
    """Forget what is due to be forgotten; how many sagas that were."""
    old = (
        await sagas.find({"tombstone.until": {"$lte": now}}, {"tombstone.until": 1})
        .sort("tombstone.until", ASCENDING)
        .limit(limit)
        .to_list(limit)
    )
    due = (
        await sagas.find({"expire_at": {"$lte": now}, **_WITHOUT_REQUESTS}, _REMAINS)
        .sort("expire_at", ASCENDING)
        .limit(limit)
        .to_list(limit)
    )
    if old:
        await sagas.bulk_write(
            [DeleteOne({"_id": one["_id"], "tombstone.until": one["tombstone"]["until"]}) for one in old],
            ordered=False,
        )
    if not due:
        return 0
    result = await sagas.bulk_write([_forgetting(document, now + keep_ids) for document in due], ordered=False)
    return result.deleted_count + result.matched_count


async def tombstone_of(sagas: AsyncCollection[Document], saga_id: str) -> Tombstone | None:
    """What is left of a saga that was forgotten."""
    found = await sagas.find_one({"_id": saga_id, "tombstone": {"$exists": True}}, {"tombstone": 1})
    if found is None:
        return None
    left = found["tombstone"]
    return Tombstone(left["saga"], SagaStatus(left["status"]), left["completed_at"])


def _forgetting(document: Document, until: float) -> DeleteOne | ReplaceOne[Document]:
    """The write that forgets a saga, if it still is as it was found."""
    check_schema(document["schema"])
    unchanged = {
        "_id": document["_id"],
        "revision": document["revision"],
        "expire_at": document["expire_at"],
        **_WITHOUT_REQUESTS,
    }
    if not document["named"]:
        return DeleteOne(unchanged)
    left = {
        "saga": document["saga"],
        "status": document["status"],
        "completed_at": document.get("completed_at"),
        "until": until,
    }
    return ReplaceOne(unchanged, {"schema": SCHEMA, "tombstone": left, "expires": to_date(until)})
