"""Every test that takes ``stack`` runs embedded in memory, embedded in a file, and on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.adapters.sqlite import SQLiteStore

from .diaries import Diary
from .stacks import Stack, topology


def memory_stack() -> Stack:
    store, broker = MemoryStore(), MemoryBroker()
    return Stack("memory", lambda: store, lambda: broker)


def sqlite_stack(folder: Path) -> Stack:
    broker = MemoryBroker()
    return Stack("sqlite", lambda: SQLiteStore(folder / "sagas.db"), lambda: broker)


def server_stack(amqp_url: str, mongo_url: str, prefix: str) -> Stack:
    return Stack(
        "servers",
        lambda: MongoStore.from_url(mongo_url),
        lambda: RabbitBroker(amqp_url, topology=topology(prefix)),
    )


@pytest.fixture(params=["memory", "sqlite", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.mongodb])])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Stack:
    match request.param:
        case "memory":
            return memory_stack()
        case "sqlite":
            return sqlite_stack(tmp_path)
        case _:
            servers: Stack = request.getfixturevalue("servers")
            return servers


@pytest.fixture
def servers(amqp_url: str, mongo_url: str, prefix: str) -> Stack:
    """RabbitMQ and MongoDB, for real."""
    return server_stack(amqp_url, mongo_url, prefix)


@pytest.fixture
def diary() -> Diary:
    return Diary()
