"""A record shows one moment of a saga, typed, even if some of its payloads cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.decide import fold, new_saga
from sagaflow.core.events import Claimed, CompensationRequested, Ended, Event, Fate, Succeeded
from sagaflow.core.state import Direction, SagaState, SagaStatus, StepState, StepStatus, Track
from sagaflow.errors import PayloadError, SagaFailed
from sagaflow.record import SagaRecord
from sagaflow.saga import Saga, step
from sagaflow.step_record import StepError

codec = JsonCodec()
FORWARD, UNDO = Direction.FORWARD, Direction.UNDO
SECRET = "4111-1111"


class Order(Struct):
    card: str


class Payment(Struct):
    ref: str


class Shop(Saga[Order], name="shop"):
    @step(parallel="begin")
    async def reserve(self, order: Order) -> int:
        return 1

    @step(parallel="begin")
    async def check(self, order: Order) -> None: ...

    @step(compensate="refund")
    async def charge(self, order: Order, reserve: int, check: None) -> Payment:
        return Payment("")

    async def refund(self, order: Order, payment: Payment | None) -> None: ...


class Elsewhere(Saga[Order]):
    @step
    async def charg(self, order: Order) -> int:
        return 1


TYPES = Shop.resolve_types()
NEW = new_saga(TYPES.definition, "o-1", codec.encode(Order(SECRET), Order), 1_000.0)


def error(text: str) -> str:
    return codec.encode(StepError("Boom", text, f"traceback of {text}"), StepError)


def after(*events: Event, state: SagaState = NEW) -> SagaState:
    return fold(TYPES.definition, state, events)


def ran(name: str, output: Any, at: float, direction: Direction = FORWARD) -> tuple[Event, ...]:
    payload = None if direction is UNDO else codec.encode(output, TYPES.outputs[name])
    return (Claimed(name, direction, "w", at), Succeeded(name, direction, 1, payload, at + 0.5))


def failed(name: str, text: str, at: float, *, fate: Fate = Fate.FINAL, attempt: int = 1) -> tuple[Event, ...]:
    return (Claimed(name, FORWARD, "w", at), Ended(name, FORWARD, attempt, fate, error(text), at + 0.5))


def record(state: SagaState) -> SagaRecord[Order]:
    return SagaRecord[Order](state, codec, TYPES)


COMPLETED = after(*ran("reserve", 7, 1_001), *ran("check", None, 1_002), *ran("charge", Payment(SECRET), 1_003))


# ---------------------------------------------------------------------------------------- the saga


def test_the_fields_of_a_saga() -> None:
    saga = record(msgspec.structs.replace(COMPLETED, start_at=1_000.5, deadline_at=2_000.0, reason="why"))

    assert (saga.id, saga.name, saga.status, saga.revision) == ("o-1", "shop", SagaStatus.COMPLETED, 2)
    assert (saga.context, saga.reason) == (Order(SECRET), "why")
    assert [saga.created_at, saga.updated_at, saga.completed_at, saga.start_at, saga.deadline_at] == [
        datetime.fromtimestamp(at, UTC) for at in (1_000, 1_003.5, 1_003.5, 1_000.5, 2_000)
    ]
    assert saga.created_at.tzinfo is UTC


def test_times_that_there_are_not_are_none() -> None:
    saga = record(NEW)
    assert (saga.completed_at, saga.start_at, saga.deadline_at) == (None, None, None)


@pytest.mark.parametrize("status", SagaStatus)
def test_each_status_has_its_question(status: SagaStatus) -> None:
    saga = record(msgspec.structs.replace(NEW, status=status))

    assert {
        name: getattr(saga, name)
        for name in ("is_completed", "is_failed", "is_compensating", "is_compensated", "is_terminal")
    } == {
        "is_completed": status == "completed",
        "is_failed": status == "failed",
        "is_compensating": status == "compensating",
        "is_compensated": status == "compensated",
        "is_terminal": status in {"completed", "failed", "compensated"},
    }


def test_an_error_about_a_saga_reads_well() -> None:
    saga = record(msgspec.structs.replace(NEW, status=SagaStatus.FAILED, reason="step 'charge' failed"))
    assert str(SagaFailed(saga)) == "Saga shop o-1 is failed: step 'charge' failed"


# ---------------------------------------------------------------------------------------- outputs


def test_outputs_are_typed_by_their_step() -> None:
    saga = record(COMPLETED)

    assert saga.output(Shop.charge).ref == SECRET
    assert saga.output(Shop.check) is None
    assert dict(saga.outputs) == {"reserve": 7, "check": None, "charge": Payment(SECRET)}
    assert saga.output(Shop.reserve, "default") == 7


def test_an_output_that_is_not_there_is_an_error_or_the_default() -> None:
    saga = record(after(*ran("check", None, 1_001)))

    with pytest.raises(
        LookupError, match=r"no output of step 'charge', which is pending\. Write output\(step, default\)"
    ):
        saga.output(Shop.charge)
    assert saga.output(Shop.charge, None) is None
    assert "charge" not in saga.outputs
    assert len(saga.outputs) == 1
    with pytest.raises(KeyError):
        saga.outputs["charge"]


def test_an_output_of_a_step_of_another_saga_is_an_error_even_with_a_default() -> None:
    acts: list[Callable[[], object]] = [
        lambda: record(NEW).output(Elsewhere.charg),
        lambda: record(NEW).output(Elsewhere.charg, 1),
    ]
    for act in acts:
        with pytest.raises(LookupError, match=r"has no step 'charg'\. Did you mean 'charge'\?"):
            act()


def test_the_output_of_a_compensated_step_is_still_there() -> None:
    undone = after(CompensationRequested("back", 1_010), *ran("charge", None, 1_011, UNDO), state=COMPLETED)
    saga = record(undone)

    assert saga.is_compensated
    assert saga.output(Shop.charge) == Payment(SECRET)
    assert saga.steps["charge"].status is StepStatus.COMPENSATED


# ---------------------------------------------------------------------------------------- steps


def test_the_fields_of_a_step() -> None:
    charge = record(COMPLETED).steps["charge"]

    assert (charge.id, charge.name, charge.action, charge.compensation) == ("o-1/charge", "charge", "charge", "refund")
    assert (charge.status, charge.attempts, charge.compensation_attempts) == (StepStatus.COMPLETED, 1, 0)
    assert dict(charge.input) == {"reserve": 7, "check": None}
    assert charge.output == Payment(SECRET)
    assert (charge.executed_at, charge.ended_at) == (_at(1_003), _at(1_003.5))
    assert (charge.error, charge.first_error, charge.reason) == (None, None, None)
    assert (charge.compensation_error, charge.compensation_reason, charge.compensated_at) == (None, None, None)
    assert charge.late_outputs == ()


def test_the_fields_of_a_step_that_has_not_begun() -> None:
    charge = record(after(*ran("reserve", 7, 1_001))).steps["charge"]

    assert (charge.output, charge.executed_at, charge.ended_at, charge.attempts) == (None, None, None, 0)
    assert dict(charge.input) == {"reserve": 7}


def test_the_fields_of_a_step_that_failed_and_was_undone() -> None:
    late = codec.encode(Payment("late"), Payment)
    state = after(
        *ran("reserve", 7, 1_001),
        *ran("check", None, 1_001),
        *failed("charge", "first", 1_002, fate=Fate.RETRYABLE),
        *failed("charge", "last", 1_009, attempt=2),
        Succeeded("charge", FORWARD, 1, late, 1_009.7),
        Claimed("charge", UNDO, "w", 1_010),
        Ended("charge", UNDO, 1, Fate.RETRYABLE, error("undo"), 1_011),
        Claimed("charge", UNDO, "w", 1_030),
        Succeeded("charge", UNDO, 2, None, 1_031),
    )
    charge = record(state).steps["charge"]

    assert charge.status is StepStatus.COMPENSATED
    assert (charge.attempts, charge.compensation_attempts) == (2, 2)
    assert charge.first_error == StepError("Boom", "first", "traceback of first")
    assert charge.error == StepError("Boom", "last", "traceback of last")
    assert charge.compensation_error == StepError("Boom", "undo", "traceback of undo")
    assert charge.reason == "final"
    assert charge.compensation_reason is None
    assert charge.compensated_at == _at(1_031)
    assert charge.late_outputs == (Payment("late"),)
    assert charge.output is None


def test_why_an_undo_did_not_succeed() -> None:
    undo = Track(attempt=1, reason="aborted", last_error=error("undo"), ended_at=1_010.0)
    state = NEW.with_step("charge", StepState(status=StepStatus.COMPENSATION_FAILED, undo=undo))
    charge = record(state).steps["charge"]

    assert charge.compensation_reason == "aborted"
    assert charge.compensated_at is None


def test_steps_stand_in_the_order_of_their_declaration_and_cannot_be_changed() -> None:
    shuffled = msgspec.structs.replace(NEW, steps=dict(reversed(NEW.steps.items())))
    steps = record(shuffled).steps

    assert list(steps) == ["reserve", "check", "charge"]
    assert steps["charge"] is steps["charge"]
    assert not hasattr(steps, "__setitem__")


def test_a_saga_that_was_started_with_another_graph_shows_the_steps_that_it_has() -> None:
    steps = {"old": StepState(output=codec.encode(5, int)), "charge": StepState()}
    saga = record(msgspec.structs.replace(NEW, steps=steps))

    assert list(saga.steps) == ["charge", "old"]
    assert saga.steps["old"].action == "old"
    assert saga.outputs["old"] == 5
    assert dict(saga.steps["charge"].input) == {}


# ---------------------------------------------------------------------------------------- the error


def test_the_error_of_a_saga_is_the_first_one_of_the_step_that_failed_first() -> None:
    state = after(
        *failed("reserve", "retried", 1_001, fate=Fate.RETRYABLE),
        *failed("check", "culprit", 1_001.2, fate=Fate.ABORTED),
    )
    saga = record(state)

    assert saga.steps["reserve"].status is StepStatus.UNKNOWN
    assert saga.error == StepError("Boom", "culprit", "traceback of culprit")


def test_of_two_steps_that_failed_the_earlier_one_gives_the_error() -> None:
    state = after(
        Claimed("reserve", FORWARD, "w", 1_001),
        Claimed("check", FORWARD, "w", 1_001),
        Ended("check", FORWARD, 1, Fate.FINAL, error("earlier"), 1_002),
        Ended("reserve", FORWARD, 1, Fate.FINAL, error("later"), 1_003),
    )
    saga_error = record(state).error
    assert saga_error is not None
    assert saga_error.message == "earlier"


def test_retries_that_are_exhausted_are_a_failure_of_their_own() -> None:
    retries: list[Event] = []
    for attempt in (1, 2, 3):
        retries += failed("reserve", f"try {attempt}", 1_000 + 10 * attempt, fate=Fate.RETRYABLE, attempt=attempt)
    state = after(Claimed("check", FORWARD, "w", 1_001), *retries)
    state = after(Ended("check", FORWARD, 1, Fate.ABORTED, error("check"), 1_100), state=state)

    saga_error = record(state).error
    assert saga_error is not None
    assert saga_error.message == "try 1"


@pytest.mark.parametrize(
    "state",
    [
        NEW,
        COMPLETED,
        after(*failed("reserve", "retried", 1_001, fate=Fate.RETRYABLE)),
        after(*failed("reserve", "retried", 1_001, fate=Fate.RETRYABLE), Claimed("reserve", FORWARD, "w", 1_020)),
        after(CompensationRequested("back", 1_010)),
    ],
    ids=["new", "completed", "waits", "runs again", "asked for"],
)
def test_without_a_failure_there_is_no_error(state: SagaState) -> None:
    assert record(state).error is None


def test_a_step_that_succeeded_after_all_has_its_errors_but_the_saga_has_none() -> None:
    state = after(
        *failed("reserve", "first", 1_001, fate=Fate.RETRYABLE),
        Claimed("reserve", FORWARD, "w", 1_020),
        Succeeded("reserve", FORWARD, 2, "1", 1_021),
    )
    saga = record(state)
    assert saga.error is None
    assert saga.steps["reserve"].first_error is not None


def test_an_end_without_a_time_counts_as_the_last() -> None:
    """Whatever a store holds: an operator may have put it there."""

    def broken(text: str, ended_at: float | None) -> StepState:
        track = Track(attempt=1, first_error=error(text), reason="final", ended_at=ended_at)
        return StepState(status=StepStatus.FAILED, forward=track)

    state = NEW.with_step("reserve", broken("timeless", None)).with_step("check", broken("dated", 999.0))
    saga_error = record(state).error
    assert saga_error is not None
    assert saga_error.message == "dated"


# ---------------------------------------------------------------------------------------- payloads


def test_a_saga_whose_payloads_cannot_be_read_still_shows_the_rest() -> None:
    state = msgspec.structs.replace(COMPLETED, context='{"card": 5}')
    state = state.with_step("charge", msgspec.structs.replace(state.steps["charge"], output="[]", late=("[]",)))
    saga = record(state)

    assert (saga.status, list(saga.outputs), saga.outputs["reserve"]) == (
        SagaStatus.COMPLETED,
        ["reserve", "check", "charge"],
        7,
    )
    assert repr(saga)
    charge = saga.steps["charge"]
    acts: list[Callable[[], object]] = [
        lambda: saga.context,
        lambda: saga.outputs["charge"],
        lambda: saga.output(Shop.charge),
        lambda: saga.output(Shop.charge, None),
        lambda: charge.output,
        lambda: charge.late_outputs,
    ]
    for act in acts:
        with pytest.raises(PayloadError):
            act()


def test_payloads_are_read_once_and_only_when_asked_for() -> None:
    class Counting(JsonCodec):
        def __init__(self) -> None:
            super().__init__()
            self.read: list[str] = []

        def decode(self, text: str, kind: Any) -> Any:
            self.read.append(text)
            return super().decode(text, kind)

    counting = Counting()
    saga = SagaRecord[Order](COMPLETED, counting, TYPES)
    assert (saga.id, saga.status, len(saga.steps), "charge" in saga.outputs) == ("o-1", "completed", 3, True)
    assert counting.read == []
    assert saga.context is saga.context
    assert saga.output(Shop.charge) is saga.outputs["charge"] is saga.steps["charge"].output
    assert len(counting.read) == 2


def test_a_saga_that_this_process_does_not_know_shows_plain_values() -> None:
    saga: SagaRecord[Any] = SagaRecord(COMPLETED, codec, None)
    charge = saga.steps["charge"]

    assert saga.context == {"card": SECRET}
    assert saga.outputs["charge"] == {"ref": SECRET}
    assert (charge.action, charge.compensation, dict(charge.input)) == ("charge", None, {})
    assert saga.error is None


def test_an_unknown_saga_has_an_error_too() -> None:
    saga: SagaRecord[Any] = SagaRecord(after(*failed("reserve", "boom", 1_001)), codec, None)
    assert saga.error == StepError("Boom", "boom", "traceback of boom")


def test_nothing_that_is_shown_of_a_record_holds_payloads() -> None:
    state = after(*failed("charge", SECRET, 1_010), state=COMPLETED)
    saga = record(state)
    assert saga.outputs["charge"] == Payment(SECRET)

    shown = [
        repr(saga),
        repr(saga.steps),
        repr(saga.outputs),
        repr(saga.steps["charge"]),
        repr(saga.steps["charge"].input),
    ]
    assert SECRET not in "".join(shown)
    assert shown == [
        "<SagaRecord of shop 'o-1': completed, revision 2>",
        "<reserve, check, charge>",
        "<reserve, check, charge>",
        "<StepRecord charge of saga 'o-1': completed>",
        "<reserve, check>",
    ]
    assert repr(record(NEW).outputs) == "<nothing>"


def test_records_cannot_be_changed() -> None:
    saga: Any = record(NEW)
    charge: Any = saga.steps["charge"]
    for target in (saga, charge):
        with pytest.raises((FrozenInstanceError, AttributeError)):
            target.status = "completed"


def test_a_record_is_of_one_moment() -> None:
    before = record(NEW)
    after(*ran("reserve", 7, 1_001))
    assert len(before.outputs) == 0


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
