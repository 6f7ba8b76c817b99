"""A step with ``waits_for=`` asks, and the outside answers: early, late, twice, with a refusal, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import (
    Abort,
    Engine,
    Happened,
    NotHappened,
    PayloadError,
    Saga,
    SagaHandle,
    SagaNotFound,
    SagaStatus,
    StepStatus,
    Verdict,
    step,
)
from tests.polling import until

from .diaries import SOON, THRICE, Diary, ms
from .stacks import Stack


class Payment(Struct, frozen=True):
    tx: str
    cents: int = 100


@dataclass
class Bill(Saga[str]):
    """Its context says where its handlers wait, or fail."""

    diary: Diary

    @step(compensate="unreserve")
    async def reserve(self, order: str) -> str:
        if order == "slow":
            await self.diary.gate()
        return order

    async def unreserve(self, order: str) -> None:
        self.diary("unreserve")

    @step(waits_for=Payment, compensate="refund")
    async def payment(self, order: str, reserve: str) -> None:
        self.diary(f"ask {reserve}")

    async def refund(self, order: str, payment: Payment | None) -> None:
        self.diary(f"refund {payment.tx if payment else None}")

    @step
    async def ship(self, order: str, payment: Payment) -> str:
        if order == "lost":
            raise Abort("lost on its way")
        self.diary("ship")
        return payment.tx


class Hasty(Bill):
    @step(waits_for=Payment, compensate="refund", deadline=ms(200))
    async def payment(self, order: str, reserve: str) -> None:
        self.diary("ask")


async def asked(handle: SagaHandle[Any]) -> None:
    """Until the step has asked, and that is recorded."""

    async def is_waiting() -> bool:
        return bool((await handle.record()).waits_for)

    await until(is_waiting)


async def test_an_answer_after_the_question_is_the_output(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("good", id="b-1")
        await asked(handle)
        waiting = await handle.record()
        assert waiting.waits_for == ("an answer from outside (step 'payment')",)
        assert waiting.steps["payment"].status is StepStatus.STARTED
        answer = await engine.complete_step("b-1", Bill.payment, Payment("tx-1"))
        assert answer.is_accepted
        assert answer.why == "'payment' is answered"
        record = await handle.result(timeout=SOON)
    assert record.output(Bill.payment) == Payment("tx-1")
    assert record.output(Bill.ship) == "tx-1"
    assert diary.lines == ["ask good", "ship"]


async def test_an_answer_before_the_question_is_kept_for_it(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("slow")
        await diary.reached.wait()
        assert (await engine.complete_step(handle.id, "payment", Payment("tx-1"))).is_accepted
        assert (await handle.record()).steps["payment"].status is StepStatus.PENDING
        diary.opened.set()
        record = await handle.result(timeout=SOON)
    assert record.output(Bill.ship) == "tx-1"
    assert diary.lines == ["ask slow", "ship"]


async def test_a_saga_waits_on_though_no_engine_lives(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)):
        handle = await Bill.start("good", id="b-1")
        await asked(handle)
    async with stack.engine(partial(Bill, diary), work="none") as web:
        assert (await web.complete_step("b-1", Bill.payment, Payment("tx-1"))).is_accepted
    async with stack.engine(partial(Bill, diary)) as engine:
        record = await engine.handle(Bill, "b-1").result(timeout=SOON)
    assert record.output(Bill.ship) == "tx-1"
    assert diary.lines == ["ask good", "ship"]


async def test_a_refusal_fails_the_step_cleanly(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("good")
        await asked(handle)
        assert (await engine.fail_step(handle.id, Bill.payment, "the card was declined")).is_accepted
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["payment"].status is StepStatus.FAILED
    assert record.error is not None
    assert record.error.message == "the card was declined"
    assert diary.lines == ["ask good", "unreserve"]


async def test_a_refusal_can_be_an_exception_and_come_early(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("slow")
        await diary.reached.wait()
        assert (await engine.fail_step(handle.id, Bill.payment, LookupError("no such card"))).is_accepted
        diary.opened.set()
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert record.error is not None
    assert (record.error.type, record.error.message) == ("builtins.LookupError", "no such card")
    assert diary.lines == ["ask slow", "unreserve"]


async def test_no_answer_in_time_is_undone_as_unknown_and_a_late_one_with_its_value(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Hasty, diary)) as engine:
        handle = await Hasty.start("good")
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        assert record.reason == "step 'payment' has an unknown outcome (no answer in time)"
        assert diary.lines == ["ask", "refund None", "unreserve"]
        answer = await engine.complete_step(handle.id, Hasty.payment, Payment("tx-9"))
        assert answer.is_accepted
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        assert diary.lines == ["ask", "refund None", "unreserve", "refund tx-9"]
        assert record.steps["payment"].late_outputs == (Payment("tx-9"),)
        again = await engine.complete_step(handle.id, Hasty.payment, Payment("tx-9"))
        assert again.verdict is not Verdict.ACCEPTED
        await handle.wait(timeout=SOON)
    assert diary.lines.count("refund tx-9") == 1


async def test_an_answer_that_comes_while_the_saga_turns_back_is_undone_with_its_value(
    stack: Stack, diary: Diary
) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("good")
        await asked(handle)
        assert (await engine.cancel(handle.id)).is_accepted
        await engine.complete_step(handle.id, Bill.payment, Payment("tx-1"))
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    # Whoever was quicker: what was paid is paid back, once.
    assert diary.lines.count("refund tx-1") == 1
    assert diary.lines[-1] in ("unreserve", "refund tx-1")


async def test_what_was_answered_is_undone_with_its_value(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("lost")
        await engine.complete_step(handle.id, Bill.payment, Payment("tx-1"))
        assert (await handle.wait(timeout=SOON)).is_compensated
    assert diary.lines == ["ask lost", "refund tx-1", "unreserve"]


async def test_the_same_token_twice_is_one_answer_and_another_answer_is_refused(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("slow", id="b-1")
        await diary.reached.wait()

        async def pay(tx: str, token: str | None) -> tuple[Verdict, str]:
            answer = await engine.complete_step("b-1", Bill.payment, Payment(tx), token=token)
            return answer.verdict, answer.why

        assert (await pay("tx-1", "t"))[0] is Verdict.ACCEPTED
        assert (await pay("tx-1", "t"))[0] is Verdict.ALREADY
        assert (await pay("tx-1", None))[0] is Verdict.ALREADY
        assert await pay("tx-2", None) == (Verdict.REFUSED, "'payment' was answered otherwise already")
        diary.opened.set()
        record = await handle.result(timeout=SOON)
        assert (await pay("tx-1", "t"))[0] is Verdict.ALREADY
        assert (await pay("tx-2", "u"))[0] is Verdict.REFUSED
        refusal = await engine.fail_step("b-1", Bill.payment, "too late")
        assert refusal.verdict is Verdict.REFUSED
        assert await handle.status() is SagaStatus.COMPLETED
    assert record.output(Bill.ship) == "tx-1"


@dataclass
class Shared(Saga[str]):
    diary: Diary

    @step(waits_for=Payment, signal="paid", parallel="both")
    async def invoice(self, order: str) -> None:
        self.diary("invoice")

    @step(waits_for=Payment, signal="paid", parallel="both")
    async def receipt(self, order: str) -> None:
        self.diary("receipt")

    @step(waits_for=Payment, signal="paid")
    async def audit(self, order: str) -> None:
        self.diary("audit")


async def test_one_signal_answers_all_steps_that_listen_to_it(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Shared, diary)) as engine:
        handle = await Shared.start("x")
        assert (await engine.signal(handle.id, "paid", Payment("tx-1"))).is_accepted
        record = await handle.result(timeout=SOON)
    assert record.outputs == dict.fromkeys(("invoice", "receipt", "audit"), Payment("tx-1"))
    assert sorted(diary.lines) == ["audit", "invoice", "receipt"]


async def test_what_cannot_be_an_answer_is_said_to_whoever_gives_it(stack: Stack, diary: Diary) -> None:
    async with stack.engine(partial(Bill, diary)) as engine:
        handle = await Bill.start("good", id="b-1")
        await asked(handle)
        await expect_refusals(engine)
        assert (await handle.record()).steps["payment"].status is StepStatus.STARTED
        assert (await handle.cancel()).is_accepted
        assert (await handle.wait(timeout=SOON)).is_compensated


async def expect_refusals(engine: Engine) -> None:
    with pytest.raises(PayloadError):
        await engine.complete_step("b-1", "payment", 7)
    with pytest.raises(ValueError, match=r"Bill has no step 'paymnt'\. Did you mean 'payment'"):
        await engine.complete_step("b-1", "paymnt", Payment("tx-1"))
    with pytest.raises(ValueError, match="step 'ship' of Bill does not wait for the outside"):
        await engine.complete_step("b-1", Bill.ship, "tx-1")
    with pytest.raises(ValueError, match="no step of Bill waits for signal 'paid'"):
        await engine.signal("b-1", "paid", Payment("tx-1"))
    with pytest.raises(SagaNotFound):
        await engine.complete_step("b-2", Bill.payment, Payment("tx-1"))


@dataclass
class Committed(Saga[str], compensation_retry=THRICE):
    """Its pivot is done by the outside."""

    diary: Diary

    @step(compensate=None)
    async def before(self, order: str) -> None: ...

    @step(waits_for=Payment, pivot=True, probe="look", deadline=ms(200))
    async def payment(self, order: str) -> None:
        self.diary("ask")

    async def look(self, order: str) -> Happened[Payment] | NotHappened:
        self.diary("look")
        return Happened(Payment("found")) if order == "paid" else NotHappened()

    @step
    async def ship(self, order: str, payment: Payment) -> str:
        return payment.tx


@pytest.mark.parametrize("order", ["paid", "not paid"])
async def test_an_answer_that_does_not_come_in_time_is_looked_for(stack: Stack, diary: Diary, order: str) -> None:
    async with stack.engine(partial(Committed, diary)):
        record = await (await Committed.start(order)).wait(timeout=SOON)
    assert diary.lines == ["ask", "look"]
    assert record.is_completed is (order == "paid")
    assert record.is_compensated is (order != "paid")
    assert record.output(Committed.ship, None) == ("found" if order == "paid" else None)
