"""Outputs that come after their attempt was given up: kept, and undone, but no reason to change course."""

from __future__ import annotations

from sagaflow.core.attempts import LATE_LIMIT
from sagaflow.core.events import Claimed, Fate, Succeeded
from sagaflow.core.state import MAIN, SagaStatus, StepStatus
from sagaflow.core.work import undo_payload
from tests.unit.story import FORWARD, NOW, UNDO, Story, a_saga, a_step, chain, given


def lost(*, strict: bool = False) -> Story:
    """The first attempt's worker is lost; its output may still come."""
    return given(a_saga(a_step("a", strict=strict))).loses_worker_of("a")


def test_a_late_output_is_kept_and_changes_no_status() -> None:
    story = lost().claims("a").succeeds("a", "late", attempt=1).expect(SagaStatus.STARTED, a=StepStatus.STARTED)
    assert story.step("a").late == ("late",)
    assert story.step("a").output is None


def test_an_attempt_that_was_given_up_does_not_complete_its_step_though_nobody_runs_it_now() -> None:
    story = lost().succeeds("a", "late", attempt=1).expect(SagaStatus.STARTED, opens="a", a=StepStatus.STARTED)
    assert story.step("a").output is None


def test_a_late_output_that_is_known_already_changes_nothing() -> None:
    story = lost().does("a").succeeds("a", "late", attempt=1)
    story.expect_no_change(Succeeded("a", FORWARD, 1, "late", NOW), Succeeded("a", FORWARD, 1, "a done", NOW))


def test_an_output_of_an_attempt_that_never_was_is_not_kept() -> None:
    lost().expect_no_change(*(Succeeded("a", FORWARD, attempt, "late", NOW) for attempt in (-1, 0, 2)))


def test_a_bounded_number_of_late_outputs_is_kept() -> None:
    story = lost()
    for number in range(LATE_LIMIT):
        story = story.succeeds("a", f"late {number}", attempt=1)
    story.expect_no_change(Succeeded("a", FORWARD, 1, "one too many", NOW))
    assert len(story.step("a").late) == LATE_LIMIT


def test_a_compensation_that_has_not_begun_gets_the_late_output_of_an_unknown_step() -> None:
    story = lost().cancellation_is_requested().expect(opens="undo a").succeeds("a", "late", attempt=1)
    story = story.claims("a", UNDO)
    assert undo_payload(story.state, "a") == "late"
    story.succeeds("a", direction=UNDO).expect(SagaStatus.COMPENSATED, opens="", a=StepStatus.COMPENSATED)


def test_a_late_output_that_comes_while_the_unknown_outcome_is_undone_is_undone_after_it() -> None:
    story = lost().cancellation_is_requested().claims("a", UNDO).succeeds("a", "late", attempt=1)
    assert undo_payload(story.state, "a") is None
    story = story.succeeds("a", direction=UNDO).expect(SagaStatus.COMPENSATING, opens="undo a")
    story = story.claims("a", UNDO)
    assert undo_payload(story.state, "a") == "late"
    story.succeeds("a", direction=UNDO).expect(SagaStatus.COMPENSATED, opens="")


def test_a_compensation_that_is_tried_again_gets_what_came_meanwhile() -> None:
    story = lost().cancellation_is_requested().claims("a", UNDO, by="doomed").succeeds("a", "late", attempt=1)
    story = story.loses("doomed").claims("a", UNDO)
    assert undo_payload(story.state, "a") == "late"
    story.succeeds("a", direction=UNDO).expect(SagaStatus.COMPENSATED)


def test_the_recorded_output_is_undone_first_and_then_each_late_one_as_they_came() -> None:
    story = lost().does("a").succeeds("a", "one", attempt=1).succeeds("a", "two", attempt=1)
    story = story.expect(SagaStatus.COMPLETED).compensation_is_requested()
    given_to_it: list[str | None] = []
    while story.state.status is SagaStatus.COMPENSATING:
        story = story.expect(opens="undo a", a=StepStatus.COMPENSATING if given_to_it else StepStatus.COMPLETED)
        story = story.claims("a", UNDO)
        given_to_it.append(undo_payload(story.state, "a"))
        story = story.succeeds("a", direction=UNDO)
    assert given_to_it == ["a done", "one", "two"]
    story.expect(SagaStatus.COMPENSATED, a=StepStatus.COMPENSATED)


def test_several_late_outputs_of_an_unknown_step_are_undone_one_by_one() -> None:
    story = lost().cancellation_is_requested().succeeds("a", "one", attempt=1).succeeds("a", "two", attempt=1)
    story = story.undoes("a").expect(SagaStatus.COMPENSATING, opens="undo a").claims("a", UNDO)
    assert undo_payload(story.state, "a") == "two"


