"""What a person should know of the servers behind a MongoDB store: their set, their writes, the indexes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, cast

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from ..ports.diagnosis import Condition, Diagnosis
from .mongo_calls import PLAIN, Calls, answering, unbroken
from .mongo_documents import Document
from .mongo_schema import GRAPH_INDEXES, SAGA_INDEXES, WORKER_INDEXES

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

    from .mongo_clients import AsyncClient

_NO_COLLECTION: Final = 26  # the server's code
_ENOUGH: Final = 3  # members, of which one can be lost


class MongoDiagnosis:
    """The ``StoreDiagnosis`` part of a ``MongoStore``."""

    _client: AsyncClient
    _sagas: AsyncCollection[Document]
    _workers: AsyncCollection[Document]
    _graphs: AsyncCollection[Document]
    _timeout: float
    driver_calls: Calls

    @unbroken
    async def diagnose(self) -> list[Diagnosis]:
        async with self._looking("say how it is"):
            admin = cast("AsyncDatabase[Document]", self._client.get_database("admin"))
            hello = await admin.command("hello", codec_options=PLAIN)
            found = [_set(hello)]
            if hello.get("setName"):
                # It writes nothing, and waits until a majority has everything that was written before.
                await self._workers.update_one({"_id": ""}, {"$unset": {"nothing": ""}})
                found.append(Diagnosis("write concern", Condition.GOOD, "a majority confirms writes"))
            found += [one async for one in self._indexes()]
        return found

    async def _indexes(self) -> AsyncGenerator[Diagnosis, None]:
        missing: list[str] = []
        for of, wanted in (
            (self._sagas, SAGA_INDEXES),
            (self._workers, WORKER_INDEXES),
            (self._graphs, GRAPH_INDEXES),
        ):
            present = await _indexes_of(of)
            if present is None:
                missing.append(f"all of {of.full_name}, which does not exist yet")
                continue
            missing += [f"{of.full_name}.{name}" for name in _names(wanted) if name not in present]
        if missing:
            remedy = "opening the store creates them, as every engine does when it starts"
            yield Diagnosis("indexes", Condition.DOUBTFUL, f"missing: {', '.join(missing)}", remedy)
        else:
            yield Diagnosis("indexes", Condition.GOOD, "all are there")

    def _looking(self, what: str) -> AbstractAsyncContextManager[None]:
        return answering(what, self._timeout, self.driver_calls.primary)


def _set(hello: Mapping[str, Any]) -> Diagnosis:
    members = len(hello.get("hosts", ()))
    if hello.get("msg") == "isdbgrid":
        return Diagnosis("replica set", Condition.GOOD, "a router of a sharded cluster")
    if not hello.get("setName"):
        remedy = "start it with --replSet and run rs.initiate() once"
        return Diagnosis("replica set", Condition.BAD, "a standalone server: a crash can take back writes", remedy)
    said = f"{hello['setName']!r} of {members} member{'s' if members > 1 else ''}"
    if members < _ENOUGH:
        remedy = "for production let it have three members, of which one can be lost"
        return Diagnosis("replica set", Condition.DOUBTFUL, said, remedy)
    return Diagnosis("replica set", Condition.GOOD, said)


async def _indexes_of(collection: AsyncCollection[Document]) -> set[str] | None:
    """The names of the indexes that a collection has; None if there is no such collection."""
    try:
        return set(await collection.index_information())
    except OperationFailure as error:
        if error.code == _NO_COLLECTION:
            return None
        raise


def _names(indexes: Iterable[IndexModel]) -> list[str]:
    return [str(index.document["name"]) for index in indexes]
