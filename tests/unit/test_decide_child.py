"""Steps that another saga does: inserted, awaited, undone, and brought to an end by people."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow.core.attempts import LOSS_BUDGET
from sagaflow.core.events import ChildAsked, ChildEnded, ChildInserted, Claimed, Fate, ParentTold
from sagaflow.core.state import Link, SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, UNDO, Story, a_child, a_saga, a_step, chain, given

COMPLETED, COMPENSATED, FAILED = SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED


def begun() -> Story:
    """The child's context is recorded."""
    return given(a_saga(a_child("ship"), a_step("z", after=["ship"]))).does("ship")


def running() -> Story:
    return begun().inserts("ship").expect(SagaStatus.STARTED, opens="", owes="")


def after_the_pivot() -> Story:
    definition = a_saga(a_step("pay", pivot=True, undo=False), a_child("ship", after=["pay"]))
    return given(definition).does("pay", "ship").inserts("ship")


def test_the_context_is_recorded_before_the_child_is_inserted() -> None:
    story = begun().expect(SagaStatus.STARTED, opens="", owes="insert child ship", ship=StepStatus.STARTED)
    assert story.step("ship").child == "ship done"
    assert story.next_due == NOW


def test_a_saga_is_parked_while_its_child_runs() -> None:
    assert running().next_due is None


def test_a_child_that_completed_completes_its_step() -> None:
    story = running().child_ends("ship", COMPLETED).expect(opens="z", ship=StepStatus.COMPLETED)
    assert story.step("ship").output == "ship child"


def test_a_child_that_was_compensated_leaves_nothing() -> None:
    story = running().child_ends("ship", COMPENSATED, "why").expect(SagaStatus.COMPENSATED, ship=StepStatus.FAILED)
    assert story.step("ship").forward.first_error == "why"
    story.expect(reason="step 'ship' failed")


def test_a_child_that_failed_leaves_something() -> None:
    story = running().child_ends("ship", FAILED).expect(SagaStatus.COMPENSATING, owes="compensate child ship")
    story.expect(ship=StepStatus.UNKNOWN, reason="step 'ship' has an unknown outcome (the child saga is failed)")
    assert story.step("ship").forward.first_error is None


def test_a_child_may_end_before_it_is_recorded_that_it_exists() -> None:
    story = begun().child_ends("ship", COMPLETED).expect(opens="z", owes="")
    story.expect_no_change(ChildInserted("ship", NOW))
    assert story.step("ship").linked


def test_the_method_that_says_the_context_leaves_nothing_however_it_ends() -> None:
    story = given(a_saga(a_child("ship")))
    story.fails("ship", Fate.FINAL).expect(SagaStatus.COMPENSATED, ship=StepStatus.FAILED)
    story.fails("ship", Fate.TIMED_OUT).expect(opens="ship").cancellation_is_requested().expect(SagaStatus.COMPENSATED)
    for _ in range(LOSS_BUDGET):
        story = story.loses_worker_of("ship")
    story.expect(SagaStatus.COMPENSATED, ship=StepStatus.FAILED)


def test_an_output_of_that_method_that_comes_late_tells_nothing() -> None:
    story = given(a_saga(a_child("ship"))).loses_worker_of("ship").claims("ship").succeeds("ship", "x", attempt=1)
    assert story.step("ship").late == ()


def test_a_child_is_undone_by_itself_and_nobody_claims_that() -> None:
    story = running().child_ends("ship", COMPLETED).cancellation_is_requested()
    story.expect(SagaStatus.COMPENSATING, opens="", owes="compensate child ship")
    assert story.next_due == NOW
    story.expect_no_change(Claimed("ship", UNDO, "w1", NOW))
    story = story.asks_child("ship").expect(owes="", ship=StepStatus.COMPENSATING)
    assert story.next_due is None
    story.child_ends("ship", COMPENSATED).expect(COMPENSATED, ship=StepStatus.COMPENSATED)


