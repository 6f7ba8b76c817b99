"""The pivot: from its first attempt on there is no way back, unless it certainly did not happen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import (
    CancellationRequested,
    CompensationRequested,
    Fate,
    Resolution,
    ResolutionRequested,
    Ticked,
)
from sagaflow.core.state import SagaStatus, StepStatus
from tests.unit.story import NOW, PROBE, Story, a_saga, a_step, a_wait, given

STOPS = (CompensationRequested("undo", NOW), CancellationRequested("stop", NOW))


def selling(*, probe: bool = False, deadline: float | None = None) -> SagaDefinition:
    return a_saga(
        a_step("reserve"),
        a_step("pay", after=["reserve"], pivot=True, undo=False, probe=probe),
        a_step("ship", after=["pay"], undo=False),
        a_step("mail", after=["pay"], undo=False),
        deadline=None if deadline is None else timedelta(seconds=deadline),
    )


def paid() -> Story:
    return given(selling()).does("reserve", "pay")


def test_before_its_pivot_a_saga_can_be_stopped() -> None:
    story = given(selling()).does("reserve")
    assert {"cancel", "compensate"} <= set(story.state.accepts)
    story.cancellation_is_requested().expect(opens="undo reserve")


def test_from_the_first_attempt_at_the_pivot_on_nobody_can_stop_it() -> None:
    for story in (given(selling()).does("reserve").claims("pay"), paid(), paid().does("ship", "mail")):
        assert not {"cancel", "compensate"} & set(story.state.accepts)
        story.expect_no_change(*STOPS)


def test_a_pivot_that_was_given_back_before_it_began_leaves_the_way_back_open() -> None:
    given(selling()).does("reserve").claims("pay").releases("pay").cancellation_is_requested().expect(
        SagaStatus.COMPENSATING, opens="undo reserve", pay=StepStatus.PENDING
    )


def test_a_pivot_that_may_have_happened_is_not_uncommitted_by_a_claim_that_is_given_back() -> None:
    given(selling()).does("reserve").loses_worker_of("pay").claims("pay").releases("pay").expect_no_change(*STOPS)


def test_a_pivot_that_failed_cleanly_turns_the_saga_back() -> None:
    story = given(selling()).does("reserve").fails("pay").expect(SagaStatus.COMPENSATING, opens="undo reserve")
    story.undoes("reserve").expect(SagaStatus.COMPENSATED, pay=StepStatus.FAILED)
    assert not story.state.committed


def test_a_pivot_of_unknown_outcome_fails_the_saga_and_nothing_before_it_is_undone() -> None:
    story = given(selling()).does("reserve").fails("pay", Fate.FINAL).expect(SagaStatus.FAILED, opens="")
    story.expect(reason="step 'pay' has an unknown outcome (final), and there is no way back")
    assert story.state.completed_at == NOW
    story.expect(reserve=StepStatus.COMPLETED)


def test_an_operator_who_knows_what_became_of_the_pivot_sends_the_saga_on_or_back() -> None:
    story = given(selling()).does("reserve").fails("pay", Fate.FINAL)
    story.is_resolved("pay", Resolution.HAPPENED, "paid").expect(SagaStatus.STARTED, opens="ship, mail")
    story.is_resolved("pay", Resolution.NOT_HAPPENED).expect(SagaStatus.COMPENSATING, opens="undo reserve")
    story.expect_no_change(ResolutionRequested("ada", "?", NOW, "pay", Resolution.COMPENSATED))


def test_after_the_pivot_what_does_not_depend_on_a_broken_step_goes_on() -> None:
    story = paid().fails("ship").expect(SagaStatus.STARTED, opens="mail", ship=StepStatus.FAILED).does("mail")
    story.expect(SagaStatus.FAILED, reason="step 'ship' failed, and there is no way back")


def test_a_saga_that_failed_after_its_pivot_is_retried_forward() -> None:
    story = paid().fails("ship").does("mail").is_retried().expect(SagaStatus.STARTED, opens="ship")
    assert (story.state.failure, story.state.completed_at) == (None, None)
    story.does("ship").expect(SagaStatus.COMPLETED)


def test_a_step_of_unknown_outcome_after_the_pivot_is_retried_as_such() -> None:
    story = paid().fails("ship", Fate.FINAL).does("mail").is_retried("ship").expect(opens="ship")
    story.fails("ship").expect(SagaStatus.FAILED, ship=StepStatus.UNKNOWN)


def test_a_retry_of_an_unknown_pivot_asks_its_probe_first() -> None:
    story = given(selling(probe=True)).does("reserve").fails("pay", Fate.FINAL).claims("pay", PROBE)
    story = story.ends("pay", Fate.FINAL, direction=PROBE).expect(SagaStatus.FAILED, pay=StepStatus.UNKNOWN)
    story = story.is_retried().expect(SagaStatus.STARTED, opens="probe pay")
    story.probes("pay", happened=True).expect(opens="ship, mail")
    story.probes("pay", happened=False).expect(opens="pay").does("pay").expect(opens="ship, mail")


def test_a_deadline_that_passes_after_the_pivot_only_raises_an_alarm() -> None:
    story = given(selling(deadline=30)).does("reserve").claims("pay").later(30).expect(SagaStatus.STARTED)
    assert story.state.overdue
    assert story.next_due is None
    story.expect_no_change(Ticked(NOW + 99)).succeeds("pay").does("ship", "mail").expect(SagaStatus.COMPLETED)


def test_a_deadline_that_passed_while_the_pivot_ran_counts_if_it_failed_cleanly_or_was_given_back() -> None:
    story = given(selling(deadline=30)).does("reserve").claims("pay").later(30)
    story.ends("pay", Fate.ABORTED).expect(SagaStatus.COMPENSATING, opens="undo reserve")
    given_back = story.releases("pay").expect(SagaStatus.STARTED, opens="pay")
    assert given_back.next_due == NOW + 30
    given_back.later(0).expect(SagaStatus.COMPENSATING, opens="undo reserve", reason="its deadline has passed")


def test_a_pivot_that_is_left_out_has_passed() -> None:
    story = given(selling()).does("reserve").is_skipped("pay").expect(opens="ship, mail", pay=StepStatus.SKIPPED)
    story.expect_no_change(*STOPS)


@pytest.mark.parametrize("fate", [Fate.RETRYABLE, Fate.TIMED_OUT])
def test_a_pivot_is_tried_again_like_any_other_step(fate: Fate) -> None:
    given(selling()).does("reserve").fails("pay", fate).expect(SagaStatus.STARTED, opens="pay").later(10).does("pay")


def test_the_output_of_a_pivot_that_was_given_back_as_not_begun_says_that_it_has_passed() -> None:
    story = given(selling()).does("reserve").claims("pay").releases("pay").succeeds("pay", "paid", attempt=1)
    story.expect_no_change(*STOPS).expect(opens="pay").does("pay").expect(opens="ship, mail")


def test_two_answers_to_a_pivot_that_was_given_back_as_not_asked_say_that_it_has_passed() -> None:
    definition = a_saga(
        a_step("reserve"), a_wait("pay", after=["reserve"], pivot=True, undo=False), a_step("ship", after=["pay"])
    )
    story = given(definition).does("reserve").claims("pay").releases("pay").hears("pay", "paid", token="first")
    story = story.hears("pay", "paid twice", token="second").expect(opens="ship", pay=StepStatus.COMPLETED)
    assert story.step("pay").output == "paid"
    story.expect_no_change(*STOPS)
