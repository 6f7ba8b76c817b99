"""What a worker has no slots for is left to others, and looked at again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from sagaflow import Engine, Saga, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.ports import Due, Hint
from tests.polling import until

from .diaries import SOON
from .stacks import QUICK


class Waiting(Saga[int]):
    go_on: ClassVar[asyncio.Event]

    @step
    async def wait(self, number: int) -> int:
        await self.go_on.wait()
        return number


class DeafBroker(MemoryBroker):
    """Loses every hint."""

    async def publish(self, hints: Sequence[Hint]) -> None:
        pass


class Deferrals(MemoryStore):
    """Notes how often sagas were put off, and which of them as dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.dispatched: set[str] = set()

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        deferred = await super().defer(due, until, counts=counts)
        self.count += sum(deferred)
        if counts:
            self.dispatched |= {found.saga_id for found in due}
        return deferred


async def test_what_waits_for_a_slot_is_looked_at_again_and_again_and_not_put_off_for_ever_longer() -> None:
    Waiting.go_on = asyncio.Event()
    store = Deferrals()
    settings = replace(QUICK, concurrency=1)
    async with Engine([Waiting], store=store, broker=DeafBroker(), settings=settings) as engine:
        handles = [await engine.start(Waiting, number) for number in range(3)]
        await until(lambda: store.count >= 30)
        # Should this worker die now, another one finds them as soon, and not when pauses that have grown are over.
        latest = max(due.wake_at for due in await store.due(float("inf"), 10) if due.wake_at < float("inf"))
        assert latest < time.time() + 2 * QUICK.patience.total_seconds()
        Waiting.go_on.set()
        for handle in handles:
            await handle.result(timeout=SOON)


class Branching(Saga[int]):
    go_on: ClassVar[asyncio.Event]

    @step(parallel="both")
    async def left(self, number: int) -> None:
        await self.go_on.wait()

    @step(parallel="both")
    async def right(self, number: int) -> None:
        await self.go_on.wait()


async def test_a_worker_leaves_to_others_what_it_has_no_slots_for_and_each_branch_needs_one() -> None:
    Branching.go_on = asyncio.Event()
    store, sagas = Deferrals(), [Branching]
    async with Engine(sagas, store=store, broker=DeafBroker(), settings=QUICK, work="none") as client:
        handles = [await client.start(Branching, number) for number in range(2)]
        async with Engine(sagas, store=store, broker=DeafBroker(), settings=replace(QUICK, concurrency=2)):
            await until(lambda: store.count >= 10)
            # The other one is put off until the next sweep of anybody, as if nobody had seen it.
            assert len(store.dispatched) == 1
            Branching.go_on.set()
            for handle in handles:
                await handle.result(timeout=SOON)
