"""A step with ``each=`` is done for every element of a list: bounded, spread over workers, undone one by one."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import Abort, Saga, SagaStatus, StepStatus, step

from .diaries import ONCE, SOON
from .stacks import QUICK, Stack


class Load(Struct, frozen=True):
    """``bad``: the box that cannot be packed. ``torn``: the one of which nobody knows."""

    boxes: tuple[int, ...] = ()
    bad: int = -1
    torn: int = -1
    stays: bool = True


@dataclass
class Floor:
    """Where boxes are packed. Nobody there is done before ``crowd`` have been at work at the same time."""

    crowd: int = 1
    packed: list[int] = field(default_factory=list[int])
    unpacked: list[tuple[int, str | None]] = field(default_factory=list[tuple[int, str | None]])
    packers: set[str] = field(default_factory=set[str])
    put_back: int = 0
    busy: int = 0
    busiest: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def work(self) -> None:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        if self.busy >= self.crowd:
            self.enough.set()
        try:
            await asyncio.wait_for(self.enough.wait(), 10)
            await asyncio.sleep(0.001)
        finally:
            self.busy -= 1


@dataclass
class Packing(Saga[Load], retry=ONCE):
    floor: Floor
    packer: str = "one"

    @step(compensate="put_back")
    async def boxes(self, load: Load) -> list[int]:
        return list(load.boxes)

    async def put_back(self, load: Load) -> None:
        self.floor.put_back += 1

    async def pack_one(self, load: Load, box: int) -> str:
        self.floor.packers.add(self.packer)
        await self.floor.work()
        if box == load.bad:
            raise Abort(f"box {box} is broken")
        if box == load.torn:
            raise ConnectionError(f"box {box} may be torn")
        self.floor.packed.append(box)
        return f"box {box}"

    async def unpack(self, load: Load, box: int, label: str | None) -> None:
        await self.floor.work()
        self.floor.unpacked.append((box, label))

    @step(each=boxes, compensate="unpack")
    async def pack(self, load: Load, box: int) -> str:
        return await self.pack_one(load, box)

    @step
    async def send(self, load: Load, pack: list[str]) -> int:
        if not load.stays:
            raise Abort("nobody wants it")
        return len(pack)


class Narrow(Packing):
    @step(each="boxes", compensate="unpack", at_once=4)
    async def pack(self, load: Load, box: int) -> str:
        return await self.pack_one(load, box)


async def test_two_hundred_elements_are_each_done_once_spread_over_two_engines(stack: Stack) -> None:
    floor, few = Floor(crowd=20), replace(QUICK, concurrency=10)
    async with (
        stack.engine(partial(Packing, floor, "one"), settings=few) as engine,
        stack.engine(partial(Packing, floor, "other"), settings=few),
    ):
        handle = await engine.start(Packing, Load(tuple(range(200))), id="p-1")
        record = await handle.result(timeout=SOON)
    assert record.output(Packing.pack) == [f"box {n}" for n in range(200)]
    assert record.output(Packing.send) == 200
    assert sorted(floor.packed) == list(range(200))
    assert floor.packers == {"one", "other"}
    assert floor.busiest == 20
    elements = record.steps["pack"].elements
    assert [element.name for element in elements] == [f"pack[{n}]" for n in range(200)]
    assert elements[7].id == "p-1/pack[7]"
    assert elements[7].output == "box 7"


async def test_at_once_bounds_how_many_are_done_and_undone_at_the_same_time(stack: Stack) -> None:
    floor = Floor(crowd=4)
    async with stack.engine(partial(Narrow, floor)) as one, stack.engine(partial(Narrow, floor)):
        handle = await one.start(Narrow, Load(tuple(range(30))))
        await handle.result(timeout=SOON)
        assert floor.busiest == 4
        floor.busiest, floor.enough = 0, asyncio.Event()
        assert (await handle.compensate()).is_accepted
        assert (await handle.wait(timeout=SOON)).is_compensated
        assert floor.busiest == 4
    assert sorted(floor.unpacked) == [(n, f"box {n}") for n in range(30)]


async def test_one_element_that_fails_has_all_others_undone_exactly_once(stack: Stack) -> None:
    floor = Floor()
    async with stack.engine(partial(Narrow, floor)):
        record = await (await Narrow.start(Load(tuple(range(50)), bad=25))).wait(timeout=SOON)
    assert record.is_compensated
    assert record.reason == "step 'pack[25]' failed"
    assert record.error is not None
    assert record.error.message == "box 25 is broken"
    assert 25 not in floor.packed
    assert len(floor.packed) < 49  # nothing more is begun once one has failed
    assert sorted(floor.unpacked) == sorted((box, f"box {box}") for box in floor.packed)
    assert floor.put_back == 1
    assert Counter(element.status for element in record.steps["pack"].elements) == {
        StepStatus.COMPENSATED: len(floor.packed),
        StepStatus.FAILED: 1,
        StepStatus.PENDING: 49 - len(floor.packed),
    }


async def test_an_element_of_unknown_outcome_is_undone_without_an_output(stack: Stack) -> None:
    floor = Floor()
    async with stack.engine(partial(Packing, floor)):
        record = await (await Packing.start(Load((1, 2, 3), torn=2))).wait(timeout=SOON)
    assert record.is_compensated
    assert (2, None) in floor.unpacked
    assert sorted(box for box, _ in floor.unpacked) == sorted([*floor.packed, 2])


async def test_a_later_step_that_fails_has_all_elements_undone_before_the_list_itself(stack: Stack) -> None:
    floor = Floor()
    async with stack.engine(partial(Packing, floor)):
        record = await (await Packing.start(Load((5, 6), stays=False))).wait(timeout=SOON)
    assert record.is_compensated
    assert sorted(floor.unpacked) == [(5, "box 5"), (6, "box 6")]
    assert record.steps["pack"].status is StepStatus.COMPENSATED
    undone_at = [element.compensated_at for element in record.steps["pack"].elements]
    first = record.steps["boxes"].compensated_at
    assert first is not None
    assert all(at is not None and at <= first for at in undone_at)


async def test_an_empty_list_is_done_at_once(stack: Stack) -> None:
    floor = Floor()
    async with stack.engine(partial(Packing, floor)):
        handle = await Packing.start(Load())
        record = await handle.result(timeout=SOON)
        assert record.output(Packing.pack) == []
        assert record.output(Packing.send) == 0
        assert (await handle.compensate()).is_accepted
        assert (await handle.wait(timeout=SOON)).is_compensated
    assert floor.packed == []
    assert floor.unpacked == []
    assert floor.put_back == 1


class Sources(Saga[Load]):
    """Lists from everywhere."""

    @step
    async def doubled(self, load: Load) -> tuple[int, ...]:
        return tuple(2 * box for box in load.boxes)

    @step(each=doubled)
    async def of_step(self, load: Load, box: int) -> int:
        return box

    @step(each="boxes")
    async def of_field(self, load: Load, box: int) -> int:
        return box

    @step(each=lambda load: reversed(load.boxes))
    async def of_function(self, load: Load, box: int) -> int:
        return box

    def choose(self, load: Load, doubled: tuple[int, ...], of_field: list[int]) -> list[int]:
        return [*doubled, *of_field]

    @step(each="choose")
    async def of_method(self, load: Load, box: int, of_field: list[int]) -> int:
        return box + len(of_field)


async def test_a_list_comes_from_a_step_a_field_a_function_or_a_method(stack: Stack) -> None:
    async with stack.engine(Sources):
        record = await (await Sources.start(Load((1, 2, 3)))).result(timeout=SOON)
    assert record.output(Sources.of_step) == [2, 4, 6]
    assert record.output(Sources.of_field) == [1, 2, 3]
    assert record.output(Sources.of_function) == [3, 2, 1]
    assert record.output(Sources.of_method) == [5, 7, 9, 4, 5, 6]


async def test_a_list_that_is_too_long_fails_cleanly(stack: Stack) -> None:
    floor = Floor()
    async with stack.engine(partial(Packing, floor), settings=replace(QUICK, elements_limit=10)):
        record = await (await Packing.start(Load(tuple(range(11))))).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["pack"].status is StepStatus.FAILED
    assert record.error is not None
    assert record.error.type == "sagaflow.errors.PayloadError"
    assert "gave 11 elements; 10 are allowed" in record.error.message
    assert floor.packed == []
    assert floor.unpacked == []
    assert floor.put_back == 1


class Wrong(Saga[Load]):
    def nothing(self, load: Load) -> Any:
        if load.boxes:
            raise LookupError("where are they?")
        return "boxes"

    @step(each="nothing")
    async def pack(self, load: Load, box: str) -> str:
        raise AssertionError("there is nothing to pack")


@pytest.mark.parametrize(
    ("load", "message"), [(Load(), "gave a str, which is no list"), (Load((1,)), "where are they?")]
)
async def test_what_is_no_list_fails_cleanly(stack: Stack, load: Load, message: str) -> None:
    async with stack.engine(Wrong):
        record = await (await Wrong.start(load)).wait(timeout=SOON)
    assert record.status is SagaStatus.COMPENSATED
    assert record.error is not None
    assert message in record.error.message
    assert record.steps["pack"].attempts == 0


class Heavy(Saga[int]):
    """Its list is short, and its elements are large."""

    @step(each=lambda count: ["x" * 20_000] * count)
    async def lift(self, count: int, weight: str) -> int:
        return len(weight)


async def test_a_list_for_which_the_document_has_no_room_fails_cleanly(stack: Stack) -> None:
    async with stack.engine(Heavy, settings=replace(QUICK, document_limit=150_000)):
        assert (await (await Heavy.start(3)).result(timeout=SOON)).output(Heavy.lift) == [20_000] * 3
        record = await (await Heavy.start(6)).wait(timeout=SOON)
    assert record.is_compensated
    assert record.error is not None
    assert record.error.type == "sagaflow.errors.PayloadTooLarge"
    assert record.steps["lift"].status is StepStatus.FAILED
    assert record.steps["lift"].elements == ()
