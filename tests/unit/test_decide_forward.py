"""Going forward: what opens when, who may claim it, and how an attempt ends."""

from __future__ import annotations

import pytest

from sagaflow.core.events import Claimed, Ended, Fate, Released, Succeeded
from sagaflow.core.state import Claim, SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, UNDO, chain, diamond, given


def test_a_new_saga_opens_the_steps_that_wait_for_nothing() -> None:
    given(diamond()).expect(SagaStatus.STARTED, opens="top", top=StepStatus.PENDING).expect_at(0, "top")


def test_a_step_opens_when_all_that_it_waits_for_is_completed() -> None:
    story = given(diamond()).does("top").expect(opens="left, right")
    story.does("left").expect(opens="right").does("right").expect(opens="join")


def test_a_skipped_step_is_as_good_as_a_completed_one() -> None:
    story = given(diamond()).does("top").with_step("left", status=StepStatus.SKIPPED)
    story.does("right").expect(opens="left, join").does("join").expect(SagaStatus.COMPLETED)


def test_completing_one_step_leaves_the_moment_alone_at_which_another_opened() -> None:
    story = given(diamond()).does("top").later(5).does("left")
    assert story.step("right").forward.due == NOW


def test_a_saga_is_completed_with_its_last_step() -> None:
    story = given(chain("a", "b")).does("a").later(7).does("b").expect(SagaStatus.COMPLETED, opens="")
    assert story.state.completed_at == NOW + 7
    assert story.step("a").output == "a done"


def test_a_claim_says_who_runs_the_next_attempt() -> None:
    story = given(chain("a")).claims("a", by="w7").expect(opens="", a=StepStatus.STARTED)
    track = story.step("a").forward
    assert (track.claim, track.attempt, track.due, track.started_at) == (Claim("w7", NOW), 1, None, NOW)


def test_what_is_claimed_cannot_be_claimed_again() -> None:
    given(chain("a")).claims("a").expect_no_change(Claimed("a", FORWARD, "w2", NOW), Claimed("a", FORWARD, "w1", NOW))


def test_only_what_is_open_can_be_claimed() -> None:
    story = given(chain("a", "b"))
    story.expect_no_change(
        Claimed("b", FORWARD, "w1", NOW),
        Claimed("a", UNDO, "w1", NOW),
        Claimed("nobody", FORWARD, "w1", NOW),
        Claimed("a", FORWARD, "w1", NOW - 1),
    )


def test_an_output_completes_its_step_and_is_kept() -> None:
    story = given(chain("a", "b")).claims("a").later(3).succeeds("a", "paid").expect(a=StepStatus.COMPLETED)
    assert story.step("a").output == "paid"
    assert story.step("a").forward.claim is None
    assert story.step("a").forward.ended_at == NOW + 3


def test_a_result_that_comes_twice_counts_once() -> None:
    story = given(chain("a", "b")).does("a")
    story.expect_no_change(Succeeded("a", FORWARD, 1, "a done", NOW), Ended("a", FORWARD, 1, Fate.FINAL, "e", NOW))


@pytest.mark.parametrize("attempt", [-1, 0, 2, 99])
def test_what_is_said_of_another_attempt_than_the_latest_changes_nothing(attempt: int) -> None:
    given(chain("a")).claims("a").expect_no_change(
        Succeeded("a", FORWARD, attempt, "x", NOW),
        Ended("a", FORWARD, attempt, Fate.ABORTED, "e", NOW),
        Released("a", FORWARD, attempt, NOW),
        Succeeded("a", UNDO, attempt, None, NOW),
    )


def test_what_is_said_of_an_unknown_step_changes_nothing() -> None:
    given(chain("a")).claims("a").expect_no_change(
        Succeeded("nobody", FORWARD, 1, "x", NOW),
        Ended("nobody", FORWARD, 1, Fate.ABORTED, "e", NOW),
        Released("nobody", FORWARD, 1, NOW),
    )


def test_a_released_claim_is_no_attempt_that_began() -> None:
    story = given(chain("a", "b")).claims("a").later(4).releases("a").expect(opens="a", a=StepStatus.PENDING)
    story.expect_at(0, "a")
    assert story.step("a").forward.tries == 0
    assert story.claims("a").attempt("a") == 2


def test_a_step_whose_clean_claim_was_released_may_still_fail_cleanly() -> None:
    given(chain("a")).claims("a").releases("a").fails("a").expect(SagaStatus.COMPENSATED, a=StepStatus.FAILED)


def test_a_released_claim_does_not_wash_an_earlier_attempt_clean() -> None:
    story = given(chain("a")).loses_worker_of("a").claims("a").releases("a").expect(opens="a", a=StepStatus.STARTED)
    story.cancellation_is_requested().expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.UNKNOWN)
