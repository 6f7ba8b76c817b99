"""Sagas are compensated and cancelled by request: while they run, after they completed, twice, in races."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest

from sagaflow import Retry, Saga, SagaStatus, StepStatus, Verdict, step

from .stacks import Stack

SOON = timedelta(seconds=20)


@dataclass
class Gate:
    """Lets a step wait until the test lets it go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[str] = field(default_factory=list[str])


@dataclass
class Gated(Saga[str]):
    gate: Gate

    @step(compensate="unbefore")
    async def before(self, text: str) -> str:
        self.gate.lines.append("before")
        return text

    async def unbefore(self, text: str, output: str | None) -> None:
        self.gate.lines.append(f"unbefore {output}")

    @step(compensate="unwait")
    async def wait(self, text: str) -> str:
        self.gate.reached.set()
        await self.gate.opened.wait()
        self.gate.lines.append("wait")
        return text

    async def unwait(self, text: str, output: str | None) -> None:
        self.gate.lines.append(f"unwait {output}")

    @step(compensate="unafter")
    async def after(self, text: str) -> None:
        self.gate.lines.append("after")

    async def unafter(self, text: str) -> None:
        self.gate.lines.append("unafter")


@pytest.fixture
def gate() -> Gate:
    return Gate()


async def test_a_step_in_flight_is_settled_before_it_is_undone_and_nothing_more_is_begun(
    stack: Stack, gate: Gate
) -> None:
    async with stack.engine(partial(Gated, gate)) as engine:
        handle = await Gated.start("x")
        await gate.reached.wait()
        answer = await handle.compensate(reason="the customer has changed their mind")
        assert answer.verdict is Verdict.ACCEPTED
        async for record in handle.changes():
            if record.status is SagaStatus.COMPENSATING:
                break
        assert (await engine.get(handle.id)).steps["wait"].status is StepStatus.STARTED
        gate.opened.set()
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert record.reason == "the customer has changed their mind"
    assert gate.lines == ["before", "wait", "unwait x", "unbefore x"]


async def test_a_completed_saga_is_undone_on_request_and_twice_is_as_once(stack: Stack, gate: Gate) -> None:
    gate.opened.set()
    async with stack.engine(partial(Gated, gate)):
        handle = await Gated.start("x")
        await handle.result(timeout=SOON)
        first, second = await asyncio.gather(handle.compensate(), handle.compensate())
        assert Verdict.ACCEPTED in (first.verdict, second.verdict)
        assert Verdict.REFUSED not in (first.verdict, second.verdict)
        assert (await handle.wait(timeout=SOON)).is_compensated
        assert (await handle.compensate()).verdict is Verdict.ALREADY
    assert gate.lines == ["before", "wait", "after", "unafter", "unwait x", "unbefore x"]


async def test_cancel_stops_a_running_saga_and_leaves_a_completed_one(stack: Stack, gate: Gate) -> None:
    async with stack.engine(partial(Gated, gate)):
        running = await Gated.start("x")
        await gate.reached.wait()
        assert (await running.cancel()).is_accepted
        gate.opened.set()
        assert (await running.wait(timeout=SOON)).is_compensated
        completed = await Gated.start("y")
        await completed.result(timeout=SOON)
        answer = await completed.cancel()
        assert answer.verdict is Verdict.REFUSED
        assert "use compensate" in answer.why
        assert await completed.status() is SagaStatus.COMPLETED


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.003, 0.01])
async def test_an_accepted_request_is_never_passed_over_however_it_races_with_completion(
    stack: Stack, gate: Gate, pause: float
) -> None:
    gate.opened.set()
    async with stack.engine(partial(Gated, gate)):
        for _ in range(5):
            handle = await Gated.start("x")
            await asyncio.sleep(pause)
            answer = await handle.cancel()
            record = await handle.wait(timeout=SOON)
            assert record.is_compensated is answer.is_accepted


class Late(Saga[str]):
    at: ClassVar[list[str]] = []

    @step(compensate="undo", retry=Retry(attempts=1))
    async def hang(self, text: str) -> None:
        await asyncio.sleep(60)

    async def undo(self, text: str) -> None:
        self.at.append("undone")


class Hasty(Late, deadline=timedelta(seconds=1)):
    @step(compensate="undo", timeout=timedelta(seconds=5), retry=Retry(attempts=5))
    async def hang(self, text: str) -> None:
        await asyncio.sleep(60)


async def test_a_deadline_that_passes_compensates_the_saga(stack: Stack) -> None:
    Late.at.clear()
    async with stack.engine(Hasty):
        record = await (await Hasty.start("x")).wait(timeout=SOON)
    assert record.is_compensated
    assert record.reason == "its deadline has passed"
    assert record.steps["hang"].attempts == 1
    assert Late.at == ["undone"]
