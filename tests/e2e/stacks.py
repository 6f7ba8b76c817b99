"""A store and a broker that belong together, and engines on them, as many as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sagaflow import Engine, Saga, Settings
from sagaflow.adapters.rabbitmq_topology import Topology
from sagaflow.engine.arguments import Work
from sagaflow.ports import Broker, Store

QUICK = Settings(
    patience=timedelta(milliseconds=300),
    sweep_every=timedelta(milliseconds=100),
    poll_every=timedelta(milliseconds=50),
    beat_every=timedelta(milliseconds=200),
    death_after=timedelta(seconds=1.5),
    grace=timedelta(seconds=5),
)
"""So that tests need not wait for what a service waits for gladly."""


async def connected(engine: Engine) -> None:
    """Return when the engine has its broker, for which nothing waits that it does by itself."""
    while engine.health.broker == "connecting":  # noqa: ASYNC110  # no event tells
        await asyncio.sleep(0.01)


def topology(prefix: str) -> Topology:
    """Names of exchanges and queues that no other test uses."""
    return Topology(exchange=prefix)


@dataclass(frozen=True)
class Stack:
    """How to make a store and a broker; each call gives new ones on the same data, as another process would have."""

    name: str
    store: Callable[[], Store]
    broker: Callable[[], Broker]

    def make(
        self,
        sagas: Iterable[Callable[[], Saga[Any]]],
        *,
        work: Work = "all",
        queues: list[str] | None = None,
        settings: Settings = QUICK,
        broker: Broker | None = None,
    ) -> Engine:
        return Engine(
            sagas, store=self.store(), broker=broker or self.broker(), work=work, queues=queues, settings=settings
        )

    @asynccontextmanager
    async def engine(self, *sagas: Callable[[], Saga[Any]], **options: Any) -> AsyncIterator[Engine]:
        async with self.make(sagas, **options) as engine:
            yield engine
