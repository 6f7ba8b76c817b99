"""A handler that is not heard of is cut off, one that is not wanted is told so, one that only takes long is left."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

import pytest

from sagaflow import Abort, Retry, Saga, SagaStatus, StepCancelled, StepStatus, step
from tests.polling import until

from .diaries import ONCE, SOON, Diary, ms
from .stacks import QUICK, Stack


@dataclass
class Watched(Saga[str], retry=Retry(attempts=2, backoff=ms(1))):
    """The context says how it works."""

    diary: Diary

    @step(heartbeat_timeout=ms(250), compensate="undo")
    async def work(self, how: str) -> int:
        match how:
            case "silent":
                await asyncio.sleep(60)
            case "silent once" if self.attempt == 1:
                await asyncio.sleep(60)
            case "silent thread":
                await asyncio.to_thread(self.toil, 1, 0.5)
            case "thread":
                await asyncio.to_thread(self.toil, 25, 0.03)
            case _:
                for _ in range(25):
                    await asyncio.sleep(0.03)
                    self.heartbeat()
        return self.attempt

    def toil(self, times: int, seconds: float) -> None:
        for _ in range(times):
            time.sleep(seconds)  # in a thread, as a handler has that calls a blocking library
            self.heartbeat()
        self.diary("toiled")

    async def undo(self, how: str, output: int | None) -> None:
        assert (self.outcome, output) == ("unknown", None)
        self.diary("undo")


@pytest.mark.parametrize("how", ["silent", "silent thread"])
async def test_a_handler_that_is_silent_for_too_long_is_cut_off(stack: Stack, diary: Diary, how: str) -> None:
    async with stack.engine(partial(Watched, diary)):
        record = await (await Watched.start(how)).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["work"].attempts == 2
    assert record.steps["work"].reason == "timed_out"
    assert "undo" in diary.lines


async def test_a_handler_that_was_silent_is_tried_again(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Watched, diary)):
        record = await (await Watched.start("silent once")).result(timeout=SOON)
    assert record.output(Watched.work) == 2


@pytest.mark.parametrize("how", ["coroutine", "thread"])
async def test_a_handler_that_is_heard_of_may_take_its_time(stack: Stack, diary: Diary, how: str) -> None:
    async with stack.engine(partial(Watched, diary)):
        record = await (await Watched.start(how)).result(timeout=SOON)
    assert record.output(Watched.work) == 1


class Long(Saga[str]):
    @step
    async def act(self, how: str) -> int:
        if how == "blocking":
            time.sleep(1.0)  # noqa: ASYNC251  # whether that is taken for death is the question
        else:
            await asyncio.sleep(1.0)
        return self.attempt


@pytest.mark.parametrize("how", ["waiting", "blocking"])
async def test_a_long_step_is_not_cut_off_while_its_worker_lives(stack: Stack, how: str) -> None:
    sharp = replace(QUICK, beat_every=ms(100), death_after=ms(500))
    async with stack.engine(Long, settings=sharp) as engine, stack.engine(Long, settings=sharp):
        record = await (await engine.start(Long, how)).result(timeout=SOON)
    assert record.output(Long.act) == 1


@dataclass
class Twins(Saga[str], retry=ONCE, cancel_siblings=True):
    """One of them takes for ever, the other one fails."""

    diary: Diary

    @step(parallel="both", queue="long", compensate="undo")
    async def toil(self, how: str) -> None:
        self.diary("begun")
        try:
            if how == "thread":
                await asyncio.to_thread(self.toil_in_thread)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.diary("cancelled")
            raise

    def toil_in_thread(self) -> None:
        try:
            while True:
                time.sleep(0.01)  # in a thread
                self.heartbeat()
        except StepCancelled:
            self.diary("told")
            raise

    async def undo(self, how: str, output: None) -> None:
        assert self.outcome == "unknown"
        self.diary("undo")

    @step(parallel="both", queue="short")
    async def fail(self, how: str) -> None:
        await self.diary.gate()
        raise Abort("not so")


class Stubborn(Twins):
    """It looks after itself, and asks from time to time whether it is still wanted."""

    @step(parallel="both", queue="long", compensate="undo")
    async def toil(self, how: str) -> None:
        self.diary("begun")
        try:
            while True:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    self.diary("cancelled")
                self.heartbeat()
        except StepCancelled:
            self.diary("told")
            raise


@pytest.mark.parametrize("engines", [[["long", "short"]], [["long"], ["short"]]], ids=["one engine", "two engines"])
@pytest.mark.parametrize(
    ("saga", "how", "lines"),
    [
        (Twins, "coroutine", {"begun", "cancelled", "undo"}),
        (Twins, "thread", {"begun", "cancelled", "told", "undo"}),
        (Stubborn, "coroutine", {"begun", "cancelled", "told", "undo"}),
    ],
    ids=["coroutine", "thread", "stubborn"],
)
async def test_a_sibling_is_cancelled_when_the_saga_turns_back_wherever_it_runs(
    stack: Stack, diary: Diary, engines: list[list[str]], saga: type[Twins], how: str, lines: set[str]
) -> None:
    async with AsyncExitStack() as exits:
        opened = [
            await exits.enter_async_context(stack.engine(partial(saga, diary), queues=queues)) for queues in engines
        ]
        handle = await opened[0].start(saga, how)
        await until(lambda: "begun" in diary.lines)
        diary.opened.set()
        record = await handle.wait(timeout=SOON)
        await until(lambda: set(diary.lines) == lines)
    assert record.status is SagaStatus.COMPENSATED
    assert record.steps["toil"].attempts == 1
    assert record.steps["toil"].reason == "cancelled"
    assert record.steps["toil"].status is StepStatus.COMPENSATED
    assert record.steps["fail"].status is StepStatus.FAILED