def test_one_transaction_that_two_attempts_report_is_undone_once() -> None:
    """With its idempotency key the second attempt gets the transaction of the first one."""
    story = lost().claims("a").succeeds("a", "tx-1", attempt=1).succeeds("a", "tx-1", attempt=2)
    assert story.step("a").output == "tx-1"
    story.compensation_is_requested().undoes("a").expect(SagaStatus.COMPENSATED, opens="")


def test_a_late_output_brings_a_compensated_saga_back_until_it_is_undone() -> None:
    story = lost().cancellation_is_requested().undoes("a").expect(SagaStatus.COMPENSATED)
    story = story.later(60).succeeds("a", "late", attempt=1)
    story.expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.COMPENSATING).expect_at(0, "a", UNDO)
    story.expect(reason="a late output of step 'a' must be undone")
    assert story.state.completed_at is None
    story = story.undoes("a").expect(SagaStatus.COMPENSATED, opens="")
    assert story.state.completed_at == NOW + 60


def test_a_late_undo_has_the_whole_budget_again() -> None:
    story = lost().cancellation_is_requested()
    story = story.fails_to_undo("a", Fate.RETRYABLE).later(10).fails_to_undo("a", Fate.RETRYABLE).later(20).undoes("a")
    story = story.succeeds("a", "late", attempt=1).fails_to_undo("a", Fate.RETRYABLE).expect(opens="undo a")
    story.expect_at(10, "a", UNDO)


def test_a_late_undo_has_the_whole_budget_of_losses_again() -> None:
    story = lost().cancellation_is_requested()
    for _ in range(4):
        story = story.loses_worker_of("a", UNDO)
    story.undoes("a").succeeds("a", "late", attempt=1).loses_worker_of("a", UNDO).expect(opens="undo a")


def test_a_late_output_makes_an_unknown_outcome_acceptable_to_a_strict_compensation() -> None:
    definition = a_saga(a_step("a", strict=True), a_step("b"))
    story = given(definition).loses_worker_of("a").does("b").cancellation_is_requested().expect(opens="undo b")
    story = story.succeeds("a", "late", attempt=1).expect(opens="undo a, undo b")
    story.undoes("a", "b").expect(SagaStatus.COMPENSATED)


def test_only_an_operator_brings_a_failed_saga_back() -> None:
    story = lost(strict=True).cancellation_is_requested().expect(SagaStatus.FAILED, a=StepStatus.UNKNOWN)
    story = story.succeeds("a", "late", attempt=1).expect(SagaStatus.FAILED, opens="", a=StepStatus.UNKNOWN)
    assert story.step("a").late == ("late",)


def test_a_late_output_of_an_undone_step_shows_in_a_failed_saga() -> None:
    definition = a_saga(a_step("a"), a_step("b"))
    story = given(definition).loses_worker_of("a").does("b").cancellation_is_requested().undoes("a")
    story = story.fails_to_undo("b").expect(SagaStatus.FAILED).succeeds("a", "late", attempt=1)
    story.expect(SagaStatus.FAILED, opens="", a=StepStatus.COMPENSATING)


def test_a_late_output_of_a_compensation_that_failed_is_kept() -> None:
    story = lost().cancellation_is_requested().fails_to_undo("a").succeeds("a", "late", attempt=1)
    story.expect(SagaStatus.FAILED, a=StepStatus.COMPENSATION_FAILED)
    assert story.step("a").late == ("late",)


def test_what_is_open_to_be_undone_waits_again_when_a_dependent_is_unsettled_by_a_late_output() -> None:
    story = given(chain("a", "b")).does("a").loses_worker_of("b").cancellation_is_requested().undoes("b")
    story = story.expect(opens="undo a").succeeds("b", "late", attempt=1).expect(opens="undo b")
    story.expect_no_change(Claimed("a", UNDO, "w1", NOW))
    story.undoes("b").expect(opens="undo a").undoes("a").expect(SagaStatus.COMPENSATED)


def test_an_undo_that_runs_already_is_not_stopped_by_a_late_output_of_a_dependent() -> None:
    story = given(chain("a", "b")).does("a").loses_worker_of("b").cancellation_is_requested().undoes("b")
    story = story.claims("a", UNDO).succeeds("b", "late", attempt=1).expect(opens="undo b", a=StepStatus.COMPENSATING)
    story.succeeds("a", direction=UNDO).undoes("b").expect(SagaStatus.COMPENSATED)


def test_a_late_undo_that_is_lost_is_given_the_same_output_again() -> None:
    story = lost().does("a").succeeds("a", "late", attempt=1).compensation_is_requested().undoes("a")
    story = story.loses_worker_of("a", UNDO).claims("a", UNDO)
    assert undo_payload(story.state, "a") == "late"
    assert story.step("a").undoing != MAIN
