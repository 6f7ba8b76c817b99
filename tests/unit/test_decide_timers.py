"""Time: delays, the deadline of compensations, cancelled siblings, and when somebody must look again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagaflow.core.events import Claimed, Fate, Ticked
from sagaflow.core.retry import Retry
from sagaflow.core.state import SagaStatus, StepStatus
from sagaflow.core.work import unwanted
from tests.unit.story import FORWARD, NOW, PROBE, UNDO, Story, a_saga, a_step, given

FOREVER = Retry(attempts=None, backoff=timedelta(seconds=10), factor=1, jitter=False)


def hurried(**fields: Any) -> Story:
    """``b`` after ``a``, both done, to be undone within a minute."""
    definition = a_saga(a_step("a"), a_step("b", after=["a"], **fields), compensation_deadline=timedelta(seconds=60))
    return given(definition).does("a")


def test_a_step_waits_for_its_delay_once_it_could_begin() -> None:
    story = given(a_saga(a_step("a"), a_step("b", after=["a"], delay=timedelta(seconds=5)))).does("a")
    story.expect_no_change(Claimed("b", FORWARD, "w1", NOW + 4.9)).expect_at(5, "b")
    assert story.next_due == NOW + 5


def test_a_delay_that_runs_when_the_saga_turns_back_ends() -> None:
    story = given(a_saga(a_step("a"), a_step("b", after=["a"], delay=timedelta(seconds=5)))).does("a")
    story.cancellation_is_requested().expect(opens="undo a", b=StepStatus.PENDING)


def test_compensating_has_a_deadline_from_when_the_saga_turned_back() -> None:
    story = hurried().does("b").later(7).compensation_is_requested().claims("b", UNDO)
    assert story.next_due == NOW + 67
    story.expect_no_change(Ticked(NOW + 66.9))


def test_when_compensating_takes_too_long_nothing_more_is_undone() -> None:
    story = hurried().does("b").compensation_is_requested().later(60)
    story.expect(SagaStatus.FAILED, opens="", a=StepStatus.COMPLETED, b=StepStatus.COMPLETED)
    story.expect(reason="asked to undo; its deadline for compensations has passed")
    assert story.next_due is None


def test_a_compensation_that_runs_when_the_time_is_up_is_awaited() -> None:
    story = hurried().does("b").compensation_is_requested().claims("b", UNDO).later(60).expect(SagaStatus.COMPENSATING)
    assert story.next_due is None
    story.succeeds("b", direction=UNDO).expect(SagaStatus.FAILED, a=StepStatus.COMPLETED, b=StepStatus.COMPENSATED)
    failed = story.ends("b", Fate.RETRYABLE, direction=UNDO).expect(SagaStatus.FAILED, opens="")
    failed.is_retried().expect(SagaStatus.COMPENSATING, opens="undo b")
    story.loses().expect(SagaStatus.FAILED, opens="")
    story.releases("b", UNDO).expect(SagaStatus.FAILED, opens="")


def test_a_compensation_that_waits_for_its_next_attempt_when_the_time_is_up_has_failed() -> None:
    story = hurried(undo_retry=FOREVER).does("b").compensation_is_requested().fails_to_undo("b", Fate.RETRYABLE)
    story = story.later(60).expect(SagaStatus.FAILED, b=StepStatus.COMPENSATION_FAILED)
    story.expect(reason="asked to undo; compensation 'undo_b' of step 'b' failed (its deadline has passed)")


def test_a_probe_does_not_go_on_when_the_time_is_up() -> None:
    story = hurried(probe=True, undo_retry=FOREVER).loses_worker_of("b").cancellation_is_requested()
    story.later(60).expect(SagaStatus.FAILED, opens="", b=StepStatus.UNKNOWN)
    running = story.claims("b", PROBE).later(60).expect(SagaStatus.COMPENSATING, opens="")
    running.ends("b", Fate.RETRYABLE, direction=PROBE).expect(SagaStatus.FAILED, opens="")


def test_an_operator_gives_compensating_another_deadline() -> None:
    story = hurried().does("b").compensation_is_requested().later(60).expect(SagaStatus.FAILED).is_retried()
    story = story.expect(SagaStatus.COMPENSATING, opens="undo b")
    assert story.next_due == NOW + 60
    assert story.claims("b", UNDO).next_due == NOW + 120
    story.later(60).expect(SagaStatus.FAILED)
    story.undoes("b", "a").expect(SagaStatus.COMPENSATED)


def test_a_running_saga_has_no_deadline_for_compensations() -> None:
    assert hurried().claims("b").next_due is None
    assert hurried().does("b").expect(SagaStatus.COMPLETED).next_due is None


def test_siblings_that_run_are_cancelled_only_where_that_is_declared_and_once_the_saga_turns_back() -> None:
    steps = (a_step("a"), a_step("b"))
    eager = given(a_saga(*steps, cancel_siblings=True)).claims("a")
    assert unwanted(eager.definition, eager.state) == []
    turned = eager.fails("b").expect(SagaStatus.COMPENSATING)
    assert unwanted(turned.definition, turned.state) == ["a"]
    patient = given(a_saga(*steps)).claims("a").fails("b")
    assert unwanted(patient.definition, patient.state) == []


def test_a_sibling_that_was_cancelled_is_unknown_and_undone() -> None:
    definition = a_saga(a_step("a"), a_step("b"), cancel_siblings=True)
    story = given(definition).claims("a").fails("b").ends("a", Fate.CANCELLED)
    story.expect(opens="undo a", a=StepStatus.UNKNOWN)
    assert unwanted(story.definition, story.claims("a", UNDO).state) == []
