"""A store that is full: as many finished and live sagas as the task says, and what they cost those that run.

The documents are those that SagaFlow itself has written for one saga that has ended and one that has not begun, with
ids and times of their own, inserted in bulk. Live ones are due at times in the next days, so that no worker takes them
up meanwhile; *due* is asked as if it were the time at which the first few hundred of them are.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from pymongo import AsyncMongoClient
from ulid import ULID

from benchmarks import figures
from benchmarks.engine.making import make
from benchmarks.figures import P95, RATE
from benchmarks.scaling.loads import under_load, variant
from benchmarks.task import SEQUENCE, Task
from sagaflow.adapters.mongo import MongoStore

_IN_FLIGHT: Final = 300
_CHUNK: Final = 5_000
_LOOKS: Final = 200
_DUE: Final = 500
"""How many live sagas are due at the time that is asked about."""
_PAGE: Final = 100
_DAY: Final = 86_400.0
_SAGAS: Final = "sagaflow_sagas"

Document = dict[str, Any]


async def measure(task: Task) -> dict[str, float]:
    """Rates on an empty and on the full store, how long looks take, and whether each used an index."""
    finished, live = int(task.options["finished"]), int(task.options["live"])
    empty = await under_load(variant(task, "empty", SEQUENCE, _IN_FLIGHT), SEQUENCE)
    full_task = variant(task, "full", SEQUENCE, _IN_FLIGHT)
    async with AsyncMongoClient[Document](full_task.mongo) as client:
        began = time.perf_counter()
        ids = await _fill(full_task, client, finished, live)
        found = {
            "finished sagas": float(finished),
            "live sagas": float(live),
            "filled in s": time.perf_counter() - began,
        }
        await client.admin.command("fsync")  # else the server would write all that to its files during the load
        full = await under_load(full_task, SEQUENCE)
        found |= {
            "empty, sagas/s": empty[RATE],
            "full, sagas/s": full[RATE],
            "time, of empty": empty[RATE] / full[RATE],
        }
        return found | await _look(full_task, client, ids)


async def _fill(task: Task, client: AsyncMongoClient[Document], finished: int, live: int) -> list[str]:
    """Fill the store; some of the ids."""
    ended = await _bring_to_end(task)
    sagas = client.get_default_database().get_collection(_SAGAS)
    has_ended = await sagas.find_one({"_id": ended})
    made = make(task, work="none")
    async with made.engine as engine:
        begun = (await engine.start(made.saga, SEQUENCE)).id
    has_begun = await sagas.find_one_and_delete({"_id": begun})
    assert has_ended is not None, "it has just ended"
    assert has_begun is not None, "it has just begun"
    ids: list[str] = []
    now = time.time()
    for documents in (_finished(has_ended, finished, now), _live(has_begun, live, now)):
        while chunk := [document for _, document in zip(range(_CHUNK), documents, strict=False)]:
            await sagas.insert_many(chunk, ordered=False)
            ids += [str(document["_id"]) for document in chunk[:: _CHUNK // 50]]
    return ids


async def _bring_to_end(task: Task) -> str:
    """The id of one saga that a worker has brought to its end."""
    made = make(task)
    async with made.engine as engine:
        handle = await engine.start(made.saga, SEQUENCE)
        await handle.result()
        return handle.id


def _finished(like: Document, count: int, now: float) -> Iterator[Document]:
    """Sagas that have ended in the last year."""
    for number in range(count):
        at = now - _DAY - 365 * _DAY * (count - number) / count
        yield {**like, "_id": _id_of(at), "created_at": at, "updated_at": at + 0.01, "completed_at": at + 0.01}


def _live(like: Document, count: int, now: float) -> Iterator[Document]:
    """Sagas that have begun in the last day, and are due tomorrow, one after another."""
    for number in range(count):
        at = now - _DAY * (count - number + 1) / (count + 1)
        yield {**like, "_id": _id_of(at), "created_at": at, "updated_at": at, "wake_at": now + _DAY + number}


def _id_of(at: float) -> str:
    return str(ULID.from_timestamp(at))


async def _look(task: Task, client: AsyncMongoClient[Document], ids: list[str]) -> dict[str, float]:
    """How long what operators and sweepers ask takes; the server's profiler sees by which plan it was answered."""
    database = client.get_default_database()
    await database.create_collection("system.profile", capped=True, size=64 * 2**20)
    store = MongoStore.from_url(task.mongo)
    made = make(task, work="none")
    fingerprints = [made.saga.definition.fingerprint]
    earliest = await database.get_collection(_SAGAS).find_one({"wake_at": {"$exists": True}}, sort=[("wake_at", 1)])
    assert earliest is not None, "there are live sagas"
    then = earliest["wake_at"] + _DUE
    await store.open()
    async with made.engine as engine:

        async def due() -> None:
            assert await store.due(then, _PAGE, fingerprints), "some are due"

        async def list_active() -> None:
            assert (await engine.list_active(limit=_PAGE)).sagas, "some are active"

        async def get() -> None:
            await engine.get(random.choice(ids))

        looks: dict[str, Callable[[], Awaitable[None]]] = {"due": due, "list_active": list_active, "get": get}
        await database.command("profile", 2)
        found = {f"{name} p95 ms": await _p95(look) for name, look in looks.items()}
        await database.command("profile", 0)
    await store.close()
    return found | await _plans(database)


async def _p95(look: Callable[[], Awaitable[None]]) -> float:
    waits: list[float] = []
    for _ in range(_LOOKS):
        at = time.perf_counter()
        await look()
        waits.append(time.perf_counter() - at)
    return figures.quantiles(waits)[P95]


async def _plans(database: Any) -> dict[str, float]:
    """How many of the queries that were asked had a plan with an index, and how many had not."""
    queries = {"ns": f"{database.name}.{_SAGAS}", "planSummary": {"$exists": True}}
    every = await database["system.profile"].count_documents(queries)
    without = await database["system.profile"].count_documents({**queries, "planSummary": {"$regex": "COLLSCAN"}})
    assert every >= len(("due", "list_active", "get")) * _LOOKS, f"the profiler has seen only {every} queries"
    most = await database["system.profile"].find(queries).sort("docsExamined", -1).limit(1).to_list(1)
    return {
        "queries profiled": every,
        "queries without an index": without,
        "documents examined by one query, at most": most[0]["docsExamined"],
    }


if __name__ == "__main__":
    given = Task.given()
    given.answer(asyncio.run(measure(given)))
