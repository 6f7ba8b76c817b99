"""The password in a URL is in no error, log, form or record, whatever happens to the server that it is for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from pymongo import MongoClient

from sagaflow import BrokerUnavailable, ConfigurationError, Engine, Saga, Settings, StoreUnavailable, step
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.core.state import Direction
from sagaflow.ports import Hint, Lane
from tests.e2e.diaries import Diary
from tests.e2e.stacks import QUICK, topology
from tests.polling import until
from tests.security.leaks import CANARY, IN_URL, everything_in, has_leaked, ours, told
from tests.servers import MongoReplicaSet, RabbitMQNode
from tests.servers.ports import LOOPBACK, free_port

STORE = f"mongodb://ada:{IN_URL}@{LOOPBACK}:1/shop?replicaSet=rs0"
BROKER = f"amqp://ada:{IN_URL}@{LOOPBACK}:1/shop"

# A slash or the like in a password ends the host's part of a URL, unless it is percent-encoded.
BAD_STORES = [
    f"mongodb://ada:{CANARY}@host/shop",
    f"mongodb://ada:12/{IN_URL}@host",
    "mongodb://ada:12/c4n4ry@host",
    f"mongodb://ada:{IN_URL}@host",
    f"mongodb://ada:{IN_URL}@host:port/shop",
    f"mongodb+srv://ada:{IN_URL}@host:27017/shop",
    f"mongo://ada:{IN_URL}@host/shop",
    f"sqlite://ada:{IN_URL}@host/file.db",
    f"ada:{IN_URL}@host/shop",
]
BAD_BROKERS = [
    f"{scheme}://ada:{password}"
    for scheme in ("amqp", "amqps")
    for password in (
        f"{CANARY}@host/shop",
        f"12/{IN_URL}@host",
        f"12?{IN_URL}@host",
        f"12#{IN_URL}@host",
        f"{IN_URL}@host:port/",
        f"{IN_URL}@host:0/",
        f"{IN_URL}@[::1/",
    )
] + [f"amq://ada:{IN_URL}@host/", f"ada:{IN_URL}@host/"]


@pytest.fixture(autouse=True)
def no_log_has_it(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    yield
    assert not has_leaked(ours(caplog))


def with_credentials(url: str, user: str, **query: str) -> str:
    """The URL with a user whose password is the canary, and more options."""
    parts = urlsplit(url)
    netloc = f"{user}:{IN_URL}@{parts.netloc.rpartition('@')[2]}"
    options = "&".join([*filter(None, [parts.query]), *(f"{name}={value}" for name, value in query.items())])
    return urlunsplit(parts._replace(netloc=netloc, query=options))


# ---------------------------------------------------------------------------------------- URLs, and what is shown


@pytest.mark.parametrize("url", BAD_STORES)
def test_the_url_of_a_store_that_cannot_be_meant_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Engine(store=url)
    assert not has_leaked(str(raised.value) + repr(raised.value))
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("url", BAD_BROKERS)
def test_the_url_of_a_broker_that_cannot_be_meant_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Engine(store="memory://", broker=url)
    assert not has_leaked(str(raised.value) + repr(raised.value))
    assert raised.value.__cause__ is None


def test_a_url_in_the_environment_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in (("SAGAFLOW_STORE", BAD_STORES[0]), ("SAGAFLOW_BROKER", BAD_BROKERS[0])):
        with monkeypatch.context() as changed:
            changed.setenv("SAGAFLOW_STORE", "memory://")
            changed.setenv(name, url)
            with pytest.raises(ConfigurationError) as raised:
                Engine()
            assert not has_leaked(str(raised.value) + repr(raised.value))


@pytest.mark.parametrize(
    "make",
    [
        lambda _: Engine(store=STORE, broker=BROKER),
        lambda _: MongoStore.from_url(STORE),
        lambda _: MongoStore.from_url(STORE).heart(),
        lambda _: RabbitBroker(BROKER),
        lambda _: RabbitBroker([BROKER, BROKER.replace("amqp:", "amqps:")], name="shop"),
        lambda folder: SQLiteStore(folder / "sagas.db"),
        lambda _: Settings(),
    ],
    ids=["engine", "store", "heart", "broker", "cluster", "file", "settings"],
)
async def test_what_stands_for_a_server_shows_no_password(make: Callable[[Path], object], tmp_path: Path) -> None:
    made = make(tmp_path)
    shown = f"{made} {made!r} {getattr(made, '__dict__', '')!r}"
    assert not has_leaked(shown)


# ---------------------------------------------------------------------------- servers that refuse, or are away


async def test_a_wrong_password_for_mongodb_is_refused_without_being_shown(mongo_url: str) -> None:
    store = MongoStore.from_url(with_credentials(mongo_url, "nobody", authSource="admin"))
    with pytest.raises(ConfigurationError, match="password") as raised:
        await store.open()
    assert not has_leaked(told(raised.value))
    await store.close()


async def test_a_wrong_password_for_rabbitmq_is_refused_without_being_shown(amqp_url: str) -> None:
    broker = RabbitBroker(with_credentials(amqp_url, "nobody"))
    with pytest.raises(ConfigurationError, match="credentials") as raised:
        await broker.open()
    assert not has_leaked(told(raised.value) + broker.health)


async def test_a_mongodb_that_is_away_is_told_of_without_a_password() -> None:
    url = STORE.replace(f"{LOOPBACK}:1", f"{LOOPBACK}:{free_port()}")
    store = MongoStore.from_url(url, timeout=1.0)
    with pytest.raises(StoreUnavailable) as raised:
        await store.open()
    assert not has_leaked(told(raised.value))
    await store.close()


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
async def test_a_rabbitmq_that_is_away_is_told_of_without_a_password(
    scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = BROKER.replace(f"{LOOPBACK}:1", f"{LOOPBACK}:{free_port()}").replace("amqp:", f"{scheme}:")
    broker = RabbitBroker(url)
    await broker.open()
    with pytest.raises(BrokerUnavailable) as raised:
        await broker.publish([Hint("o-1", Lane("default", Direction.FORWARD))])
    assert not has_leaked(told(raised.value) + broker.health)
    assert "could not be reached" in ours(caplog)
    await broker.close()


# ---------------------------------------------------------------------------------------- servers that go away


@dataclass
class Slow(Saga[str]):
    diary: Diary

    @step
    async def wait(self, context: str) -> str:
        await self.diary.gate()
        return context

    @step
    async def end(self, context: str, wait: str) -> str:
        return wait


@pytest.mark.slow
@pytest.mark.timeout(400)  # both servers are started anew in it
async def test_servers_that_die_and_return_are_told_of_and_nothing_has_the_password(
    rabbitmq: RabbitMQNode,
    mongodb: MongoReplicaSet,
    mongo_url: str,
    amqp_url: str,
    prefix: str,
    caplog: pytest.LogCaptureFixture,
    diary: Diary,
) -> None:
    await asyncio.to_thread(rabbitmq.ctl, "add_user", prefix, CANARY)
    await asyncio.to_thread(rabbitmq.ctl, "set_permissions", prefix, ".*", ".*", ".*")
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_url) as client:
        client.admin.command("createUser", prefix, pwd=CANARY, roles=["root"])
    store = MongoStore.from_url(with_credentials(mongo_url, prefix, authSource="admin"), timeout=1.5)
    broker = RabbitBroker(with_credentials(amqp_url, prefix), topology=topology(prefix))
    try:
        async with Engine([lambda: Slow(diary)], store=store, broker=broker, settings=QUICK) as engine:
            handle = await Slow.start("hello", id="o-1")
            await diary.reached.wait()
            rabbitmq.kill()
            mongodb.members[0].kill()
            diary.opened.set()
            with pytest.raises(StoreUnavailable) as raised:
                await engine.get("o-1")
            assert not has_leaked(told(raised.value) + repr(engine.health))
            await until(lambda: engine.health.broker != "ok" and not engine.health.ok)
            assert not has_leaked(repr(engine.health) + repr(vars(engine)))
            await asyncio.to_thread(mongodb.heal)
            await asyncio.to_thread(rabbitmq.heal)
            record = await handle.result()
            assert record.output(Slow.end) == "hello"
            assert not has_leaked(f"{record} {record!r} {record.steps!r}")
        assert "RabbitMQ" in ours(caplog)
        assert not has_leaked(await asyncio.to_thread(everything_in, mongo_url))
    finally:
        mongodb.heal()
        rabbitmq.heal()
        with MongoClient(mongo_url) as client:
            client.admin.command("dropUser", prefix)
        await asyncio.to_thread(rabbitmq.ctl, "delete_user", prefix)


@pytest.fixture
def diary() -> Diary:
    return Diary()
