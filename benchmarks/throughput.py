"""How many sagas a second, what each costs, and how long one takes: in memory, on SQLite, on RabbitMQ with MongoDB.

Run it with ``python -m benchmarks.throughput`` in the checkout; it takes about a minute. ``--seconds`` sets how long
each load lasts.

A saga has three steps in a row that do nothing but return a text, each with a compensation. It either completes, or its
last step aborts and the two before it are undone. For each stack, with an engine in its default settings:

* *under load*: 100 callers start a saga, wait for its result, and start the next one, until the time is up. Given are
  sagas per second, CPU time of this process for each saga (callers, engine and driver; not the servers), and how long
  a caller waited, from ``start`` to the result.
* *alone*: the same wait when nothing else happens, one saga after another.

Every saga is checked: its status, its outputs, and that each of its steps and compensations ran once and in order. One
that is not as it must be ends the benchmark with an error.

One process does everything. RabbitMQ and MongoDB are the tests' own servers, a node and a replica set of one member on
this very machine, so they share its processors with the engine; where they cannot be started they are left out. Files
lie in the directory for temporary files: on a tmpfs, SQLite's figures are those of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from sagaflow import Abort, Engine, Saga, SagaHandle, StepStatus, step
from tests.servers import MongoReplicaSet, RabbitMQNode

CALLERS: Final = 100
ALONE: Final = 100
WARM_UP: Final = 20
PATIENCE: Final = timedelta(seconds=60)

COMPLETES, UNDONE = "completes", "is undone"
RUNS: Final = {
    COMPLETES: ["one", "two", "three"],
    UNDONE: ["one", "two", "three", "undo two", "undo one"],
}


@dataclass
class Log:
    """What ran, in order, saga by saga."""

    lines: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class ThreeSteps(Saga[str]):
    """The context says what is to become of it."""

    log: Log

    def note(self, line: str) -> str:
        self.log.lines[self.saga_id].append(line)
        return f"{line} of {self.saga_id}"

    @step(compensate="undo_one")
    async def one(self, fate: str) -> str:
        return self.note("one")

    async def undo_one(self, fate: str, one: str | None) -> None:
        self.note("undo one")

    @step(compensate="undo_two")
    async def two(self, fate: str, one: str) -> str:
        return self.note("two")

    async def undo_two(self, fate: str, two: str | None) -> None:
        self.note("undo two")

    @step(compensate="undo_three")
    async def three(self, fate: str, two: str) -> str:
        done = self.note("three")
        if fate == UNDONE:
            raise Abort("as it was asked to")
        return done

    async def undo_three(self, fate: str, three: str | None) -> None:
        self.note("undo three")


@dataclass(frozen=True)
class Figures:
    """What one workload showed; times in seconds."""

    stack: str
    fate: str
    per_second: float
    cpu: float
    loaded: list[float]
    alone: list[float]

    def row(self) -> str:
        """The figures as they are printed."""
        waits = [1_000 * quantile for times in (self.loaded, self.alone) for quantile in _p50_and_p95(times)]
        cells = " ".join(f"{wait:9.1f}" for wait in waits)
        return f"{self.stack:<20} {self.fate:<10} {self.per_second:8.0f} {1_000 * self.cpu:9.2f} {cells}"


HEADER: Final = (
    f"{'':<31} {f'{CALLERS} at once':-^38} {'alone':-^19}\n"
    f"{'stack':<20} {'saga':<10} {'sagas/s':>8} {'CPU ms':>9} {'p50 ms':>9} {'p95 ms':>9} {'p50 ms':>9} {'p95 ms':>9}"
)


def _p50_and_p95(times: list[float]) -> tuple[float, float]:
    twentieths = statistics.quantiles(times, n=20)
    return twentieths[9], twentieths[18]


async def sell(fate: str) -> tuple[SagaHandle[str], float]:
    """Start one saga and wait for its end; the handle, and how long that took."""
    began = time.perf_counter()
    handle = await ThreeSteps.start(fate)
    await handle.wait(timeout=PATIENCE)
    return handle, time.perf_counter() - began


async def check(handle: SagaHandle[str], fate: str, log: Log) -> None:
    """Fail unless the saga is as it must be."""
    record = await handle.record()
    wrong = f"saga {record.id} is wrong: {record.status}, {record.reason}, {log.lines[record.id]}"
    if log.lines[record.id] != RUNS[fate]:
        raise AssertionError(wrong)
    statuses = [its.status for its in record.steps.values()]
    if fate == COMPLETES:
        right = record.is_completed and statuses == [StepStatus.COMPLETED] * 3
        outputs = [f"{name} of {record.id}" for name in ("one", "two", "three")]
    else:
        right = record.is_compensated and statuses == [StepStatus.COMPENSATED] * 2 + [StepStatus.FAILED]
        outputs = [f"{name} of {record.id}" for name in ("one", "two")]
    if not right or list(record.outputs.values()) != outputs:
        raise AssertionError(wrong)


async def measure(stack: str, store: str, broker: str, seconds: float) -> list[Figures]:
    """The figures of one stack, for both fates."""
    log = Log()
    found: list[Figures] = []
    async with Engine(sagas=[partial(ThreeSteps, log)], store=store, broker=broker):
        for fate in RUNS:
            sold = [await sell(fate) for _ in range(WARM_UP)]
            alone = [await sell(fate) for _ in range(ALONE)]
            loaded: list[tuple[SagaHandle[str], float]] = []
            began, cpu = time.perf_counter(), time.process_time()

            async def call(
                fate: str = fate, until: float = began + seconds, into: list[tuple[SagaHandle[str], float]] = loaded
            ) -> None:
                while time.perf_counter() < until:
                    into.append(await sell(fate))

            await asyncio.gather(*(call() for _ in range(CALLERS)))
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            for handle, _ in (*sold, *alone, *loaded):
                await check(handle, fate, log)
            found.append(
                Figures(
                    stack=stack,
                    fate=fate,
                    per_second=len(loaded) / took,
                    cpu=cpu / len(loaded),
                    loaded=[wait for _, wait in loaded],
                    alone=[wait for _, wait in alone],
                )
            )
    return found


@contextmanager
def stacks() -> Iterator[list[tuple[str, str, str]]]:
    """Name, store and broker of each stack that there is here."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = [("memory", "memory://", "memory://"), ("SQLite", f"sqlite:///{folder}/sagas.db", "memory://")]
        missing = [reason for reason in (RabbitMQNode.missing(), MongoReplicaSet.missing()) if reason]
        if missing:
            print("RabbitMQ and MongoDB are left out:", "; ".join(missing))
        else:
            mongo, rabbit = stack.enter_context(MongoReplicaSet()), stack.enter_context(RabbitMQNode())
            found.append(("RabbitMQ and MongoDB", mongo.database_url("benchmark"), rabbit.url))
        yield found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Sagas per second, CPU for each, and how long one takes.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each load lasts (default: 5)")
    seconds: float = parser.parse_args().seconds
    logging.getLogger("sagaflow.step").setLevel(logging.ERROR)  # a line for each Abort, half of all sagas
    print(f"A saga of three steps; Python {platform.python_version()}, {os.cpu_count()} processors\n\n{HEADER}")
    with stacks() as found:
        for name, store, broker in found:
            for figures in asyncio.run(measure(name, store, broker, seconds)):
                print(figures.row(), flush=True)


if __name__ == "__main__":
    main()
