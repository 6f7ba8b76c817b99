"""The store in MongoDB answers in time when the server does not, and gives no secret away."""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import ServerSelectionTimeoutError

from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.mongo_calls import Calls, answering
from sagaflow.adapters.mongo_heart import MongoHeart
from sagaflow.adapters.mongo_primary import Primary
from sagaflow.errors import ConfigurationError, StoreUnavailable
from sagaflow.ports import Due, Graph, Outcome, Query
from sagaflow.testing.store_states import change, new_saga, request, ticket
from tests.conftest import RequireServer
from tests.servers import MongoReplicaSet
from tests.servers.mongodb import MongoMember, with_database
from tests.servers.ports import LOOPBACK, free_port

SECRET = "k4n4r13nv0g3l"
NEVER_USED: AsyncMongoClient[Any] = AsyncMongoClient("mongodb://localhost", connect=False)
BOUND = 6.0  # seconds: the store's own two, the grace after them, and a busy machine


class Standalone(MongoMember):
    """A server that is no replica set."""

    def _command(self) -> Sequence[str]:
        words = list(super()._command())
        at = words.index("--replSet")
        return words[:at] + words[at + 2 :]


@pytest.fixture(params=["pymongo", "motor"])
async def store(request: pytest.FixtureRequest, mongodb: MongoReplicaSet, prefix: str) -> AsyncIterator[MongoStore]:
    """A store that waits for two seconds at most, on a server that may be harmed."""
    mongodb.heal()
    url = mongodb.database_url(prefix)
    if request.param == "pymongo":
        store = MongoStore.from_url(url, timeout=2.0)
        await store.open()
        yield store
        await store.close()
    else:
        client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(url, connectTimeoutMS=1_000)
        store = MongoStore(client, prefix, timeout=2.0)
        await store.open()
        yield store
        client.close()
    mongodb.heal()


async def in_time(call: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    try:
        return await call()
    finally:
        assert time.monotonic() - begun < BOUND


@pytest.mark.parametrize("harm", ["pause", "kill"])
async def test_without_a_server_every_call_ends_in_time_and_says_so(
    store: MongoStore, mongodb: MongoReplicaSet, harm: str
) -> None:
    states = [new_saga() for _ in range(3)]
    for state in states:
        await store.insert(state, 5.0)
    heart = store.heart()
    heart.beat("worker")
    getattr(mongodb.members[0], harm)()

    outcomes, *refused = await asyncio.gather(
        in_time(lambda: store.commit([change(state) for state in states])),
        in_time(lambda: store.insert(new_saga(), None)),
        in_time(lambda: store.load(["a"])),
        in_time(lambda: store.post(states[0].id, request("token"))),
        in_time(lambda: store.due(10.0, 10)),
        in_time(lambda: store.defer([Due(states[0].id, 5.0)], [9.0])),
        in_time(lambda: store.orphans(10)),
        in_time(lambda: store.claimed_by("worker", 10)),
        in_time(lambda: store.find(Query())),
        in_time(lambda: store.summaries(["a"])),
        in_time(lambda: store.queue_up("key", ticket("a"))),
        in_time(lambda: store.leave_queue("key", ticket("a"))),
        in_time(lambda: store.queue("key")),
        in_time(lambda: store.keep_graph(Graph("f-1", "Order", "[]"))),
        in_time(lambda: store.graphs(["Order"])),
        in_time(lambda: store.expire(10.0, 10, 60.0)),
        in_time(lambda: store.tombstone("a")),
        in_time(lambda: asyncio.to_thread(heart.beat, "worker")),
        return_exceptions=True,
    )
    assert outcomes == [Outcome.UNSURE] * 3
    assert [type(answer) for answer in refused] == [StoreUnavailable] * len(refused)

    mongodb.heal()
    revisions = {found.revision for found in (await store.summaries([state.id for state in states])).values()}
    assert revisions <= {0, 1}  # unsure is just that
    assert heart.beat("worker").alive
    heart.close()


# A frozen primary takes longer: its successor first waits ten seconds for news of it.
@pytest.mark.parametrize("harm", ["kill", pytest.param("pause", marks=pytest.mark.slow)])
async def test_the_loss_of_a_primary_loses_nothing_that_was_confirmed(
    require_server: RequireServer, prefix: str, harm: str
) -> None:
    require_server(MongoReplicaSet)
    with MongoReplicaSet(3) as servers:
        store = MongoStore.from_url(servers.database_url(prefix))
        await store.open()
        states = [new_saga() for _ in range(4)]
        for state in states:
            await store.insert(state, None)
        confirmed = 0
        lost = servers.primary()
        for round_number in range(20):
            if round_number == 5:
                getattr(lost, harm)()
            outcomes = await store.commit([change(state) for state in states])
            stored = await store.load([state.id for state in states])
            for number, outcome in enumerate(outcomes):
                after = stored[states[number].id].state
                assert after.revision >= states[number].revision
                if outcome is Outcome.COMMITTED:
                    confirmed += 1
                    assert after.revision == states[number].revision + 1
                states[number] = after
        assert confirmed > 60
        await store.close()


async def test_a_standalone_server_is_refused_unless_it_is_allowed(require_server: RequireServer, prefix: str) -> None:
    require_server(MongoMember)
    with Standalone() as server:
        url = with_database(f"mongodb://{server.address}", prefix)
        store = MongoStore.from_url(url)
        with pytest.raises(ConfigurationError, match="allow_standalone=True"):
            await store.open()
        await store.close()
        allowed = MongoStore.from_url(url, allow_standalone=True)
        await allowed.open()
        state = new_saga()
        assert await allowed.insert(state, None)
        assert await allowed.commit([change(state)]) == [Outcome.COMMITTED]
        assert allowed.heart().beat("worker").alive
        await allowed.close()


async def test_a_wrong_password_is_a_matter_of_configuration_and_stays_secret(
    mongo_url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = mongo_url.replace("mongodb://", f"mongodb://ada:{SECRET}@")
    store = MongoStore.from_url(url)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError, match="password") as raised:
        await store.open()
    await store.close()
    assert_no_secret(raised.value, store, caplog)

    client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(url)
    motors = MongoStore(client, prefix)
    with pytest.raises(ConfigurationError, match="password") as raised:
        await motors.open()
    client.close()
    assert_no_secret(raised.value, motors, caplog)


async def test_a_server_that_is_not_there_keeps_the_secret_too(caplog: pytest.LogCaptureFixture) -> None:
    url = f"mongodb://ada:{SECRET}@{LOOPBACK}:{free_port()}/shop?timeoutMS=300"
    store = MongoStore.from_url(url)
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnavailable) as raised:
        await store.open()
    assert_no_secret(raised.value, store, caplog)
    heart = store.heart()
    with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnavailable) as raised:
        heart.beat("worker")
    heart.close()
    assert_no_secret(raised.value, heart, caplog)
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://ada:{SECRET}@localhost/",
        f"mongodb://ada:{SECRET}@localhost:{SECRET}/shop",
        f"mongodb://ada:{SECRET}/{SECRET}@localhost/shop",
        f"mongodb://ada:{SECRET}@{SECRET}@localhost/shop",
        f"mongodb://ada:{SECRET}@[localhost/shop",
        f"mongo://ada:{SECRET}@localhost/shop",
        SECRET,
    ],
)
def test_a_url_that_is_none_keeps_the_secret(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match="mongodb://") as raised:
        MongoStore.from_url(url)
    assert_no_secret(raised.value, raised, caplog)


