"""Nothing begins before its time, and nothing later than a second after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sagaflow import Engine, Saga, SagaHandle, SagaStatus, step

from .diaries import SOON, ms
from .stacks import QUICK, Stack

LATEST = timedelta(seconds=1)
EARLIEST = -ms(100)  # the store's clock is known by round trips to it, none of which is as good as the next

PARKING = replace(QUICK, in_place=ms(50))
"""Waits are spent in the store, not in a worker's memory."""


class Plain(Saga[str]):
    @step
    async def now(self, text: str) -> str:
        return text


class Delayed(Saga[str]):
    @step
    async def now(self, text: str) -> str:
        return text

    @step(delay=ms(400))
    async def later(self, text: str, now: str) -> str:
        return now


Start = Callable[[Engine, timedelta], Awaitable[SagaHandle[str]]]


async def start_at(engine: Engine, wait: timedelta) -> SagaHandle[str]:
    return await engine.start(Plain, "x", at=datetime.now(UTC) + wait)


async def start_delayed(engine: Engine, wait: timedelta) -> SagaHandle[str]:
    return await engine.start(Plain, "x", delay=wait)


@pytest.mark.parametrize("start", [start_at, start_delayed])
async def test_a_saga_begins_at_its_time(stack: Stack, start: Start) -> None:
    async with stack.engine(Plain) as engine:
        handles: list[SagaHandle[str]] = []
        wanted: list[datetime] = []
        for tenths in range(1, 10):
            wait = timedelta(seconds=1) + ms(100 * tenths)
            wanted.append(datetime.now(UTC) + wait)
            handles.append(await start(engine, wait))
        assert await handles[-1].status() is SagaStatus.SCHEDULED
        records = await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
    for record, at in zip(records, wanted, strict=True):
        begun = record.steps["now"].executed_at
        assert begun is not None
        assert record.start_at is not None
        assert EARLIEST <= record.start_at - at < LATEST
        assert EARLIEST <= begun - record.start_at < LATEST


@pytest.mark.parametrize("settings", [QUICK, PARKING], ids=["in memory", "parked"])
async def test_a_delayed_step_begins_when_its_delay_is_over(stack: Stack, settings: object) -> None:
    async with stack.engine(Delayed, settings=settings):
        handles = [await Delayed.start("x") for _ in range(10)]
        records = await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
    for record in records:
        done, begun = record.steps["now"].ended_at, record.steps["later"].executed_at
        assert done is not None
        assert begun is not None
        assert ms(400) + EARLIEST <= begun - done < ms(400) + LATEST


async def test_a_saga_that_begins_soon_is_waited_for_and_not_searched_for(stack: Stack) -> None:
    async with stack.engine(Plain, FirstDelayed, settings=replace(QUICK, sweep_every=timedelta(minutes=1))) as engine:
        scheduled = await engine.start(Plain, "x", delay=ms(300))
        delayed = await engine.start(FirstDelayed, "x")
        for handle in (scheduled, delayed):
            record = await handle.result(timeout=SOON)
            begun = record.steps["now"].executed_at
            assert begun is not None
            assert ms(300) + EARLIEST <= begun - record.created_at < ms(300) + LATEST


class FirstDelayed(Saga[str]):
    @step(delay=ms(300))
    async def now(self, text: str) -> str:
        return text


class Parent(Saga[str]):
    @step(saga=FirstDelayed)
    async def child(self, text: str) -> str:
        return text


@pytest.mark.parametrize("saga", [FirstDelayed, Parent])
async def test_a_delay_of_a_first_step_does_not_wait_for_what_looks_after_lost_hints(
    stack: Stack, saga: type[Saga[str]]
) -> None:
    async with stack.engine(FirstDelayed, Parent, settings=replace(QUICK, patience=timedelta(seconds=5))) as engine:
        record = await (await engine.start(saga, "x")).result(timeout=SOON)
        if saga is Parent:
            record = record.output(Parent.child)
    begun = record.steps["now"].executed_at
    assert begun is not None
    assert ms(300) + EARLIEST <= begun - record.created_at < ms(300) + LATEST


async def test_timers_that_came_due_while_no_engine_lived_go_off_when_one_opens(stack: Stack) -> None:
    async with stack.engine(Plain, Delayed) as engine:
        scheduled = await engine.start(Plain, "x", delay=ms(300))
        delayed = await engine.start(Delayed, "x")
        async for record in delayed.changes():
            if record.steps["now"].output:
                break
    await asyncio.sleep(0.5)
    opened = datetime.now(UTC)
    async with stack.engine(Plain, Delayed) as engine:
        first = await engine.handle(Plain, scheduled.id).result(timeout=SOON)
        second = await engine.handle(Delayed, delayed.id).result(timeout=SOON)
    for begun in (first.steps["now"].executed_at, second.steps["later"].executed_at):
        assert begun is not None
        assert opened + EARLIEST <= begun < opened + LATEST


async def test_a_saga_that_is_scheduled_can_be_cancelled_and_nothing_of_it_begins(stack: Stack) -> None:
    async with stack.engine(Plain) as engine:
        handle = await engine.start(Plain, "x", delay=ms(1_000))
        assert (await handle.cancel()).is_accepted
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        await asyncio.sleep(1.2)
        record = await handle.record()
    assert record.is_compensated
    assert record.steps["now"].attempts == 0


async def test_two_beginnings_are_refused(stack: Stack) -> None:
    async with stack.engine(Plain) as engine:
        with pytest.raises(ValueError, match="two beginnings"):
            await engine.start(Plain, "x", at=datetime.now(UTC), delay=ms(1))
