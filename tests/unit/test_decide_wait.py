"""Steps that the outside answers: early, in time, late, twice, or never."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow.core.attempts import LATE_LIMIT
from sagaflow.core.events import Fate, Probed, Resolution, Signalled, Ticked
from sagaflow.core.state import Received, SagaStatus, StepStatus
from sagaflow.core.work import undo_payload
from tests.unit.story import NOW, PROBE, UNDO, Story, a_saga, a_step, a_wait, given


def waiting(*, deadline: float | None = None, probe: bool = False) -> Story:
    definition = a_saga(a_wait("pay", deadline=deadline, probe=probe), a_step("z", after=["pay"]))
    return given(definition).does("pay").expect(SagaStatus.STARTED, opens="", pay=StepStatus.STARTED)


def test_a_step_that_has_asked_is_parked_until_it_is_answered() -> None:
    story = waiting()
    assert story.next_due is None
    story = story.hears("pay", "paid").expect(opens="z", pay=StepStatus.COMPLETED)
    assert story.step("pay").output == "paid"


def test_an_answer_may_come_before_anybody_asks() -> None:
    definition = a_saga(a_step("a"), a_wait("pay", after=["a"]))
    story = given(definition).hears("pay", "paid").expect(opens="a").does("a").expect(opens="pay").claims("pay")
    story = story.expect(pay=StepStatus.STARTED).succeeds("pay").expect(SagaStatus.COMPLETED)
    assert story.step("pay").output == "paid"


def test_an_answer_may_come_before_the_saga_begins() -> None:
    definition = a_saga(a_wait("pay"))
    given(definition, start_in=60).hears("pay").later(60).expect(opens="pay").does("pay").expect(SagaStatus.COMPLETED)


def test_an_answer_that_comes_while_it_is_asked_counts_when_it_was_asked() -> None:
    story = given(a_saga(a_wait("pay"))).claims("pay").hears("pay").expect(pay=StepStatus.STARTED)
    story.succeeds("pay").expect(SagaStatus.COMPLETED)


def test_whoever_answers_was_asked_whatever_became_of_the_attempt_to_ask() -> None:
    story = given(a_saga(a_wait("pay"))).loses_worker_of("pay").hears("pay").expect(SagaStatus.COMPLETED, opens="")
    assert story.step("pay").output == "pay answered"


def test_an_answer_spares_the_probe() -> None:
    story = given(a_saga(a_wait("pay", probe=True), a_step("z", after=["pay"]))).loses_worker_of("pay")
    story.expect(opens="probe pay").hears("pay").expect(opens="z", pay=StepStatus.COMPLETED)
    story = story.claims("pay", PROBE).hears("pay").expect(opens="", pay=StepStatus.STARTED)
    story.ends("pay", Fate.FINAL, direction=PROBE).expect(opens="z", pay=StepStatus.COMPLETED)


def test_a_refusal_fails_the_step_cleanly() -> None:
    story = waiting().hears("pay", error="no").expect(SagaStatus.COMPENSATED, pay=StepStatus.FAILED)
    track = story.step("pay").forward
    assert (track.first_error, track.last_error, track.reason) == ("no", "no", "refused outside")


def test_a_refusal_after_an_attempt_that_may_have_done_something_leaves_the_step_unknown() -> None:
    story = given(a_saga(a_wait("pay"))).loses_worker_of("pay").does("pay").hears("pay", error="no")
    story.expect(SagaStatus.COMPENSATING, opens="undo pay", pay=StepStatus.UNKNOWN)


def test_a_refusal_counts_only_once_it_was_asked() -> None:
    story = given(a_saga(a_wait("pay"))).loses_worker_of("pay").hears("pay", error="no").expect(opens="pay")
    story.does("pay").expect(SagaStatus.COMPENSATING)


def test_no_answer_in_time_leaves_the_step_unknown() -> None:
    story = waiting(deadline=30)
    assert story.next_due == NOW + 30
    story.expect_no_change(Ticked(NOW + 29.9))
    story = story.later(30).expect(SagaStatus.COMPENSATING, opens="undo pay", pay=StepStatus.UNKNOWN)
    story.expect(reason="step 'pay' has an unknown outcome (no answer in time)")


def test_no_answer_in_time_is_probed_where_there_is_a_probe() -> None:
    story = waiting(deadline=30, probe=True).later(30).expect(SagaStatus.STARTED, opens="probe pay")
    story.probes("pay", happened=True).expect(opens="z")
    story.hears("pay").expect(opens="z")
    story.probes("pay", happened=False).expect(SagaStatus.COMPENSATED, pay=StepStatus.FAILED)


def test_an_answer_that_crosses_a_probe_with_another_output_is_undone_too() -> None:
    story = waiting(deadline=30, probe=True).later(30).claims("pay", PROBE).hears("pay", "paid twice")
    story = story.happens(Probed("pay", 1, True, story.now, output="paid")).expect(opens="z")
    story = story.compensation_is_requested()
    story = story.expect(opens="undo pay").undoes("pay").expect(SagaStatus.COMPENSATING, opens="undo pay")
    story.undoes("pay").expect(SagaStatus.COMPENSATED)


def test_an_answer_in_time_is_not_undone_by_the_watch() -> None:
    waiting(deadline=30).hears("pay").expect_no_change(Ticked(NOW + 99))


def test_the_wait_for_an_answer_begins_when_it_was_asked() -> None:
    story = given(a_saga(a_wait("pay", deadline=30))).claims("pay").later(20).succeeds("pay")
    assert story.next_due == NOW + 50


def test_a_step_that_waits_when_the_saga_turns_back_is_unknown_and_undone() -> None:
    story = waiting(deadline=30).cancellation_is_requested()
    story.expect(SagaStatus.COMPENSATING, opens="undo pay", pay=StepStatus.UNKNOWN)
    assert story.step("pay").wait_until is None


def test_an_answer_that_comes_while_the_saga_turns_back_is_undone() -> None:
    story = (
        waiting().cancellation_is_requested().hears("pay", "tx-7").expect(pay=StepStatus.UNKNOWN).claims("pay", UNDO)
    )
    assert undo_payload(story.state, "pay") == "tx-7"
    story.succeeds("pay", direction=UNDO).expect(SagaStatus.COMPENSATED)


def test_an_answer_that_comes_while_its_asking_is_awaited_is_undone_however_that_ends() -> None:
    story = given(a_saga(a_wait("pay"))).claims("pay").cancellation_is_requested().hears("pay", "tx-7")
    for ended in (story.succeeds("pay"), story.ends("pay", Fate.ABORTED), story.releases("pay"), story.loses()):
        undoing = ended.expect(SagaStatus.COMPENSATING, opens="undo pay", pay=StepStatus.UNKNOWN).claims("pay", UNDO)
        assert undo_payload(undoing.state, "pay") == "tx-7"


def test_an_answer_after_the_step_was_undone_brings_the_saga_back() -> None:
    story = waiting().cancellation_is_requested().undoes("pay").expect(SagaStatus.COMPENSATED)
    story.hears("pay").expect(SagaStatus.COMPENSATING, opens="undo pay").undoes("pay").expect(SagaStatus.COMPENSATED)


def test_a_refusal_after_the_saga_turned_back_changes_no_step() -> None:
    story = waiting().cancellation_is_requested()
    assert story.hears("pay", error="no").state.steps == story.state.steps


def test_an_answer_to_a_question_that_was_never_asked_is_undone_too() -> None:
    new = given(a_saga(a_step("a"), a_wait("pay", after=["a"])))
    for story in (
        new.cancellation_is_requested().hears("pay", "paid"),
        new.hears("pay", "paid").cancellation_is_requested(),
        new.hears("pay", "paid").fails("a"),
        new.does("a").hears("pay", "paid").fails("pay"),
    ):
        story.expect(SagaStatus.COMPENSATING, opens="undo pay", pay=StepStatus.UNKNOWN)
        undoing = story.claims("pay", UNDO)
        assert undo_payload(undoing.state, "pay") == "paid"
        undoing.succeeds("pay", direction=UNDO).expect(pay=StepStatus.COMPENSATED)


def test_a_refusal_of_what_was_never_asked_leaves_nothing_to_undo() -> None:
    new = given(a_saga(a_step("a"), a_wait("pay", after=["a"])))
    new.hears("pay", error="no").cancellation_is_requested().expect(SagaStatus.COMPENSATED)
    given(a_saga(a_wait("pay", undo=False))).hears("pay", "paid").cancellation_is_requested().expect(
        SagaStatus.COMPENSATED
    )


def test_the_same_answer_twice_counts_once() -> None:
    story = waiting().hears("pay", "paid")
    story.expect_no_change(
        Signalled("pay answer", "t1", NOW, "paid"),
        Signalled("pay answer", "t2", NOW, "paid"),
        Signalled("pay answer", "t2", NOW, error="no"),
    )


def test_a_second_answer_is_kept_and_undone_with_the_first() -> None:
    story = waiting().hears("pay", "one").hears("pay", "two", token="t2").expect(opens="z")
    assert (story.step("pay").output, story.step("pay").late) == ("one", ("two",))
    story = story.cancellation_is_requested().undoes("pay").expect(SagaStatus.COMPENSATING, opens="undo pay")
    assert undo_payload(story.claims("pay", UNDO).state, "pay") == "two"


def test_a_first_answer_after_a_probe_completed_the_step_is_kept_and_undone_too() -> None:
    story = waiting(deadline=30, probe=True).later(30).probes("pay", happened=True).hears("pay", "tx-7")
    assert (story.step("pay").output, story.step("pay").late) == ("pay found", ("tx-7",))
    same = waiting(deadline=30, probe=True).later(30).probes("pay", happened=True).hears("pay", "pay found")
    assert same.step("pay").late == ()


def test_a_first_answer_belies_that_nothing_has_happened() -> None:
    definition = a_saga(
        a_step("buy", pivot=True, undo=False),
        a_wait("ship", after=["buy"], deadline=30, undo=False, probe=True),
        a_step("mail", after=["buy"], undo=False),
    )
    story = given(definition).does("buy", "ship").later(30).probes("ship", happened=False)
    story.expect(SagaStatus.STARTED, ship=StepStatus.FAILED).hears("ship").expect(ship=StepStatus.COMPLETED)


def test_a_second_answer_before_it_was_asked_is_not_listened_to() -> None:
    definition = a_saga(a_step("a"), a_wait("pay", after=["a"]))
    given(definition).hears("pay").expect_no_change(Signalled("pay answer", "t2", NOW, "other"))


def test_a_bounded_number_of_answers_is_kept() -> None:
    story = waiting().hears("pay")
    for number in range(LATE_LIMIT):
        story = story.hears("pay", f"{number}", token=f"again {number}")
    story.expect_no_change(Signalled("pay answer", "last", NOW, "last"))


def test_a_signal_that_nobody_waits_for_changes_nothing() -> None:
    waiting().expect_no_change(Signalled("weather", "t1", NOW, "rain"))
    given(a_saga(a_step("a"))).expect_no_change(Signalled("", "t1", NOW, "rain"))


def test_what_was_said_is_kept_with_its_token() -> None:
    story = waiting().hears("pay", "paid")
    assert story.state.signals == {"pay answer": Received("t1", NOW, "paid")}


def test_an_attempt_to_ask_that_was_given_up_tells_nothing_late() -> None:
    story = given(a_saga(a_wait("pay"))).loses_worker_of("pay").claims("pay").succeeds("pay", "whatever", attempt=1)
    assert story.step("pay").late == ()


def test_after_the_pivot_an_answer_that_comes_too_late_is_still_an_answer() -> None:
    definition = a_saga(
        a_step("buy", pivot=True, undo=False),
        a_wait("ship", after=["buy"], deadline=30, undo=False),
        a_step("mail", after=["buy"], undo=False),
    )
    story = given(definition).does("buy", "ship").later(30).expect(SagaStatus.STARTED, ship=StepStatus.UNKNOWN)
    story.hears("ship").expect(SagaStatus.STARTED, ship=StepStatus.COMPLETED).does("mail").expect(SagaStatus.COMPLETED)
    failed = story.does("mail").expect(SagaStatus.FAILED).hears("ship").expect(SagaStatus.FAILED)
    failed.is_retried().expect(SagaStatus.COMPLETED, ship=StepStatus.COMPLETED)


def test_after_a_refusal_the_outside_is_asked_again_when_an_operator_retries() -> None:
    definition = a_saga(a_step("buy", pivot=True, undo=False), a_wait("ship", after=["buy"], undo=False))
    story = given(definition).does("buy", "ship").hears("ship", error="no").expect(SagaStatus.FAILED)
    story = story.is_retried().expect(SagaStatus.STARTED, opens="ship").does("ship").expect(SagaStatus.STARTED)
    story.hears("ship", token="t2").expect(SagaStatus.COMPLETED)


def test_a_deadline_of_the_saga_and_one_of_the_answer_that_pass_together_both_count() -> None:
    definition = a_saga(
        a_step("buy", pivot=True, undo=False),
        a_wait("ship", after=["buy"], deadline=30, undo=False),
        deadline=timedelta(seconds=20),
    )
    story = given(definition).does("buy", "ship").later(40).expect(SagaStatus.FAILED, ship=StepStatus.UNKNOWN)
    assert story.state.overdue
    story.expect_no_change(Ticked(story.now))


def test_what_an_operator_found_out_about_an_unanswered_step_counts() -> None:
    story = waiting(deadline=30, probe=True).later(30)
    story.is_resolved("pay", Resolution.HAPPENED, "paid").expect(opens="z", pay=StepStatus.COMPLETED)
    story.is_resolved("pay", Resolution.NOT_HAPPENED).expect(SagaStatus.COMPENSATED, pay=StepStatus.FAILED)


@pytest.mark.parametrize("fields", [{}, {"output": "x", "error": "y"}])
def test_the_outside_answers_with_an_output_or_with_an_error(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="with an output, or with an error"):
        Signalled("pay", "t1", NOW, **fields)


def test_what_is_undone_that_was_never_asked_for_takes_the_lock_again_that_was_given_up() -> None:
    story = given(a_saga(a_wait("pay")), lock="key").hears("pay", "paid").cancellation_is_requested()
    story.expect(SagaStatus.COMPENSATING, opens="", owes="take lock key").takes_lock("key").expect(opens="undo pay")
