"""Probes: what became of an attempt nobody knows the end of is found out, before it is run again or undone."""

from __future__ import annotations

import pytest

from sagaflow.core.attempts import LOSS_BUDGET
from sagaflow.core.events import Claimed, Ended, Fate, Probed, Succeeded
from sagaflow.core.state import Direction, SagaStatus, StepStatus
from sagaflow.core.work import open_work, undo_payload
from tests.unit.story import FORWARD, NOW, PROBE, UNDO, Story, a_saga, a_step, given


def probed() -> Story:
    return given(a_saga(a_step("a", probe=True), a_step("b", after=["a"])))


def lost() -> Story:
    return probed().loses_worker_of("a").expect(SagaStatus.STARTED, opens="probe a", a=StepStatus.STARTED)


def exhausted() -> Story:
    story = probed().fails("a", Fate.FINAL)
    return story.expect(SagaStatus.STARTED, opens="probe a", a=StepStatus.STARTED)


def turned() -> Story:
    return lost().cancellation_is_requested().expect(SagaStatus.COMPENSATING, opens="probe a", a=StepStatus.UNKNOWN)


def probe_in_vain(story: Story) -> Story:
    for _ in range(3):
        story = story.probes("a", happened=None).later(60)
    return story


def side(story: Story) -> list[Direction]:
    return [work.side for work in open_work(story.definition, story.state)]


def test_a_probe_is_asked_before_a_step_runs_again_after_a_loss() -> None:
    lost().expect_no_change(Claimed("a", FORWARD, "w1", NOW)).expect_at(0, "a", PROBE)


def test_a_probe_is_asked_when_the_wait_after_a_timeout_is_over() -> None:
    probed().fails("a", Fate.TIMED_OUT).expect(opens="probe a").expect_at(10, "a", PROBE)


def test_no_probe_is_asked_after_an_exception_that_is_retried() -> None:
    probed().fails("a", Fate.RETRYABLE).expect(opens="a")


def test_a_step_that_has_happened_is_completed_with_what_the_probe_found() -> None:
    story = lost().probes("a", happened=True).expect(SagaStatus.STARTED, opens="b", a=StepStatus.COMPLETED)
    assert story.step("a").output == "a found"


def test_a_step_that_has_not_happened_runs_again_and_may_still_fail_cleanly() -> None:
    story = lost().probes("a", happened=False).expect(opens="a", a=StepStatus.STARTED)
    story.fails("a").expect(SagaStatus.COMPENSATED, a=StepStatus.FAILED)


def test_the_output_of_a_late_attempt_after_a_probe_said_it_had_not_happened_is_undone() -> None:
    story = lost().probes("a", happened=False).succeeds("a", "late", attempt=1).fails("a").expect(opens="probe a")
    story = story.probes("a", happened=False).expect(a=StepStatus.UNKNOWN)
    story = story.expect(SagaStatus.COMPENSATING, opens="undo a").claims("a", UNDO)
    assert undo_payload(story.state, "a") == "late"


def test_a_late_output_after_a_clean_end_by_probe_brings_the_saga_back() -> None:
    story = turned().probes("a", happened=False).expect(SagaStatus.COMPENSATED, a=StepStatus.FAILED)
    story = story.succeeds("a", "late").expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.UNKNOWN)
    assert undo_payload(story.claims("a", UNDO).state, "a") == "late"
    story.undoes("a").expect(SagaStatus.COMPENSATED)


def test_a_probe_that_is_belied_by_a_late_output_fails_nothing_cleanly() -> None:
    story = turned().claims("a", PROBE).succeeds("a", "late").expect(opens="")
    story = story.happens(Probed("a", 1, False, NOW)).expect(SagaStatus.COMPENSATING, opens="undo a")
    assert undo_payload(story.claims("a", UNDO).state, "a") == "late"


def test_a_step_whose_attempts_are_used_up_is_probed_before_the_saga_turns_back() -> None:
    definition = a_saga(a_step("pay", pivot=True, probe=True, undo=False), a_step("b", after=["pay"], undo=False))
    story = given(definition).fails("pay", Fate.FINAL).expect(SagaStatus.STARTED, opens="probe pay")
    story.probes("pay", happened=True).expect(SagaStatus.STARTED, opens="b")
    story.probes("pay", happened=False).expect(SagaStatus.COMPENSATED, pay=StepStatus.FAILED)


def test_a_late_output_belies_a_probe_also_while_the_saga_is_committed() -> None:
    definition = a_saga(a_step("pay", pivot=True, probe=True, undo=False))
    story = given(definition).fails("pay", Fate.FINAL).succeeds("pay", "late").probes("pay", happened=False)
    story.expect(SagaStatus.FAILED, pay=StepStatus.UNKNOWN)


def test_an_unknown_step_is_probed_before_it_is_undone() -> None:
    story = probed().fails("a", Fate.RETRYABLE).cancellation_is_requested().expect(opens="probe a")
    assert side(story) == [UNDO]
    found = story.probes("a", happened=True).expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.COMPLETED)
    assert undo_payload(found.claims("a", UNDO).state, "a") == "a found"
    story.probes("a", happened=False).expect(SagaStatus.COMPENSATED, a=StepStatus.FAILED)


