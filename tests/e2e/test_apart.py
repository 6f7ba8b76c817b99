"""Workers that share a store, each with work of its own, and no broker that carries hints from one to another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from sagaflow import Engine, Saga, SagaStatus, StepStatus, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.engine.arguments import Work
from sagaflow.ports import Due, Hint
from tests.polling import until

from .stacks import QUICK

SOON = timedelta(seconds=20)


class Hop(Saga[int]):
    @step(compensate="undo")
    async def here(self, number: int) -> int:
        return number

    async def undo(self, number: int) -> None:
        pass

    @step(queue="elsewhere")
    async def there(self, number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number


class Watched(MemoryStore):
    """Notes how often it was asked what is due, and how often that was put off."""

    asked = 0
    deferred = 0

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        self.asked += 1
        return await super().due(now, limit, fingerprints)

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        self.deferred += len(due)
        return await super().defer(due, until, counts=counts)


async def test_what_only_another_process_can_do_and_no_hint_can_reach_is_not_put_off() -> None:
    store = Watched()
    async with Engine([Hop], store=store, broker="memory://", queues=["default"], settings=QUICK) as engine:
        handle = await engine.start(Hop, 1)

        async def is_next_elsewhere() -> bool:
            return (await handle.record()).steps["here"].status is StepStatus.COMPLETED

        await until(is_next_elsewhere)
        # Long enough for it to be due, and for many sweeps more.
        deferred, enough = store.deferred, store.asked + 20
        await until(lambda: store.asked >= enough)
        assert store.deferred == deferred
        async with Engine([Hop], store=store, broker="memory://", queues=["elsewhere"], settings=QUICK):
            assert (await handle.result(timeout=SOON)).status is SagaStatus.COMPLETED


class Slow(MemoryBroker):
    """A broker that keeps whoever publishes waiting, as one does that is short of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    async def publish(self, hints: Sequence[Hint]) -> None:
        self.told.append(len(hints))
        await asyncio.sleep(1)
        await super().publish(hints)


@dataclass
class Busy(Saga[int]):
    gate: asyncio.Event

    @step
    async def waits(self, number: int) -> int:
        await self.gate.wait()
        return number


async def test_a_sweep_waits_for_a_slow_broker_once_and_not_for_each_saga_that_it_finds() -> None:
    store, broker, gate = MemoryStore(), Slow(), asyncio.Event()
    settings = replace(QUICK, concurrency=1)
    busy = [partial(Busy, gate)]
    async with (
        Engine(busy, store=store, broker="memory://", work="none", settings=settings) as starter,
        Engine(busy, store=store, broker=broker, settings=settings),
    ):
        handles = [await starter.start(Busy, number) for number in range(20)]
        await until(lambda: max(broker.told, default=0) >= 10)
        gate.set()
        for handle in handles:
            assert (await handle.result(timeout=SOON)).is_completed
    assert len(broker.told) < 20


@pytest.mark.parametrize("number", [1, -1])
async def test_workers_for_one_queue_or_one_direction_each_finish_a_saga_on_one_file(
    tmp_path: Path, number: int
) -> None:
    def engine(work: Work, queue: str) -> Engine:
        store = f"sqlite:///{tmp_path}/sagas.db"
        return Engine([Hop], store=store, broker="memory://", work=work, queues=[queue], settings=QUICK)

    async with (
        engine("steps", "default") as starter,
        engine("steps", "elsewhere"),
        engine("compensations", "default"),
        engine("compensations", "elsewhere"),
    ):
        record = await (await starter.start(Hop, number)).wait(timeout=SOON)
    assert record.status is (SagaStatus.COMPLETED if number > 0 else SagaStatus.COMPENSATED)