def test_a_child_is_undone_in_its_turn() -> None:
    story = (
        running().child_ends("ship", COMPLETED).does("z").compensation_is_requested().expect(opens="undo z", owes="")
    )
    story.undoes("z").expect(owes="compensate child ship")


def test_a_child_that_runs_when_the_saga_turns_back_is_told_to_undo_itself() -> None:
    story = running().cancellation_is_requested().expect(ship=StepStatus.UNKNOWN, owes="compensate child ship")
    story.asks_child("ship").child_ends("ship", COMPENSATED).expect(COMPENSATED, ship=StepStatus.COMPENSATED)
    story.child_ends("ship", COMPENSATED).expect(COMPENSATED)
    story.child_ends("ship", COMPLETED).expect(SagaStatus.COMPENSATING, owes="compensate child ship")


def test_a_child_whose_insertion_is_not_known_is_told_to_undo_itself_too() -> None:
    story = begun().cancellation_is_requested().expect(owes="compensate child ship").asks_child("ship")
    assert story.step("ship").linked


def test_a_child_whose_context_comes_when_the_saga_has_turned_back_is_not_inserted() -> None:
    story = given(a_saga(a_child("ship"))).claims("ship").cancellation_is_requested().succeeds("ship")
    story.expect(SagaStatus.COMPENSATING, owes="compensate child ship")


@pytest.mark.parametrize("status", [COMPENSATED, FAILED])
def test_a_child_may_end_before_it_is_recorded_that_it_was_asked(status: SagaStatus) -> None:
    story = running().child_ends("ship", COMPLETED).cancellation_is_requested().child_ends("ship", status, "e")
    story.expect(status, owes="").expect_no_change(ChildAsked("ship", NOW))


def test_a_child_that_could_not_be_undone_fails_the_saga_until_somebody_brings_it_to_an_end() -> None:
    story = running().cancellation_is_requested().asks_child("ship").child_ends("ship", FAILED, "e")
    story = story.expect(FAILED, ship=StepStatus.COMPENSATION_FAILED)
    story.expect(reason="asked to stop; the child saga of step 'ship' failed (the child saga has failed)")
    assert story.step("ship").undo.first_error == "e"
    story.child_ends("ship", COMPENSATED).expect(COMPENSATED)
    again = story.is_retried().expect(SagaStatus.COMPENSATING, owes="compensate child ship").asks_child("ship")
    again.child_ends("ship", COMPENSATED).expect(COMPENSATED)


def test_a_child_that_fails_without_an_error_leaves_none() -> None:
    story = running().cancellation_is_requested().asks_child("ship").child_ends("ship", FAILED)
    assert story.step("ship").undo.first_error is None


def test_a_child_that_somebody_undid_by_itself_turns_the_saga_back() -> None:
    story = running().child_ends("ship", COMPLETED).child_ends("ship", COMPENSATED)
    story.expect(COMPENSATED, ship=StepStatus.FAILED)


def test_a_child_that_is_undone_by_itself_after_all_was_done_changes_nothing() -> None:
    story = running().child_ends("ship", COMPLETED).does("z").expect(COMPLETED)
    story.expect_no_change(ChildEnded("ship", COMPENSATED, NOW), ChildEnded("ship", FAILED, NOW))


def test_after_the_pivot_a_failed_child_fails_the_saga_until_it_is_brought_to_a_good_end() -> None:
    story = after_the_pivot().child_ends("ship", FAILED).expect(FAILED, ship=StepStatus.UNKNOWN)
    story.is_retried().expect(FAILED)
    story.child_ends("ship", COMPLETED).expect(COMPLETED, ship=StepStatus.COMPLETED)


def test_after_the_pivot_a_child_that_was_undone_is_followed_by_another_when_an_operator_retries() -> None:
    failed = after_the_pivot().child_ends("ship", FAILED)
    for story in (failed.child_ends("ship", COMPENSATED), after_the_pivot().child_ends("ship", COMPENSATED)):
        story.expect(FAILED, ship=StepStatus.FAILED)
        again = story.is_retried().expect(SagaStatus.STARTED, opens="ship")
        assert (again.step("ship").generation, again.step("ship").child) == (1, None)
        again = again.does("ship").expect(owes="insert child ship")
        again.inserts("ship").child_ends("ship", COMPLETED).expect(COMPLETED)


