"""Deadlines of whole sagas, and of their compensations: what they end, and what they leave."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import pytest

from sagaflow import Abort, Retry, Saga, Settings, StepStatus, step
from tests.polling import until

from .diaries import ONCE, SOON, Diary, ms
from .stacks import QUICK, Stack

PARKING = replace(QUICK, in_place=ms(50))
SLACK = timedelta(seconds=1)  # after a deadline
LONG = Retry(attempts=5, backoff=timedelta(hours=1), jitter=False)


@dataclass
class Timed(Saga[str], deadline=ms(1_500)):
    diary: Diary

    @step(compensate="unbegin")
    async def begin(self, text: str) -> None:
        assert self.deadline is not None
        self.diary("begin")

    async def unbegin(self, text: str) -> None:
        self.diary("unbegin")

    @step(compensate="undo", retry=LONG)
    async def act(self, text: str) -> None:
        self.diary("act")
        if text == "retry":
            raise ConnectionError("away")
        await self.diary.gate()

    async def undo(self, text: str) -> None:
        self.diary("undo")

    @step
    async def end(self, text: str) -> None:
        self.diary("end")


@pytest.mark.parametrize("settings", [QUICK, PARKING], ids=["in memory", "parked"])
async def test_a_deadline_turns_a_saga_back_that_waits_for_a_retry(
    stack: Stack, diary: Diary, settings: Settings
) -> None:
    async with stack.engine(partial(Timed, diary), settings=settings):
        record = await (await Timed.start("retry")).wait(timeout=SOON)
    assert record.is_compensated
    assert record.reason == "its deadline has passed"
    assert diary.lines == ["begin", "act", "undo", "unbegin"]
    assert record.completed_at is not None
    assert record.deadline_at is not None
    assert record.deadline_at <= record.completed_at < record.deadline_at + SLACK


async def test_a_step_that_runs_when_the_deadline_passes_is_awaited_and_then_undone(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Timed, diary)):
        handle = await Timed.start("x")
        async for record in handle.changes():
            if record.is_compensating:
                break
        assert diary.lines == ["begin", "act"]
        diary.opened.set()
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert diary.lines == ["begin", "act", "undo", "unbegin"]


async def test_a_deadline_that_passes_while_no_engine_lives_is_kept_when_one_opens(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Timed, diary)) as engine:
        handle = await engine.start(Timed, "retry")
        await until(lambda: "act" in diary.lines)
    await asyncio.sleep(1.5)
    async with stack.engine(partial(Timed, diary)) as engine:
        record = await engine.handle(Timed, handle.id).wait(timeout=SOON)
    assert record.is_compensated
    assert diary.lines == ["begin", "act", "undo", "unbegin"]


class Nowhere(Saga[str], deadline=timedelta(seconds=1)):
    @step(queue="served")
    async def begin(self, text: str) -> None: ...

    @step(queue="nowhere")
    async def act(self, text: str) -> None:
        raise AssertionError("nobody does that")


class NowhereAtOnce(Saga[str], deadline=timedelta(seconds=1)):
    @step(queue="nowhere")
    async def act(self, text: str) -> None:
        raise AssertionError("nobody does that")

    @step(queue="served")
    async def end(self, text: str) -> None: ...


@pytest.mark.parametrize("saga", [Nowhere, NowhereAtOnce])
async def test_a_deadline_is_kept_though_nobody_serves_the_queue_of_a_step(stack: Stack, saga: type[Saga[str]]) -> None:
    async with stack.engine(saga, queues=["served"]) as engine:
        record = await (await engine.start(saga, "x")).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["act"].attempts == 0
    assert record.completed_at is not None
    assert record.deadline_at is not None
    assert record.completed_at < record.deadline_at + SLACK


@dataclass
class Tidy(Saga[str], retry=ONCE, compensation_deadline=ms(400)):
    """It has little time to undo what it did. The context names the step that cannot be undone."""

    diary: Diary

    @step(compensate="unlay", compensation_retry=Retry(attempts=None, backoff=ms(20), factor=1))
    async def lay(self, text: str) -> None:
        self.diary("lay")

    async def unlay(self, text: str) -> None:
        self.diary("unlay")

    @step(parallel="middle", compensate="unbake", compensation_retry=Retry(attempts=None, backoff=ms(20), factor=1))
    async def bake(self, text: str) -> None:
        self.diary("bake")

    async def unbake(self, text: str) -> None:
        if text == "bake" and "mended" not in self.diary.lines:
            raise ConnectionError("it is baked")
        self.diary("unbake")

    @step(parallel="middle", compensate="uncut")
    async def cut(self, text: str) -> None:
        self.diary("cut")

    async def uncut(self, text: str) -> None:
        if text == "hang":
            await self.diary.gate()
        self.diary("uncut")

    @step
    async def serve(self, text: str) -> None:
        raise Abort("nobody is hungry")


async def test_a_compensation_deadline_gives_up_what_is_not_undone_by_then(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Tidy, diary)) as engine:
        handle = await Tidy.start("bake")
        record = await handle.wait(timeout=SOON)
        assert record.is_failed
        assert record.is_overdue
        assert record.steps["bake"].status is StepStatus.COMPENSATION_FAILED
        assert record.steps["cut"].status is StepStatus.COMPENSATED
        assert record.steps["lay"].status is StepStatus.COMPLETED
        assert record.completed_at is not None
        assert record.compensation_deadline_at is not None
        assert record.completed_at < record.compensation_deadline_at + SLACK
        diary("mended")
        assert (await engine.retry(handle.id, by="ada", reason="it is mended")).is_accepted
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert not record.is_overdue
    assert diary.lines[-3:] == ["mended", "unbake", "unlay"]


async def test_a_compensation_that_runs_when_its_deadline_passes_is_awaited(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Tidy, diary)):
        handle = await Tidy.start("hang")
        async for record in handle.changes():
            if record.is_overdue:
                break
        assert (await handle.record()).is_compensating
        diary.opened.set()
        record = await handle.wait(timeout=SOON)
    assert record.is_failed
    assert record.reason is not None
    assert "its deadline for compensations has passed" in record.reason
    assert record.steps["cut"].status is StepStatus.COMPENSATED
    assert record.steps["lay"].status is StepStatus.COMPLETED
