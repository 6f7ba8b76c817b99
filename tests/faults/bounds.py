"""What must stay bounded, however much there is: memory, backlogs, starts and documents.

The number of sagas says how large a play is: ``--sagas 200000`` for a soak of half a day's work.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from sagaflow import BrokerUnavailable, Engine, RetryLater, SagaStatus, step
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.core.state import Direction
from sagaflow.ports import Lane
from tests.e2e.stacks import topology

from . import grounds
from .fleet import ROOT
from .grounds import Ground, Place
from .ledger import Ledger
from .memory import Flood, resident
from .sagas import Factories, LedgerSaga, Load, shapes
from .scenarios import scenario
from .stage import staged
from .verdict import Figures

POINTS = 10
"""How often memory is looked at in a soak."""

GROWTH = 8.0
"""MiB that a process may grow by where it should not grow."""

_AT_ONCE = 500  # sagas in flight in a soak
_RATE = 150  # sagas that a machine can be trusted to start in a second


# ---------------------------------------------------------------------------------------- memory


@scenario("soak", grounds.sqlite, grounds.servers)
async def soak(ground: Ground, sagas: int) -> Figures:
    """One worker works on many sagas, one after another; its memory is looked at ten times."""
    async with staged(ground.place(), pause=0) as stage:
        (worker,) = await stage.fleet.crew(1)
        sizes: list[float] = []
        for _ in range(POINTS):
            left = sagas // POINTS
            while left > 0:
                some = min(left, max(_AT_ONCE - await stage.crowd.in_flight(), 0))
                await stage.crowd.start(some)
                left -= some
                await asyncio.sleep(0.05)
            sizes.append(resident(worker.pid))
        figures = await stage.verdict(seconds=300)
    # The first tenth fills caches and pools.
    growth = max(sizes[1:]) - sizes[1]
    shown = ", ".join(f"{size:.1f}" for size in sizes)
    grown = (f"memory grew by {growth:.1f} MiB after the second tenth",) if growth > GROWTH else ()
    return replace(figures, words=(*figures.words, f"{shown} MiB"), violations=figures.violations + grown)


class Sleeper(LedgerSaga):
    """It asks to be tried again later."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        if self.attempt == 1:
            raise RetryLater(timedelta(seconds=load.pause))
        return await self.enter(Load(0))


def sleepers(ledger: Ledger) -> Factories:
    """The three shapes, and those that wait."""
    return [*shapes(ledger), partial(Sleeper, ledger)]


@scenario("timers", grounds.sqlite, grounds.servers)
async def timers(ground: Ground, sagas: int) -> Figures:
    """Many sagas wait: half of them for a first attempt, half for a second one. Then they wake up."""
    async with staged(ground.place(), pause=0) as stage:
        worker = await stage.fleet.start(sagas="tests.faults.bounds:sleepers")
        await stage.crowd.start(1_000)
        await stage.crowd.ended(seconds=60)
        before, wake = resident(worker.pid), time.time() + 20 + sagas / _RATE
        async with stage.place.engine(sleepers(stage.ledger), work="none") as engine:
            handles = await _put_to_sleep(engine, sagas, wake)
            for saga_id in handles:
                stage.crowd.expected[saga_id] = SagaStatus.COMPLETED
            await asyncio.sleep(max(0.0, wake - time.time() - 5))
            asleep = not any(attempt.saga_id in handles for attempt in stage.ledger.attempts())
            waiting = resident(worker.pid)
            await _all_ended(stage.place, handles, seconds=sagas / 20 + 60)
        figures = await stage.verdict(
            f"{before:.1f} MiB before, {waiting:.1f} MiB while {sagas:,} waited, {resident(worker.pid):.1f} MiB after"
        )
    early = () if asleep else ("a saga woke up early",)
    grown = (f"memory grew by {waiting - before:.1f} MiB",) if waiting - before > GROWTH else ()
    return replace(figures, violations=(*figures.violations, *early, *grown))


async def _put_to_sleep(engine: Engine, count: int, wake: float) -> set[str]:
    gate, ids = asyncio.Semaphore(50), set[str]()

    async def start(number: int) -> None:
        async with gate:
            late = number % 2
            # Whoever begins at once is tried again at the same time as the others begin.
            load = Load(wake - time.time() if late else 0.01)
            at = None if late else datetime.fromtimestamp(wake, UTC)
            ids.add((await engine.start(Sleeper, load, at=at)).id)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            _ = group.create_task(start(number))
    return ids


async def _all_ended(place: Place, ids: set[str], *, seconds: float) -> None:
    store, left = place.store(), list(ids)
    await store.open()
    try:
        async with asyncio.timeout(seconds):
            while left:
                some, left = left[:_AT_ONCE], left[_AT_ONCE:]
                summaries = await store.summaries(some)
                left += [saga_id for saga_id in some if not summaries[saga_id].status.is_terminal]
                await asyncio.sleep(0.1)
    finally:
        await store.close()


# ---------------------------------------------------------------------------------------- a backlog


@scenario("backlog", grounds.sqlite, grounds.servers)
async def backlog(ground: Ground, sagas: int) -> Figures:
    """Many sagas are started while no worker runs; then three workers work them off."""
    async with staged(ground.place(), pause=0) as stage, deepest(stage.place) as depth:
        await stage.crowd.start(sagas)
        began = time.monotonic()
        workers = await stage.fleet.crew(3)
        await stage.crowd.ended(seconds=60 + sagas / 20)
        took = time.monotonic() - began
        sizes = ", ".join(f"{resident(worker.pid):.0f}" for worker in workers)
        return await stage.verdict(
            f"worked off in {took:.0f} s, {sagas / took:.0f} sagas/s",
            f"workers of {sizes} MiB",
            f"at most {depth():,} hints in the queue",
        )


@asynccontextmanager
async def deepest(place: Place) -> AsyncIterator[Callable[[], int]]:
    """A function that tells how many hints waited at once, at most, for the whole block."""
    most = 0
    broker = RabbitBroker(place.amqp_url, topology=topology(place.prefix)) if place.amqp_url else None

    async def watch() -> None:
        nonlocal most
        while broker is not None:
            with suppress(BrokerUnavailable):
                most = max(most, await broker.depth(Lane("default", Direction.FORWARD)))
            await asyncio.sleep(0.5)

    if broker is not None:
        await broker.open()
    watching = asyncio.create_task(watch())
    try:
        yield lambda: most
    finally:
        watching.cancel()
        _ = await asyncio.gather(watching, return_exceptions=True)
        if broker is not None:
            await broker.close()


# ---------------------------------------------------------------------------------------- starts


@scenario("flood", grounds.sqlite, grounds.servers)
async def flood(ground: Ground, sagas: int) -> Figures:
    """One process starts many sagas at once, with nothing to hold it back but the engine."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.memory", msgspec.json.encode(ground.place()).decode(), str(sagas)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
    )
    written, _ = await process.communicate()
    found = msgspec.json.decode(written, type=Flood)
    errors = ", ".join(f"{count:,} {name}" for name, count in found.errors.items())
    return Figures(
        sagas=found.started,
        seconds=found.seconds,
        words=(
            f"{found.before:.0f} MiB before, {found.at_most:.0f} MiB at most",
            f"{sagas / found.seconds:.0f} starts/s",
        ),
        violations=(f"starts that failed: {errors}",) if errors else (),
    )
