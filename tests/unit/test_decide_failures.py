"""When an attempt does not succeed: tried again, failed cleanly, or of unknown outcome."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow.core.attempts import INTERRUPTED, LOSS_BUDGET, POISON
from sagaflow.core.events import Fate, WorkerLost
from sagaflow.core.retry import Retry
from sagaflow.core.state import Direction, SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, PATIENT, UNDO, Story, a_saga, a_step, chain, diamond, given

IMPATIENT = Retry(attempts=1)


@pytest.mark.parametrize("fate", [Fate.ABORTED, Fate.REFUSED])
def test_an_attempt_that_certainly_did_nothing_fails_its_step_at_once(fate: Fate) -> None:
    story = given(chain("a", "b")).does("a").fails("b", fate)
    story.expect(SagaStatus.COMPENSATING, opens="undo a", b=StepStatus.FAILED, reason="step 'b' failed")


@pytest.mark.parametrize("fate", [Fate.FINAL, Fate.UNRECORDABLE])
def test_an_attempt_that_may_have_done_something_leaves_its_step_unknown_at_once(fate: Fate) -> None:
    story = given(chain("a", "b")).does("a").fails("b", fate).expect(SagaStatus.COMPENSATING, opens="undo b")
    story.expect(b=StepStatus.UNKNOWN, reason=f"step 'b' has an unknown outcome ({fate})")


def test_a_retryable_attempt_is_followed_by_another_after_a_growing_wait() -> None:
    story = given(chain("a")).fails("a", Fate.RETRYABLE).expect(SagaStatus.STARTED, opens="a", a=StepStatus.STARTED)
    story.expect_at(10, "a").later(10).fails("a", Fate.RETRYABLE).expect_at(20, "a")


def test_a_handler_can_say_itself_when_it_is_to_be_tried_again() -> None:
    given(chain("a")).claims("a").ends("a", Fate.RETRYABLE, after=3).expect_at(3, "a")
    given(chain("a")).claims("a").ends("a", Fate.RETRYABLE, after=0).expect_at(0, "a")


def test_two_attempts_draw_their_jitter_apart() -> None:
    definition = a_saga(a_step("a", retry=Retry(factor=1)), a_step("b", retry=Retry(factor=1)))
    story = given(definition).fails("a", Fate.RETRYABLE).fails("b", Fate.RETRYABLE)
    first, second = story.step("a").forward.due, story.step("b").forward.due
    third = story.later(1).fails("a", Fate.RETRYABLE).step("a").forward.due
    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first - NOW, second - NOW, third - NOW - 1}) == 3
    assert all(0 <= wait < 1 for wait in (first - NOW, second - NOW, third - NOW - 1))


def test_after_the_last_attempt_the_step_is_of_unknown_outcome() -> None:
    story = given(chain("a"))
    for _ in range(3):
        story = story.fails("a", Fate.RETRYABLE).later(60)
    story.expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.UNKNOWN)
    story.expect(reason="step 'a' has an unknown outcome (retryable)")


def test_a_wait_that_a_handler_asked_for_is_no_attempt_more_than_the_policy_has() -> None:
    story = given(a_saga(a_step("a", retry=IMPATIENT))).claims("a").ends("a", Fate.RETRYABLE, after=3)
    story.expect(a=StepStatus.UNKNOWN, opens="undo a")


def test_a_clean_end_after_an_unclean_attempt_leaves_the_step_unknown() -> None:
    story = given(chain("a")).fails("a", Fate.RETRYABLE).later(10).fails("a", Fate.ABORTED)
    story.expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.UNKNOWN)


def test_the_first_error_stays_and_the_last_one_moves_on() -> None:
    story = given(chain("a")).claims("a").ends("a", Fate.RETRYABLE, error="one")
    story = story.later(10).claims("a").ends("a", Fate.RETRYABLE, error="two").later(20).does("a")
    track = story.step("a").forward
    assert (track.first_error, track.last_error) == ("one", "two")


def test_an_error_that_is_empty_is_an_error_all_the_same() -> None:
    story = given(chain("a")).claims("a").ends("a", Fate.RETRYABLE, error="")
    story = story.later(10).claims("a").ends("a", Fate.RETRYABLE, error="two")
    assert story.step("a").forward.first_error == ""


def test_the_reason_of_an_attempt_is_forgotten_with_the_next_one() -> None:
    story = given(chain("a")).fails("a", Fate.RETRYABLE)
    assert story.step("a").forward.reason == "retryable"
    assert story.later(10).claims("a").step("a").forward.reason is None


def test_a_lost_worker_opens_its_step_again_at_once() -> None:
    story = given(chain("a")).claims("a", by="w1").later(9).loses("w1")
    story.expect(SagaStatus.STARTED, opens="a", a=StepStatus.STARTED).expect_at(0, "a")
    assert story.step("a").forward.reason == "lost"


def test_losses_do_not_use_up_the_attempts_of_the_policy() -> None:
    story = given(a_saga(a_step("a", retry=IMPATIENT)))
    for _ in range(LOSS_BUDGET - 1):
        story = story.loses_worker_of("a")
    story.expect(SagaStatus.STARTED, opens="a").does("a").expect(SagaStatus.COMPLETED)


def test_a_step_that_kills_every_worker_is_poison() -> None:
    story = given(chain("a"))
    for _ in range(LOSS_BUDGET):
        story = story.loses_worker_of("a")
    story.expect(SagaStatus.COMPENSATING, a=StepStatus.UNKNOWN, opens="undo a")
    story.expect(reason=f"step 'a' has an unknown outcome ({POISON})")


def test_a_step_that_outlasts_one_deployment_after_another_is_no_poison() -> None:
    story = given(a_saga(a_step("a", retry=IMPATIENT)))
    for _ in range(2 * LOSS_BUDGET):
        story = story.claims("a").releases("a", begun=True).expect(opens="a", a=StepStatus.STARTED).expect_at(0, "a")
        assert story.step("a").forward.reason == INTERRUPTED
    story.fails("a").expect(SagaStatus.COMPENSATING, a=StepStatus.UNKNOWN, opens="undo a")


def test_a_clean_end_after_a_loss_leaves_the_step_unknown() -> None:
    given(chain("a")).loses_worker_of("a").fails("a").expect(a=StepStatus.UNKNOWN, opens="undo a")


def test_a_lost_worker_loses_all_that_it_runs_and_nothing_else() -> None:
    story = given(diamond()).does("top").claims("left", by="w1").claims("right", by="w2")
    story.loses("w1").expect(opens="left", left=StepStatus.STARTED, right=StepStatus.STARTED)
    both = story.loses("w2").claims("right", by="w1").loses("w1").expect(opens="left, right")
    both.expect_no_change(WorkerLost("w1", NOW), WorkerLost("nobody", NOW))


def test_siblings_of_a_broken_step_are_awaited_and_those_not_begun_never_start() -> None:
    story = given(diamond()).does("top").claims("left").fails("right", Fate.ABORTED)
    story.expect(SagaStatus.COMPENSATING, opens="", left=StepStatus.STARTED, join=StepStatus.PENDING)
    story.succeeds("left").expect(opens="undo left", left=StepStatus.COMPLETED)
    story.ends("left", Fate.ABORTED).expect(opens="undo top", left=StepStatus.FAILED)
    story.ends("left", Fate.RETRYABLE).expect(opens="undo left", left=StepStatus.UNKNOWN)
    story.loses().expect(opens="undo left", left=StepStatus.UNKNOWN)
    story.releases("left").expect(opens="undo top", left=StepStatus.PENDING)
    story.releases("left", begun=True).expect(opens="undo left", left=StepStatus.UNKNOWN)


def test_a_sibling_that_waits_for_another_attempt_ends_at_once() -> None:
    story = given(diamond()).does("top").fails("left", Fate.RETRYABLE).fails("right", Fate.ABORTED)
    story.expect(SagaStatus.COMPENSATING, opens="undo left", left=StepStatus.UNKNOWN)


def test_the_reason_names_the_step_that_broke_and_stays_when_others_break_after_it() -> None:
    story = given(diamond()).does("top").claims("left").fails("right", Fate.FINAL).ends("left", Fate.ABORTED)
    story.expect(reason="step 'right' has an unknown outcome (final)")


def undo_ready(undo_retry: Retry = PATIENT) -> Story:
    return given(a_saga(a_step("a", undo_retry=undo_retry))).does("a").compensation_is_requested()


def test_a_compensation_has_a_policy_of_its_own() -> None:
    story = undo_ready().fails_to_undo("a", Fate.RETRYABLE).expect(opens="undo a", a=StepStatus.COMPENSATING)
    story.expect_at(10, "a", UNDO).later(10).undoes("a").expect(SagaStatus.COMPENSATED)


@pytest.mark.parametrize("fate", [Fate.ABORTED, Fate.FINAL, Fate.REFUSED])
def test_a_compensation_that_fails_for_good_is_visible_as_such(fate: Fate) -> None:
    story = undo_ready().later(5).fails_to_undo("a", fate)
    story.expect(SagaStatus.FAILED, opens="", a=StepStatus.COMPENSATION_FAILED)
    story.expect(reason=f"asked to undo; compensation 'undo_a' of step 'a' failed ({fate})")
    assert story.state.completed_at == NOW + 5


def test_a_compensation_is_exhausted_after_the_attempts_of_its_policy() -> None:
    story = undo_ready(Retry(attempts=2, backoff=timedelta(0)))
    story = story.fails_to_undo("a", Fate.RETRYABLE).expect(SagaStatus.COMPENSATING)
    story.fails_to_undo("a", Fate.RETRYABLE).expect(SagaStatus.FAILED, a=StepStatus.COMPENSATION_FAILED)


def test_a_compensation_whose_worker_is_lost_runs_again() -> None:
    story = undo_ready(IMPATIENT).loses_worker_of("a", UNDO).expect(opens="undo a", a=StepStatus.COMPENSATING)
    story.undoes("a").expect(SagaStatus.COMPENSATED)


def test_a_compensation_that_outlasts_one_deployment_after_another_runs_again() -> None:
    story = undo_ready(IMPATIENT)
    for _ in range(2 * LOSS_BUDGET):
        story = story.claims("a", UNDO).releases("a", UNDO, begun=True)
        story = story.expect(opens="undo a", a=StepStatus.COMPENSATING)
    story.undoes("a").expect(SagaStatus.COMPENSATED)


def test_a_compensation_that_kills_every_worker_is_poison() -> None:
    story = undo_ready()
    for _ in range(LOSS_BUDGET):
        story = story.loses_worker_of("a", UNDO)
    story.expect(SagaStatus.FAILED, a=StepStatus.COMPENSATION_FAILED)
    story.expect(reason="asked to undo; compensation 'undo_a' of step 'a' failed (poison)")


def test_a_compensation_that_was_released_is_open_again() -> None:
    story = undo_ready(IMPATIENT).claims("a", UNDO).later(2).releases("a", UNDO).expect(opens="undo a")
    story.expect_at(0, "a", UNDO)
    assert story.step("a").undoing is None


@pytest.mark.parametrize("direction", [FORWARD, UNDO])
def test_errors_of_both_directions_are_kept_apart(direction: Direction) -> None:
    story = given(chain("a")).claims("a").ends("a", Fate.FINAL, error="forth")
    story = story.claims("a", UNDO).ends("a", Fate.FINAL, direction=UNDO, error="back")
    assert story.step("a").track(direction).first_error == ("forth" if direction is FORWARD else "back")
