"""Who is alive, in MongoDB."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from pymongo import MongoClient, ReturnDocument
from pymongo.errors import DuplicateKeyError

from ..ports import Beat
from .mongo_calls import PLAIN, answering_now
from .mongo_primary import Primary
from .mongo_schema import SAGAS, WORKERS, blocking_collection
from .store_rules import DAY

# Seconds that one method may take; a worker that cannot beat for long is judged dead.
_TIMEOUT: Final = 4.0

# How much of that it may wait for a primary: the rest is for the call.
_WAITING: Final = 0.75

# How many dead workers are looked at, at a first beat, to be forgotten.
_FORGET_AT_ONCE: Final = 100


class MongoHeart:
    """The ``Heart`` of a ``MongoStore``: a document for each worker's incarnation, live or dead.

    The dead are forgotten after a day, if no saga holds a claim of theirs any more.
    """

    def __init__(self, client: MongoClient[Any], database: str, prefix: str, timeout: float, primary: Primary) -> None:
        """``primary``: what the store's own client knows, so that two clients need not look for the same."""
        self._timeout = min(timeout, _TIMEOUT)
        self._primary = primary
        self._is_well = True  # what was asked last was answered
        self._admin = client.get_database("admin")
        self._workers = blocking_collection(client, database, prefix + WORKERS)
        self._sagas = blocking_collection(client, database, prefix + SAGAS)
        self._registered: set[str] = set()

    def beat(self, worker: str) -> Beat:
        is_first = worker not in self._registered
        with self._answering("take a heartbeat"):
            try:
                # Only the first beat creates the record: a later one would resurrect a worker that was forgotten.
                record = self._workers.find_one_and_update(
                    {"_id": worker, "state": "live"},
                    {"$inc": {"beats": 1}, "$currentDate": {"at": True}},
                    upsert=is_first,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                record = None  # it exists, and is not live
            now: datetime = record["at"] if record else self._now()
            others = self._workers.find({"state": "live", "_id": {"$ne": worker}}, {"beats": 1})
            seen = {other["_id"]: int(other["beats"]) for other in others}
            if is_first:
                self._forget(now - timedelta(seconds=DAY))
        self._registered.add(worker)
        return Beat(record is not None, now.timestamp(), seen)

    def declare_dead(self, worker: str, beats: int) -> bool:
        with self._answering("record a death"):
            killed = self._workers.find_one_and_update(
                {"_id": worker, "state": "live", "beats": beats},
                {"$set": {"state": "dead"}, "$currentDate": {"dead_at": True}},
                projection={"_id": 1},
            )
        return killed is not None

    def leave(self, worker: str) -> None:
        # A second key says that the worker is dead already.
        with self._answering("record a worker's end"), suppress(DuplicateKeyError):
            self._workers.update_one(
                {"_id": worker, "state": "live"},
                {"$set": {"state": "dead"}, "$setOnInsert": {"beats": 0}, "$currentDate": {"dead_at": True}},
                upsert=True,
            )

    def close(self) -> None:
        """The client belongs to the store, or to whoever gave it."""

    @contextmanager
    def _answering(self, what: str) -> Generator[None, None, None]:
        was_well, self._is_well = self._is_well, False
        with answering_now(what, self._timeout):
            # The store's client may lose its connections, again and again, while ours is as good as ever.
            if not was_well:
                self._primary.found_beside(self._timeout * _WAITING)
            yield
        self._is_well = True

    def _now(self) -> datetime:
        now: datetime = self._admin.command("hello", codec_options=PLAIN)["localTime"]
        return now

    def _forget(self, before: datetime) -> None:
        long_dead = self._workers.find({"state": "dead", "dead_at": {"$lt": before}}, {"_id": 1})
        for record in long_dead.limit(_FORGET_AT_ONCE):
            if self._sagas.find_one({"owners": record["_id"]}, {"_id": 1}) is None:
                self._workers.delete_one({"_id": record["_id"], "state": "dead"})
