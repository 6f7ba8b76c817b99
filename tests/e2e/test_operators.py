"""People bring on sagas that cannot go on by themselves; each act is recorded with who did it, when, and why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypedDict

import pytest

from sagaflow import (
    Abort,
    Answer,
    ConfigurationError,
    Engine,
    Happened,
    NotHappened,
    PayloadError,
    Retry,
    Saga,
    SagaHandle,
    SagaStatus,
    StepStatus,
    StillUnknown,
    Verdict,
    step,
)
from tests.polling import until

from .stacks import Stack

SOON = timedelta(seconds=20)
ONCE = Retry(attempts=1)


class Who(TypedDict):
    by: str
    reason: str


WHO: Who = {"by": "ada", "reason": "the bank says so"}


@dataclass
class Desk:
    """What is broken outside, and what was called there."""

    broken: set[str] = field(default_factory=set[str])
    calls: list[str] = field(default_factory=list[str])
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    def call(self, what: str, key: str = "") -> str:
        """Raises what the saga cannot get over by itself, while it is broken."""
        self.calls.append(f"{what} {key}".strip())
        if what in self.broken:
            raise Abort(f"{what} is broken")
        return f"{what} done"


@dataclass
class Sale(Saga[int], compensation_retry=ONCE, retry=ONCE):
    """``charge`` times out with the context 1: then nobody knows, not even its probe, and refund needs an output."""

    desk: Desk

    @step(compensate="release", each=lambda _: ["pen", "ink", "paper"])
    async def reserve(self, number: int, item: str) -> str:
        return self.desk.call(f"reserve {item}")

    async def release(self, number: int, item: str, output: str | None) -> None:
        self.desk.call(f"release {item}")

    @step(compensate="refund", probe="find_charge")
    async def charge(self, number: int) -> str:
        if number == 1:
            raise OSError("the line is dead")
        return self.desk.call("charge")

    async def find_charge(self, number: int) -> Happened[str] | NotHappened | StillUnknown:
        return StillUnknown()

    async def refund(self, number: int, payment: str) -> None:
        self.desk.call("refund", payment)

    @step
    async def ship(self, number: int, charge: str) -> str:
        return self.desk.call("ship", charge)


async def failed(engine: Engine, desk: Desk, saga: type[Saga[int]], number: int, *broken: str) -> SagaHandle[int]:
    """A saga that came to no good end by itself."""
    desk.broken.update(broken)
    handle = await engine.start(saga, number, id="s-1")
    assert (await handle.wait(timeout=SOON)).is_failed
    desk.broken.clear()
    desk.calls.clear()
    return handle


async def accepted(handle: SagaHandle[int], answer: Answer, what: str, step: str | None = None) -> Any:
    """The record once the saga has ended; the act stands in it."""
    assert answer.verdict is Verdict.ACCEPTED, str(answer)
    record = await handle.wait(timeout=SOON)
    act = record.acts[-1]
    assert (act.what, act.by, act.reason, act.step) == (what, "ada", "the bank says so", step)
    assert record.created_at <= act.at <= datetime.now(UTC) + timedelta(seconds=1)
    return record


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------------------------------- compensations


async def test_a_failed_compensation_is_tried_again_when_somebody_says_so(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Sale, desk)) as engine:
        handle = await failed(engine, desk, Sale, 0, "ship", "release ink")
        record = await accepted(handle, await engine.retry(handle.id, **WHO), "retry")
        again = await engine.retry(handle.id, **WHO)
    assert record.is_compensated
    assert desk.calls == ["release ink"]
    assert record.steps["reserve[1]"].compensation_attempts == 2
    assert again.verdict is Verdict.REFUSED
    assert again.why == "the saga is compensated; only a failed one is retried"


async def test_one_element_alone_is_tried_again(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Sale, desk)) as engine:
        handle = await failed(engine, desk, Sale, 0, "ship", "release ink", "release pen")
        answer = await engine.retry(handle.id, step="reserve[1]", **WHO)
        record = await accepted(handle, answer, "retry", "reserve[1]")
    assert record.is_failed
    assert desk.calls == ["release ink"]
    assert record.steps["reserve[0]"].status is StepStatus.COMPENSATION_FAILED


@pytest.mark.parametrize("way", ["skip_compensation", "mark_compensated"])
async def test_a_compensation_is_left_out_or_was_done_by_hand(stack: Stack, desk: Desk, way: str) -> None:
    what = {"skip_compensation": "skip the compensation", "mark_compensated": "resolve as compensated"}[way]
    async with stack.engine(partial(Sale, desk)) as engine:
        handle = await failed(engine, desk, Sale, 0, "ship", "release ink")
        act = getattr(engine, way)
        record = await accepted(handle, await act(handle.id, "reserve[1]", **WHO), what, "reserve[1]")
        again = await act(handle.id, "reserve[1]", **WHO)
        with pytest.raises(ValueError, match=r"Sale has no step 'reserve\[7\]'"):
            await act(handle.id, "reserve[7]", **WHO)
    assert record.is_compensated
    assert desk.calls == []
    assert again.verdict is Verdict.ALREADY
    assert "step 'reserve[1]' is compensated" in again.why


@pytest.mark.parametrize(
    ("outcome", "calls"),
    [
        (Happened("tx-1"), ["refund tx-1", "release pen", "release ink", "release paper"]),
        (NotHappened(), ["release pen", "release ink", "release paper"]),
    ],
)
async def test_an_unknown_step_is_resolved_and_then_undone_or_not(
    stack: Stack, desk: Desk, outcome: Happened[str] | NotHappened, calls: list[str]
) -> None:
    async with stack.engine(partial(Sale, desk)) as engine:
        handle = await failed(engine, desk, Sale, 1)
        assert (await handle.record()).steps["charge"].status is StepStatus.UNKNOWN
        wrong: Any = Happened(7)
        with pytest.raises(PayloadError):
            await engine.resolve(handle.id, Sale.charge, wrong, **WHO)
        what = "resolve as happened" if calls[0] == "refund tx-1" else "resolve as not happened"
        answer = await engine.resolve(handle.id, Sale.charge, outcome, **WHO)
        record = await accepted(handle, answer, what, "charge")
        again = await engine.resolve(handle.id, Sale.charge, outcome, **WHO)
    assert record.is_compensated
    assert desk.calls[:1] == calls[:1]
    assert sorted(desk.calls) == sorted(calls)
    assert again.verdict is Verdict.REFUSED
    assert "there is nothing to resolve" in again.why


# ---------------------------------------------------------------------------------------- after the pivot


@dataclass
class Paid(Saga[int], retry=ONCE, compensation_retry=ONCE):
    """Once paid there is no way back. With the context 1 nobody knows whether it was paid."""

    desk: Desk

    @step(compensate="unprepare")
    async def prepare(self, number: int) -> str:
        return self.desk.call("prepare")

    async def unprepare(self, number: int) -> None:
        self.desk.call("unprepare")

    @step(pivot=True, probe="look")
    async def pay(self, number: int) -> int:
        self.desk.call("pay")
        if number == 1:
            raise OSError("the line is dead")
        return number

    async def look(self, number: int) -> Happened[int] | NotHappened | StillUnknown:
        return StillUnknown()

    @step(retry=ONCE, each=lambda _: ["box", "bag"])
    async def pack(self, number: int, item: str) -> str:
        return self.desk.call(f"pack {item}", self.idempotency_key)

    @step(retry=ONCE)
    async def send(self, number: int, pack: list[str]) -> str:
        return self.desk.call("send", self.idempotency_key)


@pytest.mark.parametrize("new_key", [False, True])
async def test_a_step_after_the_pivot_is_tried_again_under_its_key_or_a_new_one(
    stack: Stack, desk: Desk, new_key: bool
) -> None:
    async with stack.engine(partial(Paid, desk)) as engine:
        handle = await failed(engine, desk, Paid, 0, "send")
        record = await accepted(handle, await engine.retry(handle.id, new_key=new_key, **WHO), "retry")
    assert record.is_completed
    key = "s-1/send~1" if new_key else "s-1/send"
    assert desk.calls == [f"send {key}"]
    assert record.steps["send"].id == key


async def test_a_broken_step_after_the_pivot_is_skipped_with_a_substitute_for_its_output(
    stack: Stack, desk: Desk
) -> None:
    async with stack.engine(partial(Paid, desk)) as engine:
        handle = await failed(engine, desk, Paid, 0, "pack bag")
        with pytest.raises(ValueError, match="step 'send' takes its output; give output="):
            await engine.skip(handle.id, "pack[1]", **WHO)
        with pytest.raises(PayloadError):
            await engine.skip(handle.id, "pack[1]", output=["a list"], **WHO)
        answer = await engine.skip(handle.id, "pack[1]", output="packed by hand", **WHO)
        record = await accepted(handle, answer, "skip", "pack[1]")
        again = await engine.skip(handle.id, "pack[1]", output="packed by hand", **WHO)
    assert record.is_completed
    assert record.output(Paid.pack) == ["pack box done", "packed by hand"]
    assert record.steps["pack[1]"].status is StepStatus.SKIPPED
    assert desk.calls == ["send s-1/send"]
    assert again.verdict is Verdict.ALREADY


async def test_a_step_whose_output_nobody_takes_is_skipped_without_one(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Paid, desk)) as engine:
        handle = await failed(engine, desk, Paid, 0, "send")
        record = await accepted(handle, await engine.skip(handle.id, Paid.send, **WHO), "skip", "send")
    assert record.is_completed
    assert record.output(Paid.send, None) is None
    assert desk.calls == []


async def test_a_pivot_of_unknown_outcome_that_happened_lets_the_saga_go_on(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Paid, desk)) as engine:
        handle = await failed(engine, desk, Paid, 1)
        assert (await handle.record()).is_committed
        assert (await engine.compensate(handle.id)).verdict is Verdict.REFUSED
        answer = await engine.resolve(handle.id, Paid.pay, Happened(70), **WHO)
        record = await accepted(handle, answer, "resolve as happened", "pay")
    assert record.is_completed
    assert record.output(Paid.pay) == 70


async def test_a_pivot_of_unknown_outcome_that_has_not_happened_lets_the_saga_turn_back(
    stack: Stack, desk: Desk
) -> None:
    async with stack.engine(partial(Paid, desk)) as engine:
        handle = await failed(engine, desk, Paid, 1)
        answer = await engine.resolve(handle.id, Paid.pay, NotHappened(), **WHO)
        record = await accepted(handle, answer, "resolve as not happened", "pay")
    assert record.is_compensated
    assert desk.calls == ["unprepare"]


# ---------------------------------------------------------------------------------------- pause


@dataclass
class Slow(Saga[int]):
    """Its first step takes as long as the test wants."""

    desk: Desk

    @step
    async def first(self, number: int) -> int:
        self.desk.reached.set()
        await self.desk.opened.wait()
        return number

    @step
    async def second(self, number: int, first: int) -> str:
        return self.desk.call("second")


async def test_a_paused_saga_ends_what_runs_and_begins_nothing_more_until_it_is_resumed(
    stack: Stack, desk: Desk
) -> None:
    async with stack.engine(partial(Slow, desk)) as engine:
        handle = await engine.start(Slow, 0, id="s-1")
        await desk.reached.wait()
        assert (await engine.pause(handle.id, **WHO)).is_accepted
        desk.opened.set()

        async def first_is_done() -> bool:
            return (await handle.record()).steps["first"].status is StepStatus.COMPLETED

        await until(first_is_done)
        record = await handle.record()
        assert record.is_paused
        assert record.waits_for == ("somebody to resume it",)
        assert (await engine.pause(handle.id, **WHO)).verdict is Verdict.ALREADY
    # The engine is closed; another one finds it as it was left.
    async with stack.engine(partial(Slow, desk)) as engine:
        other = await engine.start(Slow, 0)
        await other.result(timeout=SOON)
        assert desk.calls == ["second"]
        handle = engine.handle(Slow, "s-1")
        assert (await handle.record()).is_paused
        record = await accepted(handle, await engine.resume(handle.id, **WHO), "resume")
        again = await engine.resume(handle.id, **WHO)
    assert record.is_completed
    assert desk.calls == ["second", "second"]
    assert [act.what for act in record.acts] == ["pause", "resume"]
    assert (again.verdict, again.why) == (Verdict.ALREADY, "the saga is not paused")


async def test_a_saga_that_has_not_begun_can_be_paused_and_a_step_of_it_skipped(stack: Stack, desk: Desk) -> None:
    desk.opened.set()
    async with stack.engine(partial(Slow, desk)) as engine:
        handle = await engine.start(Slow, 0, delay=timedelta(hours=1))
        assert (await engine.pause(handle.id, **WHO)).is_accepted
        assert (await engine.skip(handle.id, Slow.first, output=3, **WHO)).is_accepted
        assert (await engine.cancel(handle.id, reason="enough", by="eve")).is_accepted
        record = await handle.wait(timeout=SOON)
        assert (await engine.pause(handle.id, **WHO)).verdict is not Verdict.ACCEPTED
    assert record.is_compensated
    assert [(act.what, act.by) for act in record.acts] == [("pause", "ada"), ("skip", "ada"), ("cancel", "eve")]


# ---------------------------------------------------------------------------------------- nothing to do


async def test_an_act_with_nothing_to_do_is_refused_in_words_and_changes_nothing(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Sale, desk)) as engine:
        handle = await engine.start(Sale, 0)
        revision = (await handle.result(timeout=SOON)).revision
        answers = [
            await engine.retry(handle.id, **WHO),
            await engine.skip(handle.id, Sale.ship, **WHO),
            await engine.skip_compensation(handle.id, Sale.charge, **WHO),
            await engine.resolve(handle.id, Sale.charge, NotHappened(), **WHO),
            await engine.mark_compensated(handle.id, Sale.charge, **WHO),
            await engine.pause(handle.id, **WHO),
        ]
        assert (await handle.record()).revision == revision
        with pytest.raises(ValueError, match="Sale has no step 'shipp'"):
            await engine.skip(handle.id, "shipp", **WHO)
        with pytest.raises(ValueError, match="by=''"):
            await engine.retry(handle.id, by="", reason="x")
    assert {answer.verdict for answer in answers} == {Verdict.REFUSED}
    assert {answer.status for answer in answers} == {SagaStatus.COMPLETED}
    assert [answer.why for answer in answers] == [
        "the saga is completed; only a failed one is retried",
        "the saga is completed, and step 'ship' is completed: there is nothing to skip",
        "the saga is completed, and step 'charge' is completed: there is nothing to skip",
        "the saga is completed, and step 'charge' is completed: there is nothing to resolve",
        "the saga is completed, and step 'charge' is completed: there is nothing to resolve",
        "the saga is completed: there is nothing to pause",
    ]


async def test_an_engine_without_the_class_does_not_guess(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Sale, desk)) as engine, stack.engine(partial(Slow, desk)) as stranger:
        handle = await engine.start(Sale, 0)
        with pytest.raises(ConfigurationError, match="which this engine does not have"):
            await stranger.skip(handle.id, "ship", **WHO)
        await handle.result(timeout=SOON)


async def test_an_act_from_a_process_that_does_no_work_is_done_soon(stack: Stack, desk: Desk) -> None:
    async with stack.engine(partial(Sale, desk)) as engine, stack.engine(partial(Sale, desk), work="none") as web:
        await failed(engine, desk, Sale, 0, "ship", "refund")
        handle = web.handle(Sale, "s-1")
        record = await accepted(handle, await web.retry("s-1", **WHO), "retry")
    assert record.is_compensated
