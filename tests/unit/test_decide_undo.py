"""Going back: what is undone, in which order, and how a compensation comes to its end."""

from __future__ import annotations

from sagaflow.core.events import Claimed, Fate, Succeeded
from sagaflow.core.retry import Retry
from sagaflow.core.state import MAIN, SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, UNDO, a_saga, a_step, chain, diamond, given


def test_a_first_step_that_fails_ends_the_saga_as_compensated() -> None:
    story = given(chain("a", "b")).later(2).fails("a").expect(SagaStatus.COMPENSATED, opens="", b=StepStatus.PENDING)
    assert story.state.completed_at == NOW + 2


def test_steps_are_undone_in_the_reverse_of_their_order() -> None:
    story = given(chain("a", "b", "c", "d")).does("a", "b", "c").fails("d").expect(opens="undo c")
    story = story.undoes("c").expect(opens="undo b", c=StepStatus.COMPENSATED).undoes("b").expect(opens="undo a")
    story.undoes("a").expect(SagaStatus.COMPENSATED, opens="", reason="step 'd' failed")


def test_independent_steps_are_undone_in_parallel_and_what_they_build_on_after_both() -> None:
    story = given(diamond()).does("top", "left", "right").fails("join").expect(opens="undo left, undo right")
    story.undoes("right").expect(opens="undo left").undoes("left").expect(opens="undo top")


def test_a_step_waits_for_its_dependents_through_steps_that_have_nothing_to_undo() -> None:
    definition = a_saga(a_step("a"), a_step("b", after=["a"], undo=False), a_step("c", after=["b"]))
    story = given(definition).does("a", "b", "c").compensation_is_requested().expect(opens="undo c")
    story.undoes("c").expect(opens="undo a", b=StepStatus.COMPLETED).undoes("a").expect(SagaStatus.COMPENSATED)


def test_what_can_be_undone_does_not_wait_for_a_sibling_that_still_runs() -> None:
    story = given(diamond()).does("top", "left").claims("right").cancellation_is_requested().expect(opens="undo left")
    story.undoes("left").expect(SagaStatus.COMPENSATING, opens="").succeeds("right").expect(opens="undo right")


def test_an_unknown_step_without_a_compensation_has_nothing_to_undo() -> None:
    definition = a_saga(a_step("a"), a_step("b", after=["a"], undo=False))
    story = given(definition).does("a").fails("b", Fate.FINAL).expect(opens="undo a", b=StepStatus.UNKNOWN)
    story.undoes("a").expect(SagaStatus.COMPENSATED, b=StepStatus.UNKNOWN)


def test_a_compensation_claims_its_step_and_says_what_it_was_given() -> None:
    story = given(chain("a")).does("a").compensation_is_requested().claims("a", UNDO, by="w3")
    story.expect(SagaStatus.COMPENSATING, opens="", a=StepStatus.COMPENSATING)
    step = story.step("a")
    assert step.undo.claim is not None
    assert (step.undo.claim.owner, step.undo.attempt, step.undoing) == ("w3", 1, MAIN)


def test_a_compensation_that_succeeded_is_not_run_again() -> None:
    story = given(chain("a")).does("a").compensation_is_requested().undoes("a").expect(a=StepStatus.COMPENSATED)
    story.expect_no_change(Claimed("a", UNDO, "w1", NOW), Succeeded("a", UNDO, 1, None, NOW))
    assert story.step("a").output == "a done"
    assert story.step("a").undoing is None


def test_nothing_starts_forward_once_compensation_has_begun() -> None:
    story = given(diamond()).does("top").claims("left").cancellation_is_requested()
    story.expect_no_change(Claimed("right", FORWARD, "w1", NOW)).succeeds("left").expect(join=StepStatus.PENDING)


def test_a_compensation_that_failed_stops_only_what_must_wait_for_it() -> None:
    definition = a_saga(a_step("a"), a_step("b", after=["a"]), a_step("c"), a_step("d", after=["c"]))
    story = given(definition).does("a", "b", "c", "d").compensation_is_requested().fails_to_undo("b")
    story.expect(SagaStatus.COMPENSATING, opens="undo d").undoes("d", "c")
    story = story.undoes("d", "c").expect(SagaStatus.FAILED, a=StepStatus.COMPLETED, c=StepStatus.COMPENSATED)
    story.expect(reason="asked to undo; compensation 'undo_b' of step 'b' failed (final)")


def test_an_unknown_outcome_is_undone_without_an_output() -> None:
    story = given(chain("a")).fails("a", Fate.FINAL).expect(opens="undo a").claims("a", UNDO)
    assert story.step("a").undoing == MAIN
    story.succeeds("a", direction=UNDO).expect(SagaStatus.COMPENSATED, a=StepStatus.COMPENSATED)


def test_a_compensation_that_does_not_accept_an_unknown_outcome_is_never_called_with_one() -> None:
    definition = a_saga(a_step("a"), a_step("b", after=["a"], strict=True))
    story = given(definition).does("a").later(6).fails("b", Fate.FINAL)
    story.expect(SagaStatus.FAILED, opens="", a=StepStatus.COMPLETED, b=StepStatus.UNKNOWN)
    because = "step 'b' has an unknown outcome (final)"
    story.expect(reason=f"{because}; compensation 'undo_b' does not accept the unknown outcome of step 'b'")
    assert story.state.completed_at == NOW + 6


def test_a_compensation_that_wants_an_output_gets_the_one_there_is() -> None:
    story = given(a_saga(a_step("a", strict=True))).does("a").compensation_is_requested()
    story.undoes("a").expect(SagaStatus.COMPENSATED)


def test_others_are_undone_although_one_unknown_outcome_cannot_be() -> None:
    definition = a_saga(a_step("a"), a_step("b", strict=True))
    story = given(definition).does("a").fails("b", Fate.FINAL).expect(SagaStatus.COMPENSATING, opens="undo a")
    story.undoes("a").expect(SagaStatus.FAILED, a=StepStatus.COMPENSATED, b=StepStatus.UNKNOWN)


def test_a_failed_compensation_is_named_before_an_unknown_outcome() -> None:
    definition = a_saga(a_step("a", strict=True), a_step("b"))
    story = given(definition).does("b").fails("a", Fate.FINAL).fails_to_undo("b").expect(SagaStatus.FAILED)
    because = "step 'a' has an unknown outcome (final)"
    story.expect(reason=f"{because}; compensation 'undo_b' of step 'b' failed (final)")


def test_a_retry_of_a_compensation_waits_while_others_go_on() -> None:
    story = given(diamond()).does("top", "left", "right").fails("join").fails_to_undo("left", Fate.RETRYABLE)
    story = story.undoes("right").expect(SagaStatus.COMPENSATING, opens="undo left").expect_at(10, "left", UNDO)
    story.later(10).undoes("left").expect(opens="undo top")


def test_the_moment_at_which_an_undo_was_opened_stays_when_others_move() -> None:
    story = given(diamond()).does("top", "left", "right").fails("join").later(5).undoes("right")
    assert story.step("left").undo.due == NOW


def test_a_saga_that_only_has_steps_without_compensation_ends_at_once() -> None:
    definition = a_saga(a_step("a", undo=False, retry=Retry(attempts=1)))
    given(definition).fails("a", Fate.FINAL).expect(SagaStatus.COMPENSATED, a=StepStatus.UNKNOWN)
