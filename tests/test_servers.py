"""The servers that other tests rely on are real, obey, and are gone with the process that started them."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from pymongo import MongoClient, WriteConcern
from pymongo.database import Database

from tests.conftest import RequireServer
from tests.servers import MongoMember, MongoReplicaSet, PostgresServer, RabbitMQNode, ServerFailed
from tests.servers.ports import accepts_connections

REPOSITORY = Path(__file__).parent.parent


async def publish(url: str, queue_name: str, body: bytes) -> None:
    """Publish a persistent message to a durable queue, confirmed by the broker."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(queue_name, durable=True)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue.name)


async def take(url: str, queue_name: str) -> bytes:
    """Take one message from a queue that must exist."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_name)
        message = await queue.get(timeout=5)
        await message.ack()
        return message.body


@contextlib.contextmanager
def database_at(url: str) -> Iterator[Database[dict[str, Any]]]:
    """Open the database that the URL names."""
    client: MongoClient[dict[str, Any]] = MongoClient(url)
    with client:
        database: Database[dict[str, Any]] = client.get_default_database()
        yield database


async def test_broker_carries_a_message(amqp_url: str, prefix: str) -> None:
    await publish(amqp_url, prefix, b"hello")

    assert await take(amqp_url, prefix) == b"hello"


async def test_broker_keeps_a_persistent_message_over_a_restart_and_a_kill(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    await publish(amqp_url, prefix, b"first")
    rabbitmq.restart()
    assert await take(amqp_url, prefix) == b"first"

    await publish(amqp_url, prefix, b"second")
    rabbitmq.kill()
    assert not accepts_connections(rabbitmq.port)
    rabbitmq.start()
    assert await take(amqp_url, prefix) == b"second"


async def test_frozen_broker_accepts_but_does_not_answer(rabbitmq: RabbitMQNode, amqp_url: str) -> None:
    rabbitmq.pause()
    try:
        assert accepts_connections(rabbitmq.port)
        with pytest.raises(TimeoutError):
            await aio_pika.connect(amqp_url, timeout=0.3)
    finally:
        rabbitmq.resume()

    connection = await aio_pika.connect(amqp_url)
    await connection.close()


def test_broker_is_administered(rabbitmq: RabbitMQNode) -> None:
    rabbitmq.heal()

    assert rabbitmq.node_name in rabbitmq.ctl("status")
    with pytest.raises(ServerFailed, match="no_such_command"):
        rabbitmq.ctl("no_such_command")


def test_database_takes_majority_writes(mongodb: MongoReplicaSet, mongo_url: str) -> None:
    with database_at(mongo_url) as database:
        hello = database.command("hello")
        assert hello["isWritablePrimary"]
        assert hello["me"] == mongodb.primary().address

        durable = database.get_collection("sagas", write_concern=WriteConcern(w="majority", j=True))
        durable.insert_one({"_id": "o-1"})

        assert durable.count_documents({}) == 1


def test_database_is_empty_and_of_this_test_alone(mongo_url: str, prefix: str) -> None:
    with database_at(mongo_url) as database:
        assert database.name == prefix
        assert database.list_collection_names() == []


def test_killed_database_is_healed_with_its_data(mongodb: MongoReplicaSet, mongo_url: str) -> None:
    with database_at(mongo_url) as database:
        database["sagas"].insert_one({"_id": "o-1"})
        mongodb.primary().kill()

        mongodb.heal()

        assert database["sagas"].count_documents({}) == 1


@pytest.mark.mongodb
def test_three_members_elect_a_new_primary_after_a_kill(require_server: RequireServer) -> None:
    require_server(MongoReplicaSet)
    with MongoReplicaSet(members=3) as replica_set:
        first = replica_set.primary()

        first.kill()
        replica_set.wait_until_writable()

        assert replica_set.primary() is not first
        replica_set.heal()
        assert first.is_running


LAUNCHES_A_SERVER_AND_WAITS = """
import time
from tests.servers import {kind}

server = {kind}()
server.launch()
print(server.directory, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(RabbitMQNode, marks=pytest.mark.rabbitmq),
        pytest.param(MongoMember, marks=pytest.mark.mongodb),
        pytest.param(PostgresServer, marks=pytest.mark.postgres),
    ],
)
def test_nothing_is_left_of_a_server_whose_owner_is_killed(
    kind: type[RabbitMQNode] | type[MongoMember] | type[PostgresServer], require_server: RequireServer
) -> None:
    require_server(kind)
    script = LAUNCHES_A_SERVER_AND_WAITS.format(kind=kind.__name__)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        directory = Path(owner.stdout.readline().strip())
        assert directory.exists()
        assert processes_of(directory)

        owner.kill()

    end = time.monotonic() + 10
    while directory.exists() or processes_of(directory):
        assert time.monotonic() < end, processes_of(directory)
        time.sleep(0.05)


def processes_of(directory: Path) -> set[int]:
    """Return the processes whose home is the directory: a server and all that it started."""
    found = set()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has just ended, or is not ours
            if f"HOME={directory}".encode() in environment.read_bytes().split(b"\0"):
                found.add(int(environment.parent.name))
    return found
