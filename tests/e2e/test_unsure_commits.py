"""A claim took effect, and its reply was lost: its worker finds it again, and nobody gives it back meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sagaflow import Saga, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.ports import Outcome, Stored, Transition

from .diaries import SOON, Diary
from .stacks import Stack


@dataclass
class Order(Saga[str]):
    diary: Diary

    @step(parallel="both")
    async def reserve(self, context: str) -> None:
        self.diary("reserve")

    @step(waits_for=str, parallel="both")
    async def payment(self, context: str) -> None:
        self.diary("payment")


class Unsure(MemoryStore):
    """The reply to the claim is lost, and the commit after it waits until a sweep has settled what that claim is.

    The sweep had begun before the saga came to the worker, so that it takes the claim for one that nobody knows of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits = 0
        self.begun, self.claimed, self.settled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.sweeper: asyncio.Task[object] | None = None
        self.between: Callable[[], Awaitable[object]] | None = None

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        self.sweeper = asyncio.current_task()
        self.begun.set()
        return ["s-1"]

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        if asyncio.current_task() is self.sweeper:
            await self.claimed.wait()
        return await super().load(saga_ids)

    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        self.settled.set()  # the next that a sweep does
        return await super().expire(now, limit, keep_ids)

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        self.commits += 1
        if self.commits == 1:
            await super().commit(transitions)
            assert self.between is not None
            await self.between()
            return [Outcome.UNSURE]
        if self.commits == 2:
            self.claimed.set()
            await self.settled.wait()
        return await super().commit(transitions)


async def test_a_claim_that_was_found_again_is_not_given_back_before_it_begins(diary: Diary) -> None:
    store, broker = Unsure(), MemoryBroker()
    stack = Stack("unsure", lambda: store, lambda: broker)
    async with stack.engine(partial(Order, diary)), stack.engine(partial(Order, diary), work="none") as client:
        store.between = partial(client.complete_step, "s-1", Order.payment, "paid")
        await store.begun.wait()
        handle = await client.start(Order, "", id="s-1")
        record = await handle.result(timeout=SOON)
    assert store.settled.is_set()
    assert sorted(diary.lines) == ["payment", "reserve"]
    assert record.steps["reserve"].attempts == 1