def assert_no_secret(error: BaseException, thing: object, caplog: pytest.LogCaptureFixture) -> None:
    assert SECRET not in "".join(traceback.format_exception(error))
    assert SECRET not in repr(error) + repr(thing) + caplog.text


async def test_a_cancellation_that_nobody_asked_for_is_a_lost_connection() -> None:
    with pytest.raises(StoreUnavailable, match="connection was lost"):
        async with answering("do it", 1.0, Primary(NEVER_USED)):
            raise asyncio.CancelledError


async def test_a_cancellation_that_was_asked_for_is_one() -> None:
    async def wait() -> None:
        async with answering("do it", 60.0, Primary(NEVER_USED)):
            await asyncio.sleep(60)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_call_that_the_driver_does_not_end_is_given_up_and_goes_on_unseen() -> None:
    calls, ended = Calls(0.1, NEVER_USED), asyncio.Event()

    async def slow() -> None:
        await asyncio.sleep(3)
        ended.set()

    with pytest.raises(StoreUnavailable, match="not answered"):
        await calls.answer(slow())
    assert not ended.is_set()
    await calls.ended()
    assert ended.is_set()


async def test_a_closed_store_is_unavailable(mongo_url: str) -> None:
    store = MongoStore.from_url(mongo_url)
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.load(["a"])
    assert await store.commit([change(new_saga())]) == [Outcome.UNSURE]


async def test_a_heart_beats_while_the_stores_client_alone_has_lost_its_connections(
    mongodb: MongoReplicaSet, prefix: str
) -> None:
    mongodb.heal()
    lost: AsyncMongoClient[Any] = AsyncMongoClient(f"mongodb://{LOOPBACK}:{free_port()}/?replicaSet=sagaflow")
    primary = Primary(lost)
    await primary.found(1.0)  # it has not looked yet
    with pytest.raises(StoreUnavailable):
        async with answering("look", 1.0, primary):
            await lost.admin.command("ping")
    with pytest.raises(ServerSelectionTimeoutError):
        await primary.found(1.0)

    with MongoClient[Any](mongodb.database_url(prefix)) as client:
        heart = MongoHeart(client, prefix, prefix, 4.0, primary)
        beats = [await asyncio.to_thread(heart.beat, "worker") for _ in range(3)]
    assert all(beat.alive for beat in beats)
    await lost.close()