def test_what_is_said_of_an_earlier_child_changes_nothing() -> None:
    story = after_the_pivot().child_ends("ship", COMPENSATED).is_retried().does("ship")
    story.expect_no_change(
        ChildInserted("ship", NOW, generation=0), ChildEnded("ship", COMPENSATED, NOW, None, "ship child", generation=0)
    )
    assert story.happens(ChildInserted("ship", NOW, generation=1)).step("ship").linked


def test_what_is_said_of_no_child_changes_nothing() -> None:
    given(a_saga(a_child("ship"))).expect_no_change(
        ChildInserted("ship", NOW), ChildAsked("ship", NOW), ChildEnded("ship", COMPLETED, NOW)
    )
    running().expect_no_change(
        ChildInserted("ship", NOW),
        ChildInserted("nobody", NOW),
        ChildInserted("z", NOW),
        ChildAsked("ship", NOW),
        ChildAsked("nobody", NOW),
        ChildEnded("nobody", COMPLETED, NOW),
        ChildEnded("z", COMPLETED, NOW),
    )


def test_a_step_that_is_no_child_saga_is_not_told_to_undo_itself() -> None:
    given(chain("a")).does("a").compensation_is_requested().expect_no_change(ChildAsked("a", NOW))


def test_a_child_that_was_undone_is_so_once() -> None:
    story = running().cancellation_is_requested().child_ends("ship", COMPENSATED)
    story.expect_no_change(*(ChildEnded("ship", status, NOW) for status in (COMPENSATED, FAILED, COMPLETED)))


def test_compensating_that_takes_too_long_leaves_the_child_to_itself_and_hears_of_it_later() -> None:
    definition = a_saga(a_child("ship"), compensation_deadline=timedelta(seconds=60))
    story = given(definition).does("ship").inserts("ship").cancellation_is_requested().asks_child("ship").later(60)
    story.expect(FAILED, ship=StepStatus.COMPENSATION_FAILED).child_ends("ship", COMPENSATED).expect(COMPENSATED)


def test_a_paused_saga_owes_its_child_nothing_for_now() -> None:
    begun().is_paused().expect(owes="").is_resumed().expect(owes="insert child ship")
    running().cancellation_is_requested().is_paused().expect(owes="").is_resumed().expect(owes="compensate child ship")


def test_a_child_owes_its_parent_the_news_of_its_end() -> None:
    story = given(chain("a"), parent=Link("p", "ship", 1), root="p").does("a").expect(COMPLETED, owes="tell parent")
    assert story.next_due == NOW
    told = story.happens(ParentTold(NOW)).expect(owes="").expect_no_change(ParentTold(NOW))
    told.compensation_is_requested().undoes("a").expect(COMPENSATED, owes="tell parent")
    given(chain("a"), parent=Link("p", "ship")).expect(owes="").expect_no_change(ParentTold(NOW))


def test_a_parent_that_was_told_of_an_earlier_end_does_not_know_this_one() -> None:
    story = given(chain("a"), parent=Link("p", "ship")).does("a").compensation_is_requested().undoes("a")
    story.expect_no_change(ParentTold(NOW, COMPLETED)).happens(ParentTold(NOW, COMPENSATED)).expect(owes="")


def test_a_child_has_not_ended_while_it_runs() -> None:
    with pytest.raises(ValueError, match="a saga that is started has not ended"):
        ChildEnded("ship", SagaStatus.STARTED, NOW)


def test_the_step_of_a_child_is_claimed_like_any_other() -> None:
    story = given(a_saga(a_child("ship"))).expect(opens="ship")
    assert story.happens(Claimed("ship", FORWARD, "w1", NOW)).step("ship").status is StepStatus.STARTED
