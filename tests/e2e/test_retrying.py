"""What fails is tried again, as often and as late as its policy says, whoever lives to do it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from sagaflow import Abort, Retry, RetryLater, Saga, Settings, StepStatus, step
from tests.polling import until

from .diaries import PARKED, SOON, THRICE, Diary, ms
from .stacks import QUICK, Stack

PARKING = replace(QUICK, in_place=ms(50))
"""Waits are spent in the store, not in a worker's memory."""


@dataclass
class Flaky(Saga[str], retry=PARKED, compensation_retry=PARKED):
    """Its step works at the third attempt; so does its compensation, if the context says ``"undo"``."""

    diary: Diary

    @step(compensate="undo")
    async def act(self, text: str) -> int:
        self.diary(f"act {self.attempt} {self.idempotency_key}")
        if self.attempt < 3 and text == "act":
            raise ConnectionError("away")
        return self.attempt

    async def undo(self, text: str, output: int | None) -> None:
        self.diary(f"undo {self.attempt} {self.idempotency_key}")
        if self.attempt < 3 and text == "undo":
            raise ConnectionError("away")

    @step
    async def end(self, text: str, act: int) -> int:
        if text == "undo":
            raise Abort("back")
        return act


ACTS = [f"act {n} f-1/act" for n in (1, 2, 3)]
UNDOES = [f"undo {n} f-1/act/undo" for n in (1, 2, 3)]


@pytest.mark.parametrize("settings", [QUICK, PARKING], ids=["in memory", "parked"])
async def test_waits_are_as_long_as_the_policy_says(stack: Stack, diary: Diary, settings: Settings) -> None:
    begun: list[datetime] = []
    async with stack.engine(partial(Flaky, diary), settings=settings):
        handle = await Flaky.start("act", id="f-1")
        async for record in handle.changes():
            at = record.steps["act"].executed_at
            if at is not None and at not in begun:
                begun.append(at)
    assert diary.lines == ACTS
    waits = [later - earlier for earlier, later in pairwise(begun)]
    assert len(waits) == 2
    assert all(PARKED.backoff <= wait < PARKED.backoff + timedelta(seconds=1) for wait in waits)


@pytest.mark.parametrize("settings", [QUICK, PARKING], ids=["in memory", "parked"])
async def test_a_wait_survives_the_engine(stack: Stack, diary: Diary, settings: Settings) -> None:
    for attempt in (1, 2):
        async with stack.engine(partial(Flaky, diary), settings=settings) as engine:
            await engine.start(Flaky, "act", id="f-1")
            await until(partial(diary.lines.__contains__, ACTS[attempt - 1]))
    async with stack.engine(partial(Flaky, diary), settings=settings) as engine:
        record = await engine.handle(Flaky, "f-1").result(timeout=SOON)
    assert record.output(Flaky.end) == 3
    assert diary.lines == ACTS


async def test_a_wait_of_a_compensation_survives_the_engine_and_has_a_policy_of_its_own(
    stack: Stack, diary: Diary
) -> None:
    async with stack.engine(partial(Flaky, diary), settings=PARKING) as engine:
        await engine.start(Flaky, "undo", id="f-1")
        await until(partial(diary.lines.__contains__, UNDOES[0]))
    async with stack.engine(partial(Flaky, diary), settings=PARKING) as engine:
        record = await engine.handle(Flaky, "f-1").wait(timeout=SOON)
    assert record.is_compensated
    assert diary.lines == [ACTS[0], *UNDOES]
    assert record.steps["act"].compensation_attempts == 3


class Policies(Saga[str], retry=THRICE, compensation_retry=Retry(attempts=4, backoff=ms(1))):
    """Each of its steps has policies of its own, or those of the saga."""

    @step(parallel="all", compensate="undo")
    async def by_saga(self, text: str) -> None:
        raise ConnectionError("away")

    @step(
        parallel="all",
        compensate="undo",
        retry=Retry(attempts=2, backoff=ms(1)),
        compensation_retry=Retry(attempts=1),
    )
    async def by_itself(self, text: str) -> None:
        raise ConnectionError("away")

    @step(parallel="all", compensate="undo", retry=Retry(attempts=9, backoff=ms(1), on=(KeyError,)))
    async def of_others(self, text: str) -> None:
        raise ConnectionError("away")

    async def undo(self, text: str) -> None:
        raise ConnectionError("still away")


async def test_steps_and_compensations_have_policies_of_their_own(stack: Stack) -> None:
    async with stack.engine(Policies):
        record = await (await Policies.start("x")).wait(timeout=SOON)
    assert record.is_failed
    steps = record.steps
    # The one that is not retried turns the saga back, whatever the others still had before them.
    assert steps["of_others"].attempts == 1
    assert steps["by_saga"].attempts <= 3
    assert steps["by_itself"].attempts <= 2
    assert [steps[name].compensation_attempts for name in ("by_saga", "by_itself", "of_others")] == [4, 1, 4]
    assert {step.status for step in steps.values()} == {StepStatus.COMPENSATION_FAILED}
    assert steps["by_itself"].compensation_error is not None
    assert steps["by_itself"].compensation_error.message == "still away"


class Patient(Saga[str]):
    @step(retry=Retry(attempts=2, backoff=timedelta(hours=1)), compensate="undo")
    async def ask(self, text: str) -> int:
        if self.attempt < 2 or text == "never":
            raise RetryLater(ms(300))
        return self.attempt

    async def undo(self, text: str) -> None:
        if self.attempt < 3:
            raise RetryLater(ms(10))


@pytest.mark.parametrize("settings", [QUICK, PARKING], ids=["in memory", "parked"])
async def test_retry_later_says_when_in_place_of_the_policy(stack: Stack, settings: Settings) -> None:
    async with stack.engine(Patient, settings=settings):
        handle = await Patient.start("soon")
        record = await handle.result(timeout=SOON)
    begun = record.steps["ask"].executed_at
    assert record.output(Patient.ask) == 2
    assert begun is not None
    assert ms(300) <= begun - record.created_at < timedelta(seconds=2)


async def test_retry_later_counts_as_an_attempt_in_both_directions(stack: Stack) -> None:
    async with stack.engine(Patient):
        record = await (await Patient.start("never")).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["ask"].attempts == 2
    assert record.steps["ask"].compensation_attempts == 3
    assert record.steps["ask"].error is not None
    assert record.steps["ask"].error.type == "sagaflow.errors.RetryLater"
