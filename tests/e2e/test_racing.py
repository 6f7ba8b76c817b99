"""Requests to turn back, twice, against each other and against completion: what was accepted is done, and done once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import pytest

from sagaflow import Answer, Engine, Happened, NotHappened, Saga, SagaHandle, SagaRecord, Verdict, step

from .diaries import SOON, Diary
from .stacks import Stack

MANY = 36


@dataclass
class Errand(Saga[int]):
    diary: Diary

    async def act(self, name: str) -> None:
        await asyncio.sleep(0)
        self.diary(f"{self.saga_id} {name}")

    @step(compensate="ungo")
    async def go(self, number: int) -> None:
        await self.act("go")

    async def ungo(self, number: int) -> None:
        await self.act("ungo")

    @step(compensate="unfetch")
    async def fetch(self, number: int) -> None:
        await self.act("fetch")

    async def unfetch(self, number: int) -> None:
        await self.act("unfetch")

    @step(compensate="unbring")
    async def bring(self, number: int) -> None:
        await self.act("bring")

    async def unbring(self, number: int) -> None:
        await self.act("unbring")


def check(diary: Diary, record: SagaRecord[int]) -> None:
    """All that was done is undone, once and in reverse, or nothing is."""
    lines = [line.partition(" ")[2] for line in diary.lines if line.startswith(f"{record.id} ")]
    done = [line for line in lines if not line.startswith("un")]
    assert done == ["go", "fetch", "bring"][: len(done)]
    undone = [f"un{line}" for line in reversed(done)] if record.is_compensated else []
    assert lines == done + undone


@pytest.mark.parametrize(
    "acts",
    [("cancel", "cancel"), ("compensate", "compensate"), ("cancel", "compensate")],
    ids="-".join,
)
async def test_two_requests_that_race_with_completion_turn_a_saga_back_at_most_once(
    stack: Stack, diary: Diary, acts: tuple[str, str]
) -> None:
    async with stack.engine(partial(Errand, diary)) as one, stack.engine(partial(Errand, diary)) as other:

        async def race(number: int) -> None:
            handle = await one.start(Errand, number, id=f"e-{number}")
            await asyncio.sleep(0.002 * (number % 18))  # from before its first step until after its last one
            answers = await asyncio.gather(ask(one, acts[0], handle), ask(other, acts[1], handle))
            record = await handle.wait(timeout=SOON)
            check(diary, record)
            verdicts = [answer.verdict for answer in answers]
            assert record.is_compensated is (Verdict.ACCEPTED in verdicts)
            assert record.is_completed is (set(verdicts) == {Verdict.REFUSED})
            if "cancel" not in acts:
                assert Verdict.REFUSED not in verdicts

        await asyncio.gather(*(race(number) for number in range(MANY)))


async def ask(engine: Engine, act: str, handle: SagaHandle[int]) -> Answer:
    if act == "cancel":
        return await engine.cancel(handle.id)
    return await engine.compensate(handle.id)


async def test_a_saga_that_is_undone_again_and_again_is_undone_once(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Errand, diary)) as engine:
        handle = await Errand.start(1)
        await handle.result(timeout=SOON)
        answers = await asyncio.gather(*(engine.compensate(handle.id) for _ in range(12)))
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        assert {answer.verdict for answer in answers} <= {Verdict.ACCEPTED, Verdict.ALREADY}
        assert (await handle.compensate()).verdict is Verdict.ALREADY
        assert (await handle.cancel()).verdict is Verdict.ALREADY
        check(diary, await handle.record())


@dataclass
class Party(Saga[int]):
    """Its first step is a saga, its second one is done for a list, its third one is answered from outside."""

    diary: Diary

    @step(saga=Errand)
    async def errand(self, number: int) -> int:
        return number

    @step(each=lambda _: range(6), compensate="uninvite", at_once=3)
    async def invite(self, number: int, guest: int) -> int:
        await asyncio.sleep(0)
        self.diary(f"{self.saga_id} invite {guest}")
        return guest

    async def uninvite(self, number: int, guest: int, output: int | None) -> None:
        assert output == guest
        self.diary(f"{self.saga_id} uninvite {guest}")

    @step(waits_for=str, compensate="thank")
    async def gift(self, number: int) -> None:
        self.diary(f"{self.saga_id} ask")

    async def thank(self, number: int, gift: str | None) -> None:
        self.diary(f"{self.saga_id} give back {gift}")


async def test_a_family_that_is_cancelled_at_any_moment_leaves_nothing_behind(stack: Stack, diary: Diary) -> None:
    sagas = (partial(Errand, diary), partial(Party, diary))
    async with stack.engine(*sagas) as one, stack.engine(*sagas) as other:

        async def race(number: int) -> None:
            handle = await one.start(Party, number, id=f"p-{number}")
            await asyncio.sleep(0.003 * (number % 18))
            engine, rival = (one, other) if number % 2 else (other, one)
            gift, cancelled = await asyncio.gather(
                engine.complete_step(handle.id, Party.gift, "a cake"), rival.cancel(handle.id)
            )
            record = await handle.wait(timeout=SOON)
            assert record.is_compensated is cancelled.is_accepted
            assert record.is_terminal
            lines = [line.partition(" ")[2] for line in diary.lines if line.startswith(f"p-{number} ")]
            for guest in range(6):
                assert lines.count(f"invite {guest}") <= 1
                done = lines.count(f"invite {guest}") == 1
                assert lines.count(f"uninvite {guest}") == (done and record.is_compensated)
            assert lines.count("give back a cake") == (gift.is_accepted and record.is_compensated)
            if record.steps["errand"].child_id:
                child = await one.get(record.steps["errand"].child_id)
                assert child.status is record.status
                check(diary, child)

        await asyncio.gather(*(race(number) for number in range(MANY)))


@dataclass
class Point(Errand):
    """There is no way back from its second step."""

    @step(pivot=True, probe="look")
    async def fetch(self, number: int) -> None:
        await self.act("fetch")

    async def look(self, number: int) -> Happened[None] | NotHappened:
        return Happened(None)

    @step
    async def bring(self, number: int) -> None:
        await self.act("bring")


async def test_a_request_that_races_with_the_pivot_is_refused_or_done(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Point, diary)) as one, stack.engine(partial(Point, diary)) as other:

        async def race(number: int) -> None:
            handle = await one.start(Point, number, id=f"p-{number}")
            await asyncio.sleep(0.001 * (number % 18))
            answer = await ask(other, "cancel" if number % 2 else "compensate", handle)
            record = await handle.wait(timeout=SOON)
            assert record.is_compensated is answer.is_accepted
            assert record.is_completed is not answer.is_accepted
            assert (f"p-{number} fetch" in diary.lines) is record.is_completed
            check(diary, record)

        await asyncio.gather(*(race(number) for number in range(MANY)))
