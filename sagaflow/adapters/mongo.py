"""A store in MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, MongoClient, UpdateOne
from pymongo.errors import DuplicateKeyError

from ..core.state import SagaStatus
from ..errors import InboxFull, StoreUnavailable
from ..ports import (
    INBOX_LIMIT,
    Due,
    Graph,
    Orphan,
    Page,
    Posted,
    Query,
    Signal,
    Stored,
    Summary,
    Ticket,
    Tombstone,
)
from . import mongo_locks, mongo_retention
from .mongo_calls import Calls, all_of, is_too_large, unbroken
from .mongo_clients import Clients, client_within, clients_of
from .mongo_diagnosis import MongoDiagnosis
from .mongo_documents import (
    DUE,
    LISTED,
    Document,
    is_at,
    to_due,
    to_state,
    to_stored,
)
from .mongo_filters import SAGA, accepting, listed, of_fingerprints
from .mongo_heart import MongoHeart
from .mongo_schema import (
    GRAPHS,
    LOCKS,
    SAGAS,
    WORKERS,
    check_prefix,
    check_server,
    collection,
    create_indexes,
)
from .mongo_writing import MongoWriting
from .store_rules import (
    accepted_by_status,
    check_graph,
    check_ids,
    check_names,
    check_place,
    cursor_after,
    encode_request,
)

if TYPE_CHECKING:
    from .mongo_clients import AsyncClient

T = TypeVar("T")

TIMEOUT: Final = 20.0
"""Seconds for one call. An election takes ten by default, and it is noticed a few seconds late."""

_SWEEP: Final = "swept"
"""The field of a document that names the call which put it off last."""

# How often a post is tried whose conditions failed and, when looked at, held again.
_POST_TRIES = 5


class MongoStore(MongoWriting, MongoDiagnosis):
    """A ``Store`` in MongoDB: one document a saga, each change of it atomic on the condition that nobody was quicker.

    A change is one ``find_one_and_update``; changes of different sagas that come at the same moment are one
    ``bulk_write``, of which each is still made, or not, by itself.

    Writes and reads are by majority, on the primary, whatever the client's own settings.

    Args:
        client: a client of PyMongo (``AsyncMongoClient``) or Motor (``AsyncIOMotorClient``), of this event loop. It
            stays yours: ``close`` leaves it open.
        database: the name of the database.
        heart_client: a synchronous ``MongoClient`` of the same deployment, for the heartbeats, which come from a
            thread of their own. Required with an ``AsyncMongoClient``; Motor's client has one in it.
        prefix: what the names of the collections begin with.
        allow_standalone: take a server that is no replica set, and can lose what it has confirmed.
        timeout: seconds for one call, and all that the driver tries within it. More than an election takes (ten
            seconds by default) rides out the loss of a primary.

    Raises:
        TypeError: ``client`` is no asynchronous client.
        ConfigurationError: the heart's client is missing, or a name cannot be one.

    Example:
        >>> store = MongoStore.from_url("mongodb://localhost:27017/shop?replicaSet=rs0")
        >>> store
        <MongoStore shop.sagaflow_sagas>
    """

    def __init__(
        self,
        client: AsyncClient,
        database: str,
        *,
        heart_client: MongoClient[Any] | None = None,
        prefix: str = "sagaflow_",
        allow_standalone: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        super().__init__()
        self._heart_client = heart_client or client_within(client)
        self._client = client
        self._owned: Clients | None = None
        self._database = database
        self._prefix = check_prefix(prefix)
        self._allow_standalone = allow_standalone
        self._timeout = timeout
        self.driver_calls: Calls = Calls(timeout, client)
        self._sagas = collection(client, database, prefix + SAGAS)
        self._workers = collection(client, database, prefix + WORKERS)
        self._lines = collection(client, database, prefix + LOCKS)
        self._graphs = collection(client, database, prefix + GRAPHS)

    @classmethod
    def from_url(
        cls, url: str, *, prefix: str = "sagaflow_", allow_standalone: bool = False, timeout: float | None = None
    ) -> Self:
        """A store with clients of its own, whose settings suit it; options in the URL win over those.

        Once it was closed, it cannot be opened again.

        Args:
            url: ``mongodb://user:password@host1,host2/database?replicaSet=name``; the database is required.
            prefix, allow_standalone: as for the class.
            timeout: as for the class; without it, what the URL's option ``timeoutMS`` says.

        Raises:
            ConfigurationError: the URL is none, or names no database.
        """
        made = clients_of(url)
        store = cls(
            made.client,
            made.database,
            heart_client=made.heart_client,
            prefix=prefix,
            allow_standalone=allow_standalone,
            timeout=timeout or made.timeout or TIMEOUT,
        )
        store._owned = made
        return store

    def __repr__(self) -> str:
        return f"<MongoStore {self._sagas.full_name}>"

    @unbroken
    async def open(self) -> None:
        async with self._answering("open the store"):
            is_replicated = await check_server(self._client, allow_standalone=self._allow_standalone)
            await create_indexes(self._sagas, self._workers, self._graphs, is_replicated=is_replicated)

    async def close(self) -> None:
        await self.driver_calls.ended()
        if self._owned is not None:
            await self._owned.client.close()
            await asyncio.to_thread(self._owned.heart_client.close)

    @unbroken
    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        documents = await self._by_id(saga_ids, None)
        return {document["_id"]: to_stored(document) for document in documents}

    @unbroken
    async def post(self, saga_id: str, signal: Signal) -> Posted:
        check_ids((saga_id,))
        condition = {
            "_id": saga_id,
            **accepting(signal.request.kind),
            "inbox.token": {"$ne": signal.token},
            f"inbox.{INBOX_LIMIT - 1}": {"$exists": False},
        }
        entry = {
            "token": {"$literal": signal.token},
            "at": {"$divide": [{"$toLong": "$$NOW"}, 1_000]},  # the server's clock, which only a pipeline can read
            "body": {"$literal": encode_request(signal)},
        }
        # The server must not delete the saga before the request is taken in.
        update: list[Document] = [{"$set": {"inbox": {"$concatArrays": ["$inbox", [entry]]}}}, {"$unset": "expires"}]
        try:
            async with self._answering("post a request"):
                for _ in range(_POST_TRIES):
                    found = await self._sagas.find_one_and_update(condition, update, projection={"status": 1})
                    if found is not None:
                        return Posted(accepted=True, status=SagaStatus(found["status"]))
                    answer = await self._refusal(saga_id, signal)
                    if answer is not None:
                        return answer
        except StoreUnavailable as error:
            if is_too_large(error.__cause__):
                raise InboxFull(saga_id, INBOX_LIMIT) from error
            raise
        raise StoreUnavailable(f"The saga {saga_id!r} changes too fast for a request to be posted; try again")

    async def _refusal(self, saga_id: str, signal: Signal) -> Posted | None:
        """Why a request was not posted; None if by now it could be."""
        found = await self._sagas.find_one({"_id": saga_id, **SAGA}, {"status": 1, "accepts": 1, "inbox.token": 1})
        if found is None:
            return Posted(accepted=False, status=None)
        status = SagaStatus(found["status"])
        if any(entry["token"] == signal.token for entry in found["inbox"]):
            return Posted(accepted=True, status=status)
        if signal.request.kind not in found.get("accepts", accepted_by_status(status)):
            return Posted(accepted=False, status=status)
        if len(found["inbox"]) >= INBOX_LIMIT:
            raise InboxFull(saga_id, INBOX_LIMIT)
        return None

    @unbroken
    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        of = of_fingerprints(fingerprints)
        async with self._answering("find due sagas"):
            # Two indexes. Of requests, the index's beginning is read without a bound for its values: only then does
            # it give the sagas in its order, so that the longest overdue are found without reading them all.
            by_time, by_request = await all_of(
                self._sagas.find({"wake_at": {"$lte": now}, **of}, DUE)
                .sort([("wake_at", ASCENDING), ("_id", ASCENDING)])
                .limit(limit)
                .to_list(limit),
                self._sagas.find({"inbox.at": {"$exists": True}, **of}, DUE)
                .sort("inbox.at", ASCENDING)
                .limit(limit)
                .to_list(limit),
            )
        found = {document["_id"]: to_due(document) for document in [*by_time, *by_request]}
        due = [one for one in found.values() if one is not None and one.wake_at <= now]
        return sorted(due, key=lambda one: (one.wake_at, one.saga_id))[:limit]

    @unbroken
    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        check_ids(found.saga_id for found in due)
        if not due:
            return []
        sweep = ObjectId()
        updates = [
            UpdateOne(
                is_at(found),
                {"$set": {"wake_at": at, "inbox.$[].at": at, _SWEEP: sweep}, "$inc": {"dispatches": int(counts)}},
            )
            for found, at in zip(due, until, strict=True)
        ]
        async with self._answering("defer sagas"):
            if (await self._sagas.bulk_write(updates, ordered=False)).matched_count == len(due):
                return [True] * len(due)
            ids = [found.saga_id for found in due]
            ours = await self._sagas.find({"_id": {"$in": ids}, _SWEEP: sweep}, {"_id": 1}).to_list(None)
        put_off = {document["_id"] for document in ours}
        return [saga_id in put_off for saga_id in ids]

    @unbroken
    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        async with self._answering("find orphans"):
            # Few workers hold claims at a time, however many have died.
            owners = await self._sagas.distinct("owners", {"owners": {"$exists": True}})
            records = await self._workers.find({"_id": {"$in": owners}, "state": "dead"}, {"_id": 1}).to_list(None)
            dead = {record["_id"] for record in records}
            if not dead:
                return []
            documents = (
                await self._sagas.find({"owners": {"$in": list(dead)}, **of_fingerprints(fingerprints)}, {"owners": 1})
                .limit(limit)
                .to_list(limit)
            )
        return [
            Orphan(document["_id"], owner) for document in documents for owner in document["owners"] if owner in dead
        ][:limit]

    @unbroken
    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        check_ids((owner,))
        async with self._answering("find claims"):
            documents = await self._sagas.find({"owners": owner}, {"_id": 1}).limit(limit).to_list(limit)
        return [document["_id"] for document in documents]

    @unbroken
    async def find(self, query: Query) -> Page:
        condition, size = listed(query), query.limit + 1
        async with self._answering("list sagas"):
            documents = (
                await self._sagas.find(condition, LISTED)
                .sort([("created_at", DESCENDING), ("_id", DESCENDING)])
                .limit(size)
                .to_list(size)
            )
        page = [to_state(document) for document in documents[: query.limit]]
        return Page(tuple(page), cursor_after(page[-1]) if len(documents) > len(page) else None)

    @unbroken
    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        documents = await self._by_id(saga_ids, {"revision": 1, "status": 1})
        return {
            document["_id"]: Summary(document["revision"], SagaStatus(document["status"])) for document in documents
        }

    @unbroken
    async def queue_up(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        check_place(key, ticket)
        try:
            async with self._answering("queue up for a lock"):
                return await mongo_locks.queue_up(self._lines, key, ticket)
        except DuplicateKeyError as error:
            raise StoreUnavailable(f"Too many queue up for {key!r} at once; try again") from error

    @unbroken
    async def leave_queue(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        check_place(key, ticket)
        async with self._answering("leave the line for a lock"):
            return await mongo_locks.leave(self._lines, key, ticket)

    @unbroken
    async def queue(self, key: str) -> tuple[Ticket, ...]:
        check_place(key)
        async with self._answering("look at the line for a lock"):
            return await mongo_locks.line_of(self._lines, key)

    @unbroken
    async def keep_graph(self, graph: Graph) -> None:
        check_graph(graph)
        document = {"_id": graph.fingerprint, "saga": graph.saga, "body": graph.body}
        with suppress(DuplicateKeyError):
            async with self._answering("keep a graph"):
                await self._graphs.insert_one(document)

    @unbroken
    async def graphs(self, sagas: Sequence[str]) -> list[Graph]:
        check_names(sagas)
        async with self._answering("load graphs"):
            documents = await self._graphs.find({"saga": {"$in": list(sagas)}}).to_list(None)
        return [Graph(document["_id"], document["saga"], document["body"]) for document in documents]

    @unbroken
    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        async with self._answering("forget sagas"):
            return await mongo_retention.expire(self._sagas, now, limit, keep_ids)

    @unbroken
    async def tombstone(self, saga_id: str) -> Tombstone | None:
        check_ids((saga_id,))
        async with self._answering("load a tombstone"):
            return await mongo_retention.tombstone_of(self._sagas, saga_id)

    def heart(self) -> MongoHeart:
        return MongoHeart(self._heart_client, self._database, self._prefix, self._timeout, self.driver_calls.primary)

    async def _by_id(self, saga_ids: Sequence[str], projection: Document | None) -> list[Document]:
        check_ids(saga_ids)
        async with self._answering("load sagas"):
            return await self._sagas.find({"_id": {"$in": list(saga_ids)}, **SAGA}, projection).to_list(None)
