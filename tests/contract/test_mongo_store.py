"""The store in MongoDB keeps the contract with clients of either kind, and gives its guarantees by itself."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from msgspec.structs import replace
from pymongo import AsyncMongoClient, MongoClient
from pymongo.database import Database
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from sagaflow.adapters.mongo import MongoStore
from sagaflow.core.events import CompensationRequested
from sagaflow.core.state import SCHEMA, SagaStatus
from sagaflow.errors import ConfigurationError, PayloadTooLarge
from sagaflow.ports import Graph, Outcome, Posted, Query, Signal, Store, Ticket
from sagaflow.testing.store_contract import StoreContract
from sagaflow.testing.store_states import ENDLESS, REQUESTS, change, changed, claimed, new_saga, request, ticket
from tests.servers import MongoReplicaSet

TOO_LARGE = "x" * (17 * 2**20)


class TestMongoStore(StoreContract):
    @pytest.fixture
    async def store(self, mongo_url: str) -> AsyncIterator[Store]:
        store = MongoStore.from_url(mongo_url)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def other_store(self, store: Store, mongo_url: str) -> AsyncIterator[Store]:
        other = MongoStore.from_url(mongo_url)
        await other.open()
        yield other
        await other.close()


class TestMongoStoreOnMotor(StoreContract):
    @pytest.fixture
    async def store(self, mongo_url: str, prefix: str) -> AsyncIterator[Store]:
        client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(mongo_url)
        store = MongoStore(client, prefix)
        await store.open()
        yield store
        await store.close()
        client.close()

    @pytest.fixture
    async def other_store(self, store: Store, mongo_url: str, prefix: str) -> AsyncIterator[Store]:
        client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(mongo_url)
        yield MongoStore(client, prefix)
        client.close()


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoStore]:
    store = MongoStore.from_url(mongo_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def database(mongo_url: str, prefix: str) -> Iterator[Database[dict[str, Any]]]:
    """The store's database, as an administrator sees it."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_url) as client:
        yield client[prefix]


