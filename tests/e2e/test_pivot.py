"""Once its pivot has begun a saga only goes forward; until then, and if it failed cleanly, there is a way back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import pytest
from msgspec import Struct

from sagaflow import (
    Abort,
    DefinitionWarning,
    Happened,
    NotHappened,
    Saga,
    SagaFailed,
    SagaStatus,
    StepStatus,
    StillUnknown,
    Verdict,
    step,
)

from .diaries import ONCE, SOON, THRICE, Diary, ms
from .stacks import Stack

NO_WAY_BACK = "the pivot of the saga has begun: there is no way back"


class Deal(Struct, frozen=True):
    """``stops``: the step that waits at the gate. ``aborts``, ``breaks``: the one that does. ``found``: by the probe.
    ``failures``: how often shipping fails before it does not."""

    stops: str = ""
    aborts: str = ""
    breaks: str = ""
    found: str = ""
    failures: int = 0


@dataclass
class Sale(Saga[Deal], retry=THRICE, compensation_retry=THRICE):
    diary: Diary

    async def act(self, deal: Deal, name: str) -> str:
        if deal.stops == name:
            await self.diary.gate()
        if deal.aborts == name:
            raise Abort(f"no {name}")
        if deal.breaks == name:
            raise ConnectionError(f"{name} is away")
        self.diary(name)
        return name

    @step(compensate="unreserve")
    async def reserve(self, deal: Deal) -> str:
        return await self.act(deal, "reserve")

    async def unreserve(self, deal: Deal) -> None:
        self.diary("unreserve")

    @step(pivot=True, probe="look", retry=ONCE)
    async def charge(self, deal: Deal, reserve: str) -> str:
        return await self.act(deal, "charge")

    async def look(self, deal: Deal) -> Happened[str] | NotHappened | StillUnknown:
        self.diary("look")
        if deal.found == "nothing":
            return NotHappened()
        return Happened(deal.found) if deal.found else StillUnknown(ms(5))

    @step(parallel="after")
    async def ship(self, deal: Deal, charge: str) -> str:
        if self.attempt <= deal.failures:
            raise ConnectionError("the lorry is away")
        return f"{await self.act(deal, 'ship')} for {charge}"

    @step(parallel="after")
    async def thank(self, deal: Deal) -> str:
        return await self.act(deal, "thank")

    @step(after="ship")
    async def track(self, deal: Deal) -> str:
        return await self.act(deal, "track")


class HastySale(Sale, deadline=ms(1_500)):
    """It is to be done soon."""


@pytest.mark.parametrize("stops", ["charge", "ship"])
async def test_cancel_and_compensate_are_refused_once_the_pivot_has_begun(
    stack: Stack, diary: Diary, stops: str
) -> None:
    async with stack.engine(partial(Sale, diary)):
        handle = await Sale.start(Deal(stops=stops))
        await diary.reached.wait()
        assert (await handle.record()).is_committed
        for answer in (await handle.cancel(), await handle.compensate()):
            assert (answer.verdict, answer.why) == (Verdict.REFUSED, NO_WAY_BACK)
        diary.opened.set()
        record = await handle.result(timeout=SOON)
        assert record.is_committed
        for answer in (await handle.cancel(), await handle.compensate()):
            assert (answer.verdict, answer.why) == (Verdict.REFUSED, NO_WAY_BACK)
        assert (await handle.record()).is_completed
    assert "unreserve" not in diary.lines


async def test_before_the_pivot_there_is_a_way_back(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        handle = await Sale.start(Deal(stops="reserve"))
        await diary.reached.wait()
        assert (await handle.cancel()).is_accepted
        diary.opened.set()
        assert (await handle.wait(timeout=SOON)).is_compensated
    assert diary.lines == ["reserve", "unreserve"]


async def test_a_pivot_that_fails_cleanly_leaves_the_way_back_open(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        record = await (await Sale.start(Deal(aborts="charge"))).wait(timeout=SOON)
    assert record.is_compensated
    assert not record.is_committed
    assert diary.lines == ["reserve", "unreserve"]


async def test_steps_after_the_pivot_are_tried_for_as_long_as_it_takes(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        record = await (await Sale.start(Deal(failures=8))).result(timeout=SOON)
    assert record.steps["ship"].attempts == 9
    assert record.output(Sale.ship) == "ship for charge"


async def test_an_abort_after_the_pivot_fails_the_saga_when_all_else_is_done(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        handle = await Sale.start(Deal(aborts="ship"))
        with pytest.raises(SagaFailed, match="step 'ship' failed, and there is no way back") as failed:
            await handle.result(timeout=SOON)
        assert (await handle.compensate()).verdict is Verdict.REFUSED
    record = failed.value.saga
    assert record.steps["thank"].status is StepStatus.COMPLETED
    assert record.steps["track"].status is StepStatus.PENDING
    assert record.steps["reserve"].status is StepStatus.COMPLETED
    assert diary.lines == ["reserve", "charge", "thank"]


async def test_an_unknown_pivot_that_has_happened_goes_on(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        record = await (await Sale.start(Deal(breaks="charge", found="tx-1"))).result(timeout=SOON)
    assert record.output(Sale.charge) == "tx-1"
    assert record.output(Sale.ship) == "ship for tx-1"
    assert diary.lines.count("look") == 1


async def test_an_unknown_pivot_that_has_not_happened_turns_back(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        record = await (await Sale.start(Deal(breaks="charge", found="nothing"))).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["charge"].status is StepStatus.FAILED
    assert diary.lines == ["reserve", "look", "unreserve"]


async def test_a_pivot_of_which_nothing_can_be_found_out_fails_the_saga(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Sale, diary)):
        handle = await Sale.start(Deal(breaks="charge"))
        with pytest.raises(SagaFailed, match="step 'charge' has an unknown outcome") as failed:
            await handle.result(timeout=SOON)
    assert failed.value.saga.steps["charge"].status is StepStatus.UNKNOWN
    assert diary.lines == ["reserve", "look", "look", "look"]


with pytest.warns(DefinitionWarning, match="the pivot 'charge' has no probe"):

    @dataclass
    class Blind(Saga[Deal]):
        """Nobody can find out what became of its pivot."""

        diary: Diary

        @step(compensate="unreserve")
        async def reserve(self, deal: Deal) -> None:
            self.diary("reserve")

        async def unreserve(self, deal: Deal) -> None:
            self.diary("unreserve")

        @step(pivot=True, retry=ONCE)
        async def charge(self, deal: Deal) -> None:
            raise ConnectionError("the bank is away")


async def test_an_unknown_pivot_without_a_probe_fails_the_saga(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Blind, diary)):
        record = await (await Blind.start(Deal())).wait(timeout=SOON)
    assert record.is_failed
    assert record.reason == "step 'charge' has an unknown outcome (retryable), and there is no way back"
    assert diary.lines == ["reserve"]


@pytest.mark.parametrize("stops", ["charge", "ship"])
async def test_a_deadline_that_passes_after_the_pivot_has_begun_only_shows(
    stack: Stack, diary: Diary, stops: str
) -> None:
    async with stack.engine(partial(HastySale, diary)):
        handle = await HastySale.start(Deal(stops=stops))
        async for record in handle.changes():
            if record.is_overdue:
                break
        diary.opened.set()
        record = await handle.result(timeout=SOON)
    assert record.is_overdue
    assert record.is_completed
    assert "unreserve" not in diary.lines


with pytest.warns(DefinitionWarning, match="runs Sale, which has the pivot 'charge'"):

    @dataclass
    class Market(Saga[Deal], retry=THRICE, compensation_retry=THRICE):
        """A part of it is a sale, which has a pivot of its own."""

        diary: Diary

        @step(compensate="close")
        async def open(self, deal: Deal) -> None:
            self.diary("open")

        async def close(self, deal: Deal) -> None:
            self.diary("close")

        @step(saga=Sale)
        async def sale(self, deal: Deal) -> Deal:
            return deal


async def test_a_parent_whose_child_has_passed_its_pivot_cannot_be_undone(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Market, diary), partial(Sale, diary)) as engine:
        handle = await Market.start(Deal(), id="m")
        await handle.result(timeout=SOON)
        assert (await handle.compensate()).is_accepted
        with pytest.raises(SagaFailed, match="the child saga of step 'sale' failed") as failed:
            await handle.result(timeout=SOON)
        assert (await engine.get("m/sale")).is_completed
    record = failed.value.saga
    assert record.steps["sale"].status is StepStatus.COMPENSATION_FAILED
    assert record.steps["sale"].compensation_error is not None
    assert "it has passed its pivot" in record.steps["sale"].compensation_error.message
    assert "close" not in diary.lines


async def test_a_parent_that_is_cancelled_past_the_pivot_of_its_child_fails_once_the_child_has_ended(
    stack: Stack, diary: Diary
) -> None:
    async with stack.engine(partial(Market, diary), partial(Sale, diary)) as engine:
        handle = await Market.start(Deal(stops="ship"), id="m")
        await diary.reached.wait()
        assert (await handle.cancel()).is_accepted
        async for record in handle.changes():
            if record.is_compensating:
                break
        assert (await engine.get("m/sale")).status is SagaStatus.STARTED
        diary.opened.set()
        record = await handle.wait(timeout=SOON)
        child = await engine.get("m/sale")
    assert record.is_failed
    assert child.is_completed, "no saga ends before its child"
    assert "passed its pivot" in (record.reason or "")
    assert "close" not in diary.lines


with pytest.warns(DefinitionWarning, match="'open' stands before the pivot"):

    @dataclass
    class Fair(Saga[Deal], retry=THRICE):
        """Its pivot is a saga."""

        diary: Diary

        @step
        async def open(self, deal: Deal) -> None:
            self.diary("open")

        @step(saga=Sale, pivot=True)
        async def sale(self, deal: Deal) -> Deal:
            return deal

        @step
        async def close(self, deal: Deal) -> None:
            self.diary("close")


@pytest.mark.parametrize("deal", [Deal(), Deal(aborts="charge"), Deal(aborts="ship")])
async def test_a_pivot_may_be_a_saga(stack: Stack, diary: Diary, deal: Deal) -> None:
    async with stack.engine(partial(Fair, diary), partial(Sale, diary)):
        handle = await Fair.start(deal)
        record = await handle.wait(timeout=SOON)
    assert record.is_completed is (not deal.aborts)
    if deal.aborts:
        assert record.is_compensated is (deal.aborts == "charge")
        assert record.is_failed is (deal.aborts == "ship")
    assert ("close" in diary.lines) is record.is_completed
