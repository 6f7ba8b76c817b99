"""Processes that meet in PostgreSQL alone, or in PostgreSQL and RabbitMQ, and work on sagas until they are ended."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from postgres_store import PostgresStore

from sagaflow import Engine
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.ports import Broker
from tests.docs.documents import ROOT
from tests.e2e.ledgers import Ledger, LedgerSaga
from tests.e2e.stacks import QUICK, topology


@dataclass(frozen=True)
class PostgresPlace:
    """``amqp_url``: where hints go; if it is empty, sweepers alone find what the others have begun."""

    postgres_url: str
    amqp_url: str
    prefix: str
    ledger: Ledger

    def engine(self, *, works: bool) -> Engine:
        broker: Broker = MemoryBroker()
        if self.amqp_url:
            broker = RabbitBroker(self.amqp_url, topology=topology(self.prefix))
        return Engine(
            [partial(LedgerSaga, self.ledger)],
            store=PostgresStore(self.postgres_url),
            broker=broker,
            settings=QUICK,
            work="all" if works else "none",
        )

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Process]:
        """A process of its own, which the test may end in its own way."""
        process = await create_subprocess_exec(
            *(sys.executable, "-m", "tests.postgres.places"),
            *(self.postgres_url, self.amqp_url, self.prefix, str(self.ledger.path)),
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}"},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    postgres_url, amqp_url, prefix, path = sys.argv[1:]
    asyncio.run(PostgresPlace(postgres_url, amqp_url, prefix, Ledger(Path(path))).engine(works=True).run())
