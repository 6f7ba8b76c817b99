"""Where a scenario takes place: a store, a broker, a ledger, and the servers behind them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from sagaflow import Engine, Settings
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.engine.arguments import Work
from sagaflow.engine.urls import open_store
from sagaflow.ports import Broker, Store
from tests.e2e.stacks import topology
from tests.servers import MongoReplicaSet, RabbitMQNode
from tests.servers.mongodb import with_database

from .ledger import Ledger
from .sagas import Factories

Numbers = Mapping[str, float]
"""Settings of an engine that differ from the defaults; times in seconds."""

QUICK: Numbers = {"beat_every": 0.3, "death_after": 1.5, "patience": 0.5, "sweep_every": 0.2}
"""For scenarios that wait for many deaths, one after another."""


class Place(Struct, frozen=True):
    """What a process needs to know to take part.

    ``amqp_url`` may be the URLs of several hosts with spaces between them; without any each process has a broker of
    its own.
    """

    store_url: str
    amqp_url: str
    prefix: str
    ledger: str

    def store(self) -> Store:
        """The store, anew."""
        return open_store(self.store_url)

    def broker(self) -> Broker:
        """The broker, anew."""
        urls = self.amqp_url.split()
        return RabbitBroker(urls, topology=topology(self.prefix)) if urls else MemoryBroker()

    def engine(
        self,
        sagas: Factories,
        *,
        work: Work = "all",
        settings: Numbers | None = None,
        store: Store | None = None,
        broker: Broker | None = None,
    ) -> Engine:
        """An engine here; a store or a broker that is given takes the place of its own."""
        return Engine(
            sagas,
            store=store or self.store(),
            broker=broker or self.broker(),
            work=work,
            settings=settings_of(settings or {}),
        )

    def open_ledger(self) -> Ledger:
        """The ledger, to be used in one thread."""
        return Ledger(self.ledger)


def settings_of(numbers: Numbers) -> Settings:
    """Settings whose times are given in seconds."""
    defaults = Settings()
    return Settings(
        **{
            name: timedelta(seconds=number) if isinstance(getattr(defaults, name), timedelta) else int(number)
            for name, number in numbers.items()
        }  # type: ignore[arg-type]  # by name, as the scenario writes them
    )


@dataclass(frozen=True)
class Ground:
    """A folder and the servers that a scenario may harm; it can have any number of places, apart from each other."""

    name: str
    folder: Path
    rabbitmq: RabbitMQNode | None = None
    mongodb: MongoReplicaSet | None = None

    def place(self) -> Place:
        """A new place that shares nothing with the earlier ones but the servers."""
        prefix = f"faults_{secrets.token_hex(6)}"
        ledger = str(self.folder / f"{prefix}-ledger.db")
        if self.mongodb is None:
            return Place(f"sqlite:///{self.folder}/{prefix}.db", "", prefix, ledger)
        amqp_url = self.rabbitmq.url if self.rabbitmq is not None else ""
        return Place(with_database(self.mongodb.url, prefix), amqp_url, prefix, ledger)


Lay = Callable[[Path], AbstractAsyncContextManager[Ground]]
"""What makes a ground in a folder, and clears it away."""


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Ground]:
    """Files."""
    yield Ground("sqlite", folder)


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Ground]:
    """One RabbitMQ node and a MongoDB replica set of one member, private to the scenario."""
    with ExitStack() as stack:
        rabbitmq, mongodb = await asyncio.gather(
            asyncio.to_thread(stack.enter_context, RabbitMQNode()),
            asyncio.to_thread(stack.enter_context, MongoReplicaSet()),
        )
        yield Ground("servers", folder, rabbitmq, mongodb)
