"""A saga whose handlers keep a ledger outside, as services do, and the processes that work on it."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from sagaflow import Abort, Engine, Happened, NotHappened, Saga, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.engine.urls import open_store
from sagaflow.ports import Broker

from .stacks import QUICK, topology


class Job(Struct, frozen=True):
    """``slow``: the step that takes its time at its first attempt. ``fails``: the step that aborts."""

    slow: str = ""
    fails: str = ""
    seconds: float = 60


@dataclass(frozen=True)
class Ledger:
    """Appends every attempt, and applies each key once."""

    path: Path

    def begin(self, key: str) -> None:
        self._write("INSERT INTO attempts VALUES (?, ?)", key, os.getpid())

    def apply(self, key: str) -> None:
        self._write("INSERT OR IGNORE INTO effects VALUES (?, ?)", key, os.getpid())

    def undo(self, key: str) -> None:
        self._write("DELETE FROM effects WHERE key = ? AND ? != 0", key, 1)

    def attempts(self, key: str) -> list[int]:
        """The processes that began this, in order."""
        return [pid for (pid,) in self._read("SELECT pid FROM attempts WHERE key = ? ORDER BY rowid", key)]

    def order(self, saga_id: str) -> list[str]:
        """The keys of one saga, without its id, in the order in which they were begun."""
        rows = self._read("SELECT key FROM attempts WHERE key LIKE ? ORDER BY rowid", f"{saga_id}/%")
        return [key.removeprefix(f"{saga_id}/") for (key,) in rows]

    def effects(self, saga_id: str) -> set[str]:
        """What stands."""
        rows = self._read("SELECT key FROM effects WHERE key LIKE ?", f"{saga_id}/%")
        return {key.removeprefix(f"{saga_id}/") for (key,) in rows}

    def _open(self) -> sqlite3.Connection:
        book = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        book.execute("PRAGMA synchronous = OFF")  # it survives killed processes, and keeps no event loop waiting
        book.execute("CREATE TABLE IF NOT EXISTS attempts (key TEXT, pid INTEGER)")
        book.execute("CREATE TABLE IF NOT EXISTS effects (key TEXT PRIMARY KEY, pid INTEGER)")
        return book

    def _write(self, statement: str, *values: object) -> None:
        book = self._open()
        try:
            book.execute(statement, values)
        finally:
            book.close()

    def _read(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        book = self._open()
        try:
            return book.execute(statement, values).fetchall()
        finally:
            book.close()


@dataclass
class LedgerSaga(Saga[Job]):
    ledger: Ledger

    async def act(self, job: Job, name: str) -> str:
        self.ledger.begin(self.idempotency_key)
        if job.fails == name:
            raise Abort("as the job says")
        self.ledger.apply(self.idempotency_key)
        if job.slow == name and self.attempt == 1:
            await asyncio.sleep(job.seconds)
        return f"{name} by {os.getpid()}"

    async def undo(self, job: Job, name: str) -> None:
        self.ledger.begin(self.idempotency_key)
        self.ledger.undo(self.step_key)
        if job.slow == f"un{name}" and self.attempt == 1:
            await asyncio.sleep(job.seconds)

    @step(compensate="unfirst")
    async def first(self, job: Job) -> str:
        return await self.act(job, "first")

    async def unfirst(self, job: Job) -> None:
        await self.undo(job, "first")

    @step(compensate="unleft", parallel="middle")
    async def left(self, job: Job) -> str:
        return await self.act(job, "left")

    async def unleft(self, job: Job) -> None:
        await self.undo(job, "left")

    @step(compensate="unright", parallel="middle")
    async def right(self, job: Job) -> str:
        return await self.act(job, "right")

    async def unright(self, job: Job) -> None:
        await self.undo(job, "right")

    @step(compensate="unlast")
    async def last(self, job: Job, left: str, right: str) -> str:
        return await self.act(job, "last")

    async def unlast(self, job: Job) -> None:
        await self.undo(job, "last")


@dataclass
class LookedForSaga(Saga[Job]):
    """Its step can be killed before (``slow="act first"``) and after (``slow="act"``) it has had its effect."""

    ledger: Ledger

    @step(probe="look", compensate=None)
    async def act(self, job: Job) -> str:
        self.ledger.begin(self.idempotency_key)
        if job.slow == "act first" and self.attempt == 1:
            await asyncio.sleep(job.seconds)
        self.ledger.apply(self.idempotency_key)
        if job.slow == "act" and self.attempt == 1:
            await asyncio.sleep(job.seconds)
        return "done"

    async def look(self, job: Job) -> Happened[str] | NotHappened:
        self.ledger.begin(self.idempotency_key)
        return Happened("found") if "act" in self.ledger.effects(self.saga_id) else NotHappened()


@dataclass(frozen=True)
class Place:
    """Where processes meet: a store, a broker (none: each process has its own), a ledger."""

    store_url: str
    amqp_url: str
    prefix: str
    ledger: Ledger

    def engine(self, **options: object) -> Engine:
        broker: Broker = MemoryBroker()
        if self.amqp_url:
            broker = RabbitBroker(self.amqp_url, topology=topology(self.prefix))
        return Engine(
            [partial(LedgerSaga, self.ledger), partial(LookedForSaga, self.ledger)],
            store=open_store(self.store_url),
            broker=broker,
            settings=QUICK,
            **options,  # type: ignore[arg-type]  # work= and queues=, as the test gives them
        )

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Process]:
        """A process of its own that works until it is ended, which the test may do in its own way before."""
        process = await create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.ledgers", self.store_url, self.amqp_url, self.prefix, str(self.ledger.path)
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    store_url, amqp_url, prefix, path = sys.argv[1:]
    asyncio.run(Place(store_url, amqp_url, prefix, Ledger(Path(path))).engine().run())