class Commands(CommandListener):
    """What a client sends to the server."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.sent.append((event.command_name, dict(event.command)))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


def in_a_year() -> float:
    """A time for which the server does not wait, so that it deletes nothing by itself."""
    return time.time() + 365 * 86_400.0


async def everything(store: MongoStore, saga_id: str = "everything") -> None:
    """Call every method of a store, and of its heart."""
    state = new_saga(saga_id)
    taken = claimed(state, "worker")
    await store.insert(state, 5.0)
    await store.post(saga_id, request("token"))
    await store.post(saga_id, request("token"))
    await store.commit([change(state, taken, consumed=("token",), inbox_size=1, wake_at=5.0)])
    await store.post(saga_id, request("another"))
    found = await store.due(ENDLESS, 10)
    await store.defer(found, [2_000.0] * len(found))
    heart = store.heart()
    heart.beat("worker")
    heart.beat("judge")
    heart.declare_dead("worker", 1)
    heart.beat("worker")
    await store.due(ENDLESS, 10, ["f-1", "f-2"])
    await store.orphans(10)
    await store.orphans(10, ["f-1"])
    heart.leave("judge")
    heart.close()
    await store.claimed_by("worker", 10)
    await store.load([saga_id])
    await store.summaries([saga_id])
    page = await store.find(Query(limit=2))
    await store.find(Query(limit=2, cursor=page.cursor))
    await store.find(Query(sagas=("Order", "Trip"), created_before=200.0))
    await store.find(Query(statuses=(SagaStatus.STARTED, SagaStatus.FAILED)))
    await store.find(Query(sagas=("Order",), statuses=(SagaStatus.FAILED,), updated_before=5.0))
    await store.insert(new_saga(f"{saga_id} tagged", created_at=150.0, tags=("vip", "web")), None)
    await store.find(Query(tags=("vip",)))
    await store.find(Query(tags=("vip",), cursor=page.cursor))
    await store.find(Query(tags=("web", "vip"), sagas=("Order",), created_before=200.0))
    await store.queue_up("key", ticket("a"))
    await store.queue_up("key", ticket("b"))
    await store.queue("key")
    await store.leave_queue("key", ticket("a"))
    await store.leave_queue("key", ticket("b"))
    await store.keep_graph(Graph("f-1", "Order", "[]"))
    await store.keep_graph(Graph("f-1", "Order", "[]"))
    await store.graphs(["Order", "Trip"])
    for named in (False, True):
        ended = new_saga(f"{saga_id} {named}", named=named, status=SagaStatus.COMPLETED, expire_at=in_a_year())
        await store.insert(ended, None)
    assert await store.expire(in_a_year() + 60.0, 10, 60.0) == 2
    assert await store.tombstone(f"{saga_id} True")
    await store.expire(in_a_year() + 240.0, 10, 60.0)


async def test_no_query_goes_through_a_whole_collection(store: MongoStore, database: Database[dict[str, Any]]) -> None:
    for number in range(300):
        expire_at = in_a_year() * 2 if number % 2 else None
        saga = new_saga(f"saga-{number}", created_at=float(number), status=SagaStatus.COMPLETED, expire_at=expire_at)
        await store.insert(saga, float(number) if number % 10 == 0 else None)
        await store.queue_up(f"key-{number}", ticket(saga.id))
        await store.keep_graph(Graph(f"f-{number}", f"Saga {number}", "[]"))
    database.command("profile", 2)
    await everything(store)
    database.command("profile", 0)
    seen = 0
    for operation in database["system.profile"].find({"ns": {"$regex": r"\.sagaflow_"}}):
        if "planSummary" not in operation:
            continue
        seen += 1
        command = operation.get("command")
        assert "COLLSCAN" not in operation["planSummary"], command
        assert not operation.get("hasSortStage"), command
        assert operation["docsExamined"] <= 40 or "created" in str(command), command
    assert seen > 20


async def test_all_is_by_majority_on_the_primary_whatever_the_client_says(mongo_url: str, prefix: str) -> None:
    careless: dict[str, Any] = {"w": 1, "readConcernLevel": "local", "readPreference": "secondaryPreferred"}
    commands = Commands()
    client = AsyncMongoClient[Any](mongo_url, event_listeners=[commands], **careless)
    heart_client = MongoClient[Any](mongo_url, event_listeners=[commands], **careless)
    store = MongoStore(client, prefix, heart_client=heart_client)
    await store.open()
    commands.sent.clear()
    await everything(store)
    writes = [command for name, command in commands.sent if name in {"insert", "update", "delete", "findAndModify"}]
    reads = [command for name, command in commands.sent if name in {"find", "distinct"}]
    assert len(writes) > 8
    assert len(reads) > 10
    assert all(command["writeConcern"]["w"] == "majority" for command in writes)
    assert all(command["readConcern"]["level"] == "majority" for command in reads)
    assert all("$readPreference" not in command for command in writes + reads)
    assert all(0 < command["maxTimeMS"] <= 20_000 for command in writes + reads)
    await client.close()
    heart_client.close()


async def test_a_change_touches_only_what_differs(store: MongoStore, database: Database[dict[str, Any]]) -> None:
    state = new_saga("a", context="large")
    await store.insert(state, 5.0)
    # What SagaFlow does not know of in a document is not its to change.
    database["sagaflow_sagas"].update_one(
        {"_id": "a"}, {"$set": {"note": "mine", "steps.charge.note": "mine", "context": "changed behind its back"}}
    )
    assert await store.commit([change(state, claimed(state, "worker"))]) == [Outcome.COMMITTED]
    document = database["sagaflow_sagas"].find_one({"_id": "a"})
    assert document is not None
    assert document["note"] == document["steps"]["charge"]["note"] == "mine"
    assert document["context"] == "changed behind its back"
    assert document["owners"] == ["worker"]
    assert "wake_at" not in document


async def test_many_open_an_empty_database_at_once(mongo_url: str) -> None:
    stores = [MongoStore.from_url(mongo_url) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    assert await stores[0].insert(new_saga("a"), None)
    assert await stores[1].summaries(["a"])
    for store in stores:
        await store.close()


async def test_prefixes_keep_stores_apart(store: MongoStore, mongo_url: str) -> None:
    other = MongoStore.from_url(mongo_url, prefix="orders-")
    await other.open()
    await store.insert(new_saga("a"), None)
    assert await other.load(["a"]) == {}
    assert await other.insert(new_saga("a"), None)
    store.heart().beat("worker")
    assert other.heart().beat("other").others == {}
    await other.close()


async def test_a_client_that_was_given_stays_open(mongo_url: str, prefix: str) -> None:
    client, heart_client = AsyncMongoClient[Any](mongo_url), MongoClient[Any](mongo_url)
    store = MongoStore(client, prefix, heart_client=heart_client)
    await store.open()
    await everything(store)
    await store.close()
    await store.close()
    assert await client.admin.command("ping")
    assert heart_client.admin.command("ping")
    await client.close()
    heart_client.close()


async def test_the_dead_are_forgotten_after_a_day_but_not_while_they_hold_claims(
    store: MongoStore, database: Database[dict[str, Any]]
) -> None:
    heart = store.heart()
    workers = database["sagaflow_workers"]
    for worker in ("holder", "free", "recent"):
        heart.beat(worker)
        heart.leave(worker)
    await store.insert(claimed(new_saga("a"), "holder"), None)
    for record in list(workers.find({"_id": {"$ne": "recent"}})):
        long_ago = record["dead_at"] - timedelta(days=1, seconds=1)
        workers.update_one({"_id": record["_id"]}, {"$set": {"dead_at": long_ago}})
    store.heart().beat("newcomer")
    assert sorted(record["_id"] for record in workers.find()) == ["holder", "newcomer", "recent"]
    assert not heart.beat("free").alive  # forgotten, and not resurrected
    assert workers.count_documents({"_id": "free"}) == 0
    assert [orphan.owner for orphan in await store.orphans(10)] == ["holder"]


async def test_a_saga_of_a_later_version_is_refused(store: MongoStore, database: Database[dict[str, Any]]) -> None:
    await store.insert(replace(new_saga("later"), schema=SCHEMA + 1), 5.0)
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        await store.load(["later"])
    database["sagaflow_sagas"].update_one({"_id": "later"}, {"$unset": {"context": ""}})
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        await store.find(Query())


async def test_a_saga_of_the_previous_version_is_read_and_goes_on(
    store: MongoStore, database: Database[dict[str, Any]]
) -> None:
    sagas = database["sagaflow_sagas"]
    old = {
        "saga": "Order",
        "fingerprint": "f-1",
        "status": "started",
        "revision": 3,
        "context": "{}",
        "steps": {"reserve": {"status": "completed", "forward": {"attempt": 1}, "output": "7"}, "charge": {}},
        "created_at": 1.0,
        "updated_at": 2.0,
        "schema": 1,
        "dispatches": 0,
        "inbox": [],
    }
    sagas.insert_one({"_id": "a", **old})
    for asked in REQUESTS:
        accepted = asked.kind != "retry"
        assert await store.post("a", Signal(asked.kind, asked)) == Posted(accepted, SagaStatus.STARTED)
    stored = (await store.load(["a"]))["a"]
    assert stored.state.schema == 1
    assert stored.state.steps["reserve"].output == "7"
    assert (await store.find(Query())).sagas == (stored.state,)
    tokens = tuple(signal.token for signal in stored.inbox)
    assert await store.commit([change(stored.state, consumed=tokens)]) == [Outcome.COMMITTED]
    document = sagas.find_one({"_id": "a"})
    assert document is not None
    assert (document["schema"], document["accepts"]) == (SCHEMA, list(stored.state.accepts))
    assert (await store.load(["a"]))["a"].state == replace(stored.state, schema=SCHEMA, revision=4)


async def test_only_what_needs_no_tombstone_is_left_to_the_server(
    store: MongoStore, database: Database[dict[str, Any]]
) -> None:
    sagas, in_2033 = database["sagaflow_sagas"], 2_000_000_000.5

    def expires(saga_id: str) -> datetime | None:
        document = sagas.find_one({"_id": saga_id})
        assert document is not None
        return document.get("expires")

    state = new_saga("unnamed", status=SagaStatus.COMPLETED, expire_at=in_2033)
    await store.insert(state, None)
    await store.insert(replace(state, id="named", named=True), None)
    await store.insert(replace(state, id="long", expire_at=1e15), None)
    date = datetime.fromtimestamp(in_2033, UTC).replace(tzinfo=None)
    assert (expires("unnamed"), expires("named")) == (date, None)
    assert expires("long") == datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001  # as the driver gives it
    await store.post("unnamed", Signal("token", CompensationRequested("the customer called", 1.0)))
    assert expires("unnamed") is None
    after = changed(state, reason="too late")
    assert await store.commit([change(state, after, consumed=("token",), inbox_size=1)]) == [Outcome.COMMITTED]
    assert expires("unnamed") == date
    last = changed(after, reason="much too late")
    assert await store.commit([change(after, last)]) == [Outcome.COMMITTED]
    assert expires("unnamed") == date
    assert await store.commit([change(last, changed(last, expire_at=None))]) == [Outcome.COMMITTED]
    assert expires("unnamed") is None
    assert await store.expire(in_2033 + 0.5, 10, 60.0) == 1
    assert expires("named") == date + timedelta(seconds=60.5)


async def test_the_server_forgets_by_itself_what_is_due(
    mongodb: MongoReplicaSet, store: MongoStore, database: Database[dict[str, Any]]
) -> None:
    now = time.time()
    for name, expire_at in {"asked": now + 1.0, "due": now + 1.1, "later": now + 500.0}.items():
        await store.insert(new_saga(name, status=SagaStatus.COMPLETED, expire_at=expire_at), None)
    await store.post("asked", Signal("token", CompensationRequested("the customer called", 1.0)))
    await store.insert(new_saga("named", named=True, status=SagaStatus.COMPLETED, expire_at=now - 5.0), None)
    assert await store.expire(now - 1.0, 10, 1.0) == 1
    assert await store.tombstone("named")
    admin = database.client.admin
    before = admin.command({"setParameter": 1, "ttlMonitorSleepSecs": 1})["was"]
    try:
        async with asyncio.timeout(90):
            while await store.load(["due"]) or await store.tombstone("named"):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.1)
    finally:
        admin.command({"setParameter": 1, "ttlMonitorSleepSecs": before})
    assert (await store.load(["due", "later", "asked", "named"])).keys() == {"later", "asked"}
    assert await store.insert(new_saga("named"), None)


async def test_lines_that_are_empty_are_removed(store: MongoStore, database: Database[dict[str, Any]]) -> None:
    line = [ticket(saga_id) for saga_id in "abc"]
    for one in line:
        await store.queue_up("key", one)
    await asyncio.gather(*(store.leave_queue("key", one) for one in line))
    assert database["sagaflow_locks"].count_documents({}) == 0


async def test_an_empty_line_that_was_left_behind_is_a_line(
    store: MongoStore, database: Database[dict[str, Any]]
) -> None:
    database["sagaflow_locks"].insert_one({"_id": "key", "line": []})
    assert await store.queue("key") == ()
    assert await store.queue_up("key", ticket("a")) == (ticket("a"),)
    database["sagaflow_locks"].update_one({"_id": "key"}, {"$set": {"line": []}})
    assert await store.leave_queue("key", ticket("a")) == ()
    assert database["sagaflow_locks"].count_documents({}) == 0


async def test_a_term_of_sixty_three_bits_is_one(store: MongoStore) -> None:
    place = Ticket("a", "a", 2**63 - 1)
    assert await store.queue_up("key", place) == (place,)
    assert await store.queue_up("key", place) == (place,)
    assert await store.leave_queue("key", place) == ()


async def test_what_mongodb_cannot_hold_is_refused_and_stops_nobody_else(
    store: MongoStore, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PayloadTooLarge, match="16,777,216"):
        await store.insert(new_saga("large", context=TOO_LARGE), None)
    half = TOO_LARGE[: len(TOO_LARGE) // 2]
    states = [new_saga("a"), new_saga("b", context=half), new_saga("c")]
    for state in states:
        await store.insert(state, None)
    afters = [changed(states[0], reason=TOO_LARGE), changed(states[1], reason=half), changed(states[2])]
    with caplog.at_level(logging.ERROR, "sagaflow.store"):
        outcomes = await store.commit([change(*pair) for pair in zip(states, afters, strict=True)])
    assert outcomes == [Outcome.CONFLICT, Outcome.CONFLICT, Outcome.COMMITTED]
    assert [record.args[0] for record in caplog.records if record.args] == ["a", "b"]  # type: ignore[index]


async def test_an_index_of_somebody_else_in_the_place_of_ours_is_named(
    mongo_url: str, database: Database[dict[str, Any]]
) -> None:
    database["sagaflow_sagas"].create_index("something", name="wake_at")
    store = MongoStore.from_url(mongo_url)
    with pytest.raises(ConfigurationError, match="prefix="):
        await store.open()
    await store.close()


def test_the_defaults_of_a_url_give_way_to_its_options() -> None:
    store = MongoStore.from_url("mongodb://localhost/shop?HEARTBEATFREQUENCYMS=700&appname=mine&timeoutMS=9000")
    options = store._heart_client.options
    assert options.pool_options.connect_timeout == 2.0
    assert store._timeout == 9.0
    assert options.pool_options.appname == "mine"
    assert repr(store) == "<MongoStore shop.sagaflow_sagas>"


def test_an_async_client_alone_cannot_beat() -> None:
    with pytest.raises(ConfigurationError, match="heart_client="):
        MongoStore(AsyncMongoClient("mongodb://localhost"), "shop")


def test_a_synchronous_client_is_no_client_for_a_store() -> None:
    client: Any = MongoClient("mongodb://localhost", connect=False)
    no_clients: list[Any] = [client, "mongodb://localhost", None]
    for wrong in no_clients:
        with pytest.raises(TypeError, match="AsyncMongoClient"):
            MongoStore(wrong, "shop")


@pytest.mark.parametrize("prefix", ["", "$", "1a", "a b", "a\0"])
def test_a_prefix_must_be_able_to_begin_a_name(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        MongoStore.from_url("mongodb://localhost/shop", prefix=prefix)
