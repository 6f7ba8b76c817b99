"""A step with ``when=`` is done or left out; what is left out has no output, and nothing to undo."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import Abort, Saga, StepStatus, step

from .diaries import SOON, THRICE, Diary
from .stacks import Stack


class Meal(Struct, frozen=True):
    guests: int
    is_hot: bool = False
    fails: bool = False


@dataclass
class Dinner(Saga[Meal], retry=THRICE):
    diary: Diary

    @step(compensate="unlay")
    async def lay(self, meal: Meal) -> int:
        self.diary("lay")
        return meal.guests

    async def unlay(self, meal: Meal) -> None:
        self.diary("unlay")

    @step(when=lambda meal: meal.is_hot, compensate="cool")
    async def heat(self, meal: Meal) -> str:
        self.diary("heat")
        return "hot"

    async def cool(self, meal: Meal) -> None:
        self.diary("cool")

    def is_large(self, meal: Meal, lay: int, heat: str | None) -> bool:
        self.diary(f"is_large {heat}")
        return lay > 4

    @step(when="is_large")
    async def help_out(self, meal: Meal) -> list[str]:
        if self.attempt < 3:
            raise ConnectionError("nobody there")
        return ["ada", "bob"]

    @step
    async def serve(self, meal: Meal, heat: str | None, help_out: list[str] | None) -> str:
        if meal.fails:
            raise Abort("no appetite")
        return f"{heat} by {help_out}"


@pytest.mark.parametrize(
    ("meal", "served"),
    [
        (Meal(2), "None by None"),
        (Meal(2, is_hot=True), "hot by None"),
        (Meal(8), "None by ['ada', 'bob']"),
        (Meal(8, is_hot=True), "hot by ['ada', 'bob']"),
    ],
)
async def test_steps_are_left_out_by_function_and_by_method_and_later_ones_see_none(
    stack: Stack, diary: Diary, meal: Meal, served: str
) -> None:
    async with stack.engine(partial(Dinner, diary)):
        record = await (await Dinner.start(meal)).result(timeout=SOON)
    assert record.output(Dinner.serve) == served
    assert record.steps["heat"].status is (StepStatus.COMPLETED if meal.is_hot else StepStatus.SKIPPED)
    # Asked once, however often the step itself is tried.
    assert len([line for line in diary.lines if line.startswith("is_large")]) == 1


async def test_what_was_left_out_has_no_output(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Dinner, diary)):
        record = await (await Dinner.start(Meal(2))).result(timeout=SOON)
    assert record.output(Dinner.heat, "cold") == "cold"
    assert record.output(Dinner.help_out, None) is None
    assert set(record.outputs) == {"lay", "serve"}
    assert record.steps["heat"].output is None
    with pytest.raises(LookupError, match="no output of step 'heat', which is skipped"):
        record.output(Dinner.heat)


async def test_what_was_left_out_is_not_undone(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Dinner, diary)):
        cold = await (await Dinner.start(Meal(2, fails=True))).wait(timeout=SOON)
        assert cold.is_compensated
        assert cold.steps["heat"].status is StepStatus.SKIPPED
        assert diary.lines == ["lay", "is_large None", "unlay"]
        diary.lines.clear()
        hot = await (await Dinner.start(Meal(2, is_hot=True, fails=True))).wait(timeout=SOON)
        assert hot.is_compensated
        assert diary.lines == ["lay", "heat", "is_large hot", "cool", "unlay"]


class Doubtful(Saga[str]):
    def decide(self, text: str) -> Any:
        if text == "raise":
            raise LookupError("which way?")
        return self._later()

    async def _later(self) -> bool:
        return True

    @step(when="decide", compensate="undo")
    async def go(self, text: str) -> None:
        raise AssertionError("nobody has decided that")

    async def undo(self, text: str) -> None:
        raise AssertionError("there is nothing to undo")


@pytest.mark.parametrize(("text", "message"), [("raise", "which way?"), ("later", "write 'def'")])
async def test_who_cannot_decide_fails_the_step_cleanly(stack: Stack, text: str, message: str) -> None:
    async with stack.engine(Doubtful):
        record = await (await Doubtful.start(text)).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["go"].status is StepStatus.FAILED
    assert record.steps["go"].attempts == 0
    assert record.error is not None
    assert message in record.error.message


class Branches(Saga[int]):
    """One of two ways, both of which lead on."""

    @step(parallel="way", when=lambda number: number < 0)
    async def below(self, number: int) -> str:
        return "below"

    @step(parallel="way", when=lambda number: number >= 0)
    async def above(self, number: int) -> str:
        return "above"

    @step
    async def join(self, number: int, below: str | None, above: str | None) -> str:
        return below or above or "nowhere"


async def test_one_of_two_ways_is_taken(stack: Stack) -> None:
    async with stack.engine(Branches):
        records = [await (await Branches.start(number)).result(timeout=SOON) for number in (-1, 1)]
    assert [record.output(Branches.join) for record in records] == ["below", "above"]
