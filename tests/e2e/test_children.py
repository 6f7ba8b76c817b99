"""A step that is another saga: three levels that go forward, turn back and are looked at as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import Abort, Saga, SagaFailed, SagaRecord, StepStatus, Verdict, step
from tests.polling import until

from .diaries import SOON, THRICE, Diary, ms
from .stacks import Stack


class Plan(Struct, frozen=True):
    """``fails``: the step that aborts, or cannot be undone (``"unpaint"``). ``stops``: the one that waits at the gate.
    ``waits``: whether the room waits for the outside."""

    fails: str = ""
    stops: str = ""
    waits: bool = False


@dataclass
class Building(Saga[Plan], abstract=True, retry=THRICE, compensation_retry=THRICE):
    diary: Diary

    async def act(self, plan: Plan, name: str) -> str:
        if plan.stops == name:
            await self.diary.gate()
        if plan.fails == name:
            raise Abort(f"no {name}")
        self.diary(name)
        return f"{name} in {self.saga_id}"

    async def undo(self, plan: Plan, name: str) -> None:
        if plan.fails == f"un{name}":
            raise ConnectionError(f"cannot undo {name}")
        self.diary(f"un{name}")


class Room(Building):
    @step(compensate="unfurnish")
    async def furnish(self, plan: Plan) -> str:
        return await self.act(plan, "furnish")

    async def unfurnish(self, plan: Plan) -> None:
        await self.undo(plan, "furnish")

    @step(waits_for=str, when=lambda plan: plan.waits)
    async def permit(self, plan: Plan) -> None:
        self.diary("permit")

    @step(compensate="unpaint")
    async def paint(self, plan: Plan) -> str:
        return await self.act(plan, "paint")

    async def unpaint(self, plan: Plan) -> None:
        await self.undo(plan, "paint")


class House(Building):
    @step(compensate="unfound")
    async def found(self, plan: Plan) -> str:
        return await self.act(plan, "found")

    async def unfound(self, plan: Plan) -> None:
        await self.undo(plan, "found")

    @step(saga=Room)
    async def room(self, plan: Plan, found: str) -> Plan:
        return plan

    @step(compensate="unroof")
    async def roof(self, plan: Plan, room: SagaRecord[Plan]) -> str:
        return f"{await self.act(plan, 'roof')} over {room.output(Room.paint)}"

    async def unroof(self, plan: Plan) -> None:
        await self.undo(plan, "roof")


class Town(Building):
    @step(compensate="unroad")
    async def road(self, plan: Plan) -> str:
        return await self.act(plan, "road")

    async def unroad(self, plan: Plan) -> None:
        await self.undo(plan, "road")

    @step(saga=House)
    async def house(self, plan: Plan) -> Plan:
        if plan.fails == "house":
            raise Abort("nobody may build here")
        return plan

    @step(compensate="unopen")
    async def open(self, plan: Plan, house: SagaRecord[Plan]) -> str:
        return f"{await self.act(plan, 'open')}: {house.output(House.roof)}"

    async def unopen(self, plan: Plan) -> None:
        await self.undo(plan, "open")


class HastyTown(Town, deadline=ms(1_500)):
    """It must be ready soon."""


def sagas(diary: Diary) -> list[Callable[[], Saga[Any]]]:
    return [partial(Room, diary), partial(House, diary), partial(Town, diary), partial(HastyTown, diary)]


async def test_three_levels_complete_and_each_sees_the_record_of_the_next(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        record = await (await Town.start(Plan(), id="t")).result(timeout=SOON)
        house, room = await engine.get("t/house"), await engine.get("t/house/room")
    assert diary.lines == ["road", "found", "furnish", "paint", "roof", "open"]
    assert record.output(Town.open) == "open in t: roof in t/house over paint in t/house/room"
    assert record.output(Town.house).output(House.room).output(Room.furnish) == "furnish in t/house/room"
    assert record.output(Town.house).is_completed
    assert record.steps["house"].child_id == "t/house"
    assert (record.parent_id, record.parent_step) == (None, None)
    assert (house.parent_id, house.parent_step) == ("t", "house")
    assert house.steps["room"].child_id == "t/house/room"
    assert (room.parent_id, room.parent_step) == ("t/house", "room")


@pytest.mark.parametrize("name", ["road", "house", "paint", "roof", "open"])
async def test_whatever_fails_at_any_level_has_all_of_it_undone_from_the_inside_out(
    stack: Stack, diary: Diary, name: str
) -> None:
    async with stack.engine(*sagas(diary)):
        record = await (await Town.start(Plan(fails=name), id="t")).wait(timeout=SOON)
    assert record.is_compensated
    done = [line for line in diary.lines if not line.startswith("un")]
    assert diary.lines == [*done, *(f"un{line}" for line in reversed(done))]
    assert record.steps["road"].status is (StepStatus.FAILED if name == "road" else StepStatus.COMPENSATED)
    if name in ("house", "found", "furnish", "paint", "roof"):
        assert record.steps["house"].status is StepStatus.FAILED
        assert record.reason == "step 'house' failed"


async def test_a_child_that_was_undone_is_its_steps_error(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        record = await (await Town.start(Plan(fails="paint"), id="t")).wait(timeout=SOON)
        house = await engine.get("t/house")
    assert house.is_compensated
    assert record.error is not None
    assert record.error.type == "sagaflow.errors.SagaCompensated"
    assert "t/house" in record.error.message
    assert "step 'room' failed" in record.error.message
    assert record.output(Town.house, None) is None


async def test_a_completed_parent_is_undone_with_its_children_innermost_first(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await Town.start(Plan(), id="t")
        await handle.result(timeout=SOON)
        assert (await handle.compensate(reason="no longer wanted")).is_accepted
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        assert record.steps["house"].status is StepStatus.COMPENSATED
        for name in ("t/house", "t/house/room"):
            assert (await engine.get(name)).is_compensated
    assert diary.lines[6:] == ["unopen", "unroof", "unpaint", "unfurnish", "unfound", "unroad"]


async def test_a_child_that_cannot_be_undone_fails_its_parents_too(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await Town.start(Plan(fails="unpaint"), id="t")
        await handle.result(timeout=SOON)
        assert (await handle.compensate()).is_accepted
        with pytest.raises(SagaFailed, match="the child saga of step 'house' failed") as failed:
            await handle.result(timeout=SOON)
        assert (await engine.get("t/house/room")).is_failed
        assert (await engine.get("t/house")).is_failed
    record = failed.value.saga
    assert record.steps["house"].status is StepStatus.COMPENSATION_FAILED
    assert record.steps["open"].status is StepStatus.COMPENSATED
    assert record.steps["road"].status is StepStatus.COMPLETED


async def test_cancel_reaches_down_while_the_innermost_runs(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await Town.start(Plan(stops="paint"), id="t")
        await diary.reached.wait()
        assert (await handle.record()).waits_for == ("saga 't/house' (step 'house')",)
        assert (await handle.cancel()).is_accepted

        async def has_reached_the_room() -> bool:
            return (await engine.get("t/house/room")).is_compensating

        await until(has_reached_the_room)
        diary.opened.set()
        record = await handle.wait(timeout=SOON)
        assert (await engine.get("t/house/room")).is_compensated
        assert (await engine.get("t/house")).is_compensated
    assert record.is_compensated
    # What runs is awaited, and undone as what has happened.
    assert diary.lines == ["road", "found", "furnish", "paint", "unpaint", "unfurnish", "unfound", "unroad"]


async def test_a_deadline_reaches_down_while_the_innermost_waits(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        record = await (await HastyTown.start(Plan(waits=True), id="t")).wait(timeout=SOON)
        assert (await engine.get("t/house/room")).is_compensated
    assert record.is_compensated
    assert record.reason == "its deadline has passed"
    assert diary.lines == ["road", "found", "furnish", "permit", "unfurnish", "unfound", "unroad"]


async def test_a_child_is_not_undone_behind_the_back_of_its_parent(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await Town.start(Plan(stops="open"), id="t")
        await diary.reached.wait()
        answer = await engine.compensate("t/house")
        assert answer.verdict is Verdict.REFUSED
        assert "is a part of saga 't', which goes on with what it did: compensate that" in answer.why
        diary.opened.set()
        assert (await handle.result(timeout=SOON)).is_completed
        assert (await engine.compensate("t/house/room")).verdict is Verdict.REFUSED
        assert (await engine.cancel("t/house")).verdict is Verdict.REFUSED
        assert (await engine.get("t/house")).is_completed


async def test_a_child_that_is_cancelled_while_it_runs_fails_the_step_of_its_parent(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await Town.start(Plan(waits=True), id="t")
        await until(lambda: "permit" in diary.lines)
        assert (await engine.cancel("t/house/room", reason="too bright")).is_accepted
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["house"].status is StepStatus.FAILED
    assert diary.lines == ["road", "found", "furnish", "permit", "unfurnish", "unfound", "unroad"]


async def test_the_outside_answers_the_child(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await Town.start(Plan(waits=True), id="t")
        await until(lambda: "permit" in diary.lines)
        assert (await engine.complete_step("t/house/room", Room.permit, "granted")).is_accepted
        record = await handle.result(timeout=SOON)
    assert record.output(Town.house).output(House.room).output(Room.permit) == "granted"


async def test_levels_may_be_worked_on_by_engines_that_come_and_go(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        handle = await engine.start(Town, Plan(waits=True), id="t")
        await until(lambda: "permit" in diary.lines)
    async with stack.engine(*sagas(diary), work="none") as web:
        await web.complete_step("t/house/room", Room.permit, "granted")
    async with stack.engine(*sagas(diary)) as engine, stack.engine(*sagas(diary)):
        assert (await engine.handle(Town, handle.id).result(timeout=SOON)).is_completed
        assert (await engine.compensate("t")).is_accepted
        assert (await engine.handle(Town, "t").wait(timeout=SOON)).is_compensated
    assert diary.lines[-6:] == ["unopen", "unroof", "unpaint", "unfurnish", "unfound", "unroad"]


async def test_an_id_that_somebody_else_has_fails_the_step_cleanly(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine:
        await (await engine.start(Room, Plan(), id="t/house")).result(timeout=SOON)
        diary.lines.clear()
        record = await (await engine.start(Town, Plan(), id="t")).wait(timeout=SOON)
        assert record.is_compensated
        assert record.error is not None
        assert "is taken by another saga" in record.error.message
        assert (await engine.get("t/house")).is_completed
    assert diary.lines == ["road", "unroad"]


async def test_many_families_go_forward_and_back_side_by_side(stack: Stack, diary: Diary) -> None:
    async with stack.engine(*sagas(diary)) as engine, stack.engine(*sagas(diary)):
        handles = [await engine.start(Town, Plan(fails="roof" if n % 2 else "")) for n in range(10)]
        records = [await handle.wait(timeout=SOON) for handle in handles]
    assert [record.is_completed for record in records] == [True, False] * 5
    assert diary.lines.count("paint") == 10
    assert diary.lines.count("unpaint") == 5