def test_a_probe_that_goes_with_a_running_saga_is_work_of_those_who_do_steps() -> None:
    assert side(lost()) == [FORWARD]


def test_a_probe_that_cannot_tell_is_asked_again_when_it_says_or_its_policy_says() -> None:
    lost().probes("a", happened=None, after=3).expect(opens="probe a").expect_at(3, "a", PROBE)
    lost().probes("a", happened=None).expect_at(10, "a", PROBE)
    story = lost().claims("a", PROBE).ends("a", Fate.RETRYABLE, direction=PROBE, after=7).expect_at(7, "a", PROBE)
    assert story.step("a").probe.first_error == "error"


def test_a_probe_that_could_not_tell_often_enough_leaves_the_step_unknown_and_it_is_undone_as_such() -> None:
    story = probe_in_vain(lost()).expect(SagaStatus.COMPENSATING, opens="undo a", a=StepStatus.UNKNOWN)
    assert story.step("a").unresolved
    assert undo_payload(story.claims("a", UNDO).state, "a") is None


@pytest.mark.parametrize("fate", [Fate.FINAL, Fate.ABORTED, Fate.REFUSED, Fate.CANCELLED])
def test_a_probe_that_fails_for_good_leaves_the_step_unknown(fate: Fate) -> None:
    story = exhausted().claims("a", PROBE).ends("a", fate, direction=PROBE).expect(opens="undo a")
    assert story.step("a").unresolved


def test_an_unresolved_outcome_that_the_compensation_does_not_accept_fails_the_saga() -> None:
    story = given(a_saga(a_step("a", probe=True, strict=True))).fails("a", Fate.FINAL)
    story = probe_in_vain(story).expect(SagaStatus.FAILED, a=StepStatus.UNKNOWN)
    story.is_retried().expect(SagaStatus.COMPENSATING, opens="probe a").probes("a", happened=False).expect(
        SagaStatus.COMPENSATED
    )


def test_a_probe_whose_worker_is_lost_is_asked_again_until_it_is_poison() -> None:
    story = lost()
    for _ in range(LOSS_BUDGET - 1):
        story = story.loses_worker_of("a", PROBE).expect(opens="probe a")
    story = story.loses_worker_of("a", PROBE).expect(SagaStatus.COMPENSATING, opens="undo a")
    assert story.step("a").probe.reason == "poison"


def test_a_probe_that_was_released_is_open_again() -> None:
    for begun in (False, True):
        story = lost().claims("a", PROBE).releases("a", PROBE, begun=begun)
        story.expect(opens="probe a", a=StepStatus.STARTED)


def test_a_step_that_was_cut_off_is_probed_before_it_runs_again() -> None:
    lost().probes("a", happened=False).claims("a").releases("a", begun=True).expect(opens="probe a")


def test_a_probe_that_runs_when_the_saga_turns_back_is_awaited() -> None:
    story = lost().claims("a", PROBE).cancellation_is_requested().expect(SagaStatus.COMPENSATING, opens="")
    story.happens(Probed("a", 1, True, NOW, "found")).expect(opens="undo a", a=StepStatus.COMPLETED)
    story.happens(Probed("a", 1, False, NOW)).expect(SagaStatus.COMPENSATED)


def test_what_a_late_output_has_told_is_not_probed_any_more() -> None:
    turned().succeeds("a", "late").expect(opens="undo a")


def test_a_step_is_not_undone_while_its_probe_runs_whatever_comes_late() -> None:
    story = turned().claims("a", PROBE).succeeds("a", "late").expect(SagaStatus.COMPENSATING, opens="")
    story = story.happens(Probed("a", 1, True, NOW, "late")).expect(opens="undo a", a=StepStatus.COMPLETED)
    story.undoes("a").expect(SagaStatus.COMPENSATED, opens="")


def test_nobody_probes_what_cannot_be_undone_anyway() -> None:
    story = given(a_saga(a_step("a", probe=True, undo=False))).loses_worker_of("a").expect(opens="probe a")
    story.cancellation_is_requested().expect(SagaStatus.COMPENSATED, opens="", a=StepStatus.UNKNOWN)


def test_what_is_said_of_another_probe_changes_nothing() -> None:
    story = lost().claims("a", PROBE)
    story.expect_no_change(
        Probed("a", 2, True, NOW, "x"),
        Probed("nobody", 1, False, NOW),
        Probed("a", 0, None, NOW),
        Succeeded("a", PROBE, 1, "x", NOW),
        Ended("a", PROBE, 2, Fate.FINAL, "e", NOW),
    )
    story.happens(Probed("a", 1, True, NOW, "x")).expect_no_change(Probed("a", 1, True, NOW, "x"))


def test_a_step_that_is_probed_between_its_attempts_has_a_fresh_budget_of_probes_each_time() -> None:
    story = lost().probes("a", happened=None, after=0).probes("a", happened=False).loses_worker_of("a")
    assert story.step("a").probe.tries == 0
    assert story.step("a").probe.attempt == 2
