"""Sagas, and steps of them, exclude each other by keys: first come, first served, whoever dies or fails in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import Abort, Engine, Retry, Saga, SagaHandle, SagaStatus, StepStatus, step
from tests.polling import until

from .stacks import QUICK, Stack

SOON = timedelta(seconds=20)
HASTY = type(QUICK)(
    patience=QUICK.patience,
    sweep_every=QUICK.sweep_every,
    poll_every=QUICK.poll_every,
    beat_every=QUICK.beat_every,
    death_after=QUICK.death_after,
    grace=timedelta(0),
)
"""Of an engine that cancels what runs when it is closed."""


class Job(Struct, frozen=True):
    """``fails``: the last step fails; ``stuck``: and then a compensation too."""

    name: str
    key: str = "k"
    other: str = "k"
    fails: bool = False
    stuck: bool = False


@dataclass
class Room:
    """Where only one may be at a time, and how long it stays: until the test lets it go."""

    inside: set[str] = field(default_factory=set[str])
    crowded: bool = False
    order: list[str] = field(default_factory=list[str])
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def stay(self, name: str) -> None:
        self.crowded = self.crowded or bool(self.inside)
        self.inside.add(name)
        self.order.append(name)
        try:
            await self.opened.wait()
            await asyncio.sleep(0)
        finally:
            self.inside.discard(name)


@dataclass
class Whole(Saga[Job], lock="{key}"):
    """All of it needs the lock."""

    room: Room

    @step(compensate="leave", compensation_retry=Retry(attempts=1))
    async def enter(self, job: Job) -> str:
        await self.room.stay(job.name)
        return job.name

    async def leave(self, job: Job) -> None:
        if job.stuck:
            raise Abort("it does not let go")
        await self.room.stay(f"{job.name} back")

    @step
    async def end(self, job: Job) -> None:
        if job.fails:
            raise Abort("as the job says")


@dataclass
class Part(Saga[Job]):
    """Only from its second step on it needs the lock."""

    room: Room

    @step
    async def before(self, job: Job) -> None:
        self.room.order.append(f"{job.name} before")

    @step(lock=lambda job: job.key)
    async def enter(self, job: Job) -> None:
        await self.room.stay(job.name)


@pytest.fixture
def room() -> Room:
    return Room()


async def waiting(engine: Engine, saga: type[Saga[Job]], job: Job) -> SagaHandle[Job]:
    """A saga that stands in the line."""
    handle = await engine.start(saga, job, id=job.name)

    async def stands_in_line() -> bool:
        return "held by" in str((await handle.record()).waits_for)

    await until(stands_in_line)
    return handle


@pytest.mark.parametrize("saga", [Whole, Part])
async def test_twenty_sagas_with_one_key_come_one_after_the_other_as_they_came(
    stack: Stack, room: Room, saga: Any
) -> None:
    names = [f"s-{number}" for number in range(20)]
    async with stack.engine(partial(saga, room)) as engine, stack.engine(partial(saga, room)):
        handles = [await engine.start(saga, Job(names[0]), id=names[0])]
        await until(lambda: room.inside)
        handles += [await waiting(engine, saga, Job(name)) for name in names[1:]]
        record = await handles[7].record()
        assert record.waits_for == ("lock 'k', held by saga 's-0'",)
        assert record.locks == ()
        assert (await handles[0].record()).locks == ("k",)
        room.order[:] = [name for name in room.order if "before" not in name]
        room.opened.set()
        records = [await handle.result(timeout=SOON) for handle in handles]
    assert room.order == names
    assert not room.crowded
    assert all(record.locks == () and record.waits_for == () for record in records)


async def test_another_key_does_not_wait(stack: Stack, room: Room) -> None:
    async with stack.engine(partial(Whole, room)) as engine:
        handles = [await engine.start(Whole, Job(key, key)) for key in "ab"]
        await until(lambda: room.inside == {"a", "b"})
        room.opened.set()
        for handle in handles:
            await handle.result(timeout=SOON)


async def test_a_failed_saga_keeps_its_lock_until_somebody_has_resolved_it(stack: Stack, room: Room) -> None:
    async with stack.engine(partial(Whole, room)) as engine:
        room.opened.set()
        stuck = await engine.start(Whole, Job("a", fails=True, stuck=True))
        record = await stuck.wait(timeout=SOON)
        assert record.is_failed
        assert record.locks == ("k",)
        other = await waiting(engine, Whole, Job("b"))
        await engine.mark_compensated(stuck.id, Whole.enter, by="ada", reason="by hand")
        await other.result(timeout=SOON)
        assert (await stuck.wait(timeout=SOON)).is_compensated
    assert room.order == ["a", "b"]


async def test_who_waits_in_vain_leaves_the_line(stack: Stack, room: Room) -> None:
    async with stack.engine(partial(Whole, room)) as engine:
        first = await engine.start(Whole, Job("a"))
        await until(lambda: room.inside)
        second = await waiting(engine, Whole, Job("b"))
        third = await waiting(engine, Whole, Job("c"))
        await second.cancel()
        assert (await second.wait(timeout=SOON)).is_compensated
        room.opened.set()
        for handle in (first, third):
            await handle.result(timeout=SOON)
    assert room.order == ["a", "c"]


async def test_an_engine_that_is_gone_leaves_no_lock_behind(stack: Stack, room: Room) -> None:
    async with stack.engine(partial(Whole, room), work="none") as engine:
        async with stack.engine(partial(Whole, room), settings=HASTY) as doomed:
            first = await doomed.start(Whole, Job("a"))
            await until(lambda: room.inside)
            second = await waiting(engine, Whole, Job("b"))
        assert room.inside == set()
        room.opened.set()
        async with stack.engine(partial(Whole, room)):
            record = await engine.handle(Whole, first.id).result(timeout=SOON)
            await second.result(timeout=SOON)
    assert record.steps["enter"].attempts == 2
    assert room.order == ["a", "a", "b"]


async def test_a_completed_saga_that_is_undone_later_takes_its_lock_again(stack: Stack, room: Room) -> None:
    room.opened.set()
    async with stack.engine(partial(Whole, room)) as engine:
        first = await engine.start(Whole, Job("a"))
        await first.result(timeout=SOON)
        room.opened.clear()
        second = await engine.start(Whole, Job("b"), id="b")
        await until(lambda: room.inside)
        await first.compensate()

        async def waits() -> bool:
            return "held by saga 'b'" in str((await first.record()).waits_for)

        await until(waits)
        room.opened.set()
        await second.result(timeout=SOON)
        record = await first.wait(timeout=SOON)
    assert record.is_compensated
    assert record.locks == ()
    assert room.order == ["a", "b", "a back"]
    assert not room.crowded


# ---------------------------------------------------------------------------------------- families


@dataclass
class Inner(Saga[Job], lock="{key}"):
    room: Room

    @step
    async def enter(self, job: Job) -> None:
        self.room.order.append(f"{job.name} inner")


@dataclass
class Outer(Saga[Job], lock="{key}"):
    room: Room

    @step
    async def enter(self, job: Job) -> None:
        await self.room.stay(job.name)

    @step(saga=Inner)
    async def inner(self, job: Job) -> Job:
        return job


async def test_parent_and_child_with_one_key_do_not_wait_for_each_other_nor_for_who_came_between(
    stack: Stack, room: Room
) -> None:
    async with stack.engine(partial(Outer, room), partial(Inner, room)) as engine:
        first = await engine.start(Outer, Job("a"))
        await until(lambda: room.inside)
        second = await waiting(engine, Outer, Job("b"))
        room.opened.set()
        records = [await handle.result(timeout=SOON) for handle in (first, second)]
    assert [record.status for record in records] == [SagaStatus.COMPLETED] * 2
    assert room.order == ["a", "a inner", "b", "b inner"]


# ---------------------------------------------------------------------------------------- deadlocks


@dataclass
class Both(Saga[Job]):
    """Takes two locks, one after the other."""

    room: Room

    @step(lock="{key}", compensate="unfirst")
    async def first(self, job: Job) -> None:
        self.room.inside.add(job.name)
        await self.room.opened.wait()

    async def unfirst(self, job: Job) -> None:
        self.room.order.append(f"{job.name} unfirst")

    @step(lock="{other}")
    async def second(self, job: Job) -> None:
        self.room.order.append(f"{job.name} second")


async def test_of_two_sagas_that_wait_for_one_another_the_younger_turns_back(stack: Stack, room: Room) -> None:
    async with stack.engine(partial(Both, room)) as engine, stack.engine(partial(Both, room)):
        older = await engine.start(Both, Job("older", "x", "y"), id="older")
        younger = await engine.start(Both, Job("younger", "y", "x"), id="younger")
        await until(lambda: len(room.inside) == 2)
        room.opened.set()
        won, lost = [await handle.wait(timeout=SOON) for handle in (older, younger)]
    assert won.is_completed
    assert lost.is_compensated
    assert lost.reason is not None
    assert lost.reason.startswith("deadlock: ")
    assert {"older", "younger"} == {name.strip() for name in lost.reason.removeprefix("deadlock: ").split("->")}
    assert lost.steps["second"].status is StepStatus.PENDING
    assert room.order == ["younger unfirst", "older second"]


async def test_a_circle_of_three_is_found_too(stack: Stack, room: Room) -> None:
    keys = "xyz"
    async with stack.engine(partial(Both, room)) as engine:
        handles = [
            await engine.start(Both, Job(f"s-{number}", keys[number], keys[(number + 1) % 3]), id=f"s-{number}")
            for number in range(3)
        ]
        await until(lambda: len(room.inside) == 3)
        room.opened.set()
        records = [await handle.wait(timeout=SOON) for handle in handles]
    assert [record.status for record in records] == [
        SagaStatus.COMPLETED,
        SagaStatus.COMPLETED,
        SagaStatus.COMPENSATED,
    ]


async def test_a_key_that_cannot_be_one_is_refused_at_the_start_or_fails_its_step_cleanly(
    stack: Stack, room: Room
) -> None:
    async with stack.engine(partial(Whole, room), partial(Part, room)) as engine:
        with pytest.raises(ValueError, match="a key is a str of 1 to 500 characters"):
            await engine.start(Whole, Job("a", key=""))
        record = await (await engine.start(Part, Job("a", key=""))).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["enter"].status is StepStatus.FAILED
