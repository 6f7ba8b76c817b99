"""What comes of a failure is explained for every step of a class; the properties hold it to the core."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from sagaflow import Abort, Retry, Saga, step
from sagaflow.core.definition import Derived, SagaDefinition
from sagaflow.core.state import SagaStatus
from sagaflow.views import Because, Consequence, Outcome, StepExplanation, explain
from tests.unit.story import a_child, a_fan_out, a_saga, a_step, a_wait, chain, diamond


class Declined(Abort):
    """The bank has said no."""


class Order(Saga[str], deadline=timedelta(hours=1), compensation_deadline=timedelta(days=1)):
    @step(compensate="cancel")
    async def create(self, context: str) -> str:
        return ""

    async def cancel(self, context: str, order: str | None) -> None: ...

    @step(compensate="refund", abort_on=(Declined,), timeout=timedelta(seconds=30), retry=Retry(attempts=5))
    async def charge(self, context: str) -> str:
        return ""

    async def refund(self, context: str, payment: str | None) -> None: ...


def in_words(consequence: Consequence | None) -> str:
    """``b, c? > a``: first b, and c if it was done; then a."""
    assert consequence is not None
    return " > ".join(
        ", ".join(f"{undo.step}{'?' if undo.if_done else ''}" for undo in wave) for wave in consequence.waves
    )


def explained(saga: type[Saga[Any]] | SagaDefinition, name: str) -> StepExplanation:
    return next(one for one in explain(saga).steps if one.step == name)


def kept(consequence: Consequence) -> dict[str, Because]:
    return {one.step: one.because for one in consequence.stays}


def test_a_class_is_explained_with_its_limits() -> None:
    found = explain(Order)
    assert (found.saga, found.deadline, found.compensation_deadline) == ("Order", timedelta(hours=1), timedelta(days=1))
    assert [one.step for one in found.steps] == ["create", "charge"]
    assert found.pivot is None


def test_what_failed_cleanly_is_not_undone_and_what_is_unknown_is() -> None:
    charge = explained(Order, "charge")
    assert (in_words(charge.failed), in_words(charge.unknown)) == ("create", "charge > create")
    assert charge.unknown.waves[0][0].outcome is Outcome.UNKNOWN
    assert charge.unknown.waves[0][0].compensation == "refund"
    assert kept(charge.failed) == {"charge": Because.NOTHING_LEFT}
    assert charge.failed.ends is charge.unknown.ends is SagaStatus.COMPENSATED
    assert charge.failed.reason == "step 'charge' failed"
    assert charge.unknown.reason == "step 'charge' has an unknown outcome"


def test_the_ways_to_fail_are_named() -> None:
    charge = explained(Order, "charge")
    assert charge.failed.ways == ("it raises Abort, Declined",)
    assert charge.unknown.ways == (
        "another exception, after 5 attempts",
        "a timeout of 30 s, likewise",
        "its workers died, five in all",
    )
    assert charge.cancelled is not None
    assert charge.cancelled.ways == ("the saga is cancelled", "its deadline of 1 h passes")
    assert charge.attempts == 5


def test_a_step_that_is_tried_once_fails_with_its_first_exception() -> None:
    saga = a_saga(a_step("a", retry=Retry(attempts=1)))
    assert explained(saga, "a").unknown.ways[0] == "another exception"


def test_what_runs_while_a_saga_is_cancelled_is_awaited_and_undone_if_it_was_done() -> None:
    assert in_words(explained(Order, "charge").cancelled) == "charge? > create"


def test_steps_beside_the_broken_one_are_undone_if_they_were_done() -> None:
    left = explained(diamond(), "left")
    assert in_words(left.failed) == "right? > top"
    assert in_words(left.unknown) == "left, right? > top"
    assert kept(left.failed) == {"left": Because.NOTHING_LEFT, "join": Because.NOT_BEGUN}


def test_what_has_no_compensation_stays() -> None:
    saga = a_saga(a_step("mail", undo=False), a_step("pay", after=["mail"]))
    (one,) = [one for one in explained(saga, "pay").failed.stays if one.step == "mail"]
    assert (one.because, one.why) == (Because.NO_COMPENSATION, "it has no compensation")


def test_a_compensation_that_does_not_accept_an_unknown_outcome_fails_the_saga() -> None:
    saga = a_saga(a_step("a"), a_step("b", after=["a"], strict=True))
    unknown = explained(saga, "b").unknown
    assert (unknown.ends, unknown.waves) == (SagaStatus.FAILED, ())
    assert {one.step: one.why for one in unknown.stays} == {
        "a": "it is undone after what cannot be undone",
        "b": "compensation 'undo_b' does not accept an unknown outcome",
    }


def test_after_the_pivot_nothing_is_undone() -> None:
    saga = a_saga(
        a_step("reserve"), a_step("pay", after=["reserve"], undo=False, pivot=True), a_step("send", after=["pay"])
    )
    found = explain(saga)
    reserve, pay, send = found.steps
    assert found.pivot == "pay"
    assert [(one.is_pivot, one.is_past_pivot) for one in found.steps] == [(False, False), (True, False), (False, True)]
    assert in_words(pay.failed) == "reserve"  # it has certainly not happened: there is a way back
    assert (pay.unknown.waves, pay.unknown.ends, pay.cancelled) == ((), SagaStatus.FAILED, None)
    assert (send.failed.waves, send.failed.ends, send.cancelled) == ((), SagaStatus.FAILED, None)
    assert kept(send.failed) == {
        "reserve": Because.PAST_PIVOT, "pay": Because.PAST_PIVOT, "send": Because.NOTHING_LEFT
    }  # fmt: skip
    assert reserve.cancelled is not None


def test_a_probe_is_asked_before_anybody_guesses() -> None:
    unknown = explained(a_saga(a_step("pay", probe=True)), "pay").unknown
    assert (unknown.asks, in_words(unknown)) == ("probe_pay", "pay")
    assert explained(a_saga(a_step("pay", probe=True)), "pay").failed.asks is None


def test_a_list_is_explained_as_one_step() -> None:
    saga = a_saga(a_step("a"), a_fan_out("pack", after=["a"], at_once=1), a_step("b", after=["pack"]))
    pack = explained(saga, "pack")
    assert (in_words(pack.failed), in_words(pack.unknown)) == ("pack? > a", "pack? > pack > a")
    assert pack.failed.reason == "step 'pack' failed"
    assert in_words(explained(saga, "b").failed) == "pack > a"


def test_a_child_saga_undoes_itself_or_fails() -> None:
    saga = a_saga(a_step("a"), a_child("ship", after=["a"]), a_step("b", after=["ship"]))
    ship = explained(saga, "ship")
    assert ship.failed.ways == ("saga Child was compensated", "it raises Abort")
    assert in_words(ship.failed) == "a"
    assert (ship.unknown.ways, ship.unknown.ends) == (("saga Child has failed",), SagaStatus.FAILED)
    assert {one.step: one.why for one in ship.unknown.stays}["ship"] == (
        "its child saga failed (the child saga has failed)"
    )
    (undo,) = explained(saga, "b").failed.waves[0]
    assert (undo.step, undo.child, undo.compensation) == ("ship", "Child", None)


def test_a_step_that_waits_can_be_refused_and_can_be_left_without_an_answer() -> None:
    payment = explained(a_saga(a_wait("payment", deadline=86_400)), "payment")
    assert payment.failed.ways[0] == "the outside refuses"
    assert payment.unknown.ways[0] == "there is no answer within 1 d"


def test_an_answer_that_two_steps_listen_to_does_not_hide_that_one_of_them_fails() -> None:
    first, second = a_wait("first"), a_wait("second", after=["first"])
    saga = a_saga(first, replace(second, signal=first.signal))
    assert in_words(explained(saga, "second").unknown) == "second > first"


def test_locks_and_conditions_are_held_to_be_given() -> None:
    says = Derived(method="says")
    saga = a_saga(a_step("a", when=says, lock=says), a_step("b", after=["a"], lock=says), lock=Derived(template="x"))
    assert in_words(explained(saga, "b").failed) == "a"


def test_an_explanation_is_plain_data() -> None:
    data = msgspec.json.decode(msgspec.json.encode(explain(chain("a", "b"))))
    assert data["steps"][1]["failed"]["waves"] == [
        [{"step": "a", "compensation": "undo_a", "outcome": "completed", "if_done": False, "is_running": False,
          "child": None}]
    ]  # fmt: skip


def test_the_steps_that_are_undone_are_listed_in_order() -> None:
    assert explained(chain("a", "b", "c"), "c").unknown.undone == ("c", "b", "a")


def test_an_abstract_class_cannot_be_explained() -> None:
    class Base(Saga[str], abstract=True):
        """Has no definition."""

    with pytest.raises(TypeError, match="abstract"):
        explain(Base)
