"""Pausing: nothing is begun until somebody resumes it; what runs goes on, and time does not count."""

from __future__ import annotations

from datetime import timedelta

from sagaflow.core.events import Claimed, PauseRequested, ResumeRequested, Ticked
from sagaflow.core.state import SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, UNDO, a_saga, a_step, a_wait, chain, given

PAUSE, RESUME = PauseRequested("ada", "why", NOW), ResumeRequested("ada", "why", NOW)


def test_nothing_of_a_paused_saga_is_begun() -> None:
    story = given(chain("a")).is_paused().expect(SagaStatus.STARTED, opens="")
    story.expect_no_change(Claimed("a", FORWARD, "w1", NOW), PAUSE)
    assert story.next_due is None
    story.is_resumed().expect(opens="a").expect_no_change(RESUME)


def test_what_runs_goes_on_and_what_it_leads_to_waits() -> None:
    story = given(chain("a", "b")).claims("a").is_paused().succeeds("a").expect(opens="", a=StepStatus.COMPLETED)
    story.is_resumed().expect(opens="b")
    given(chain("a")).claims("a").is_paused().succeeds("a").expect(SagaStatus.COMPLETED)


def test_a_paused_saga_can_be_turned_back_and_undoes_nothing_until_it_is_resumed() -> None:
    story = given(chain("a", "b")).does("a").is_paused().cancellation_is_requested()
    story.expect(SagaStatus.COMPENSATING, opens="").expect_no_change(Claimed("a", UNDO, "w1", NOW))
    story.is_resumed().undoes("a").expect(SagaStatus.COMPENSATED)


def test_a_saga_can_be_paused_while_it_turns_back() -> None:
    story = given(chain("a", "b")).does("a").cancellation_is_requested().is_paused().expect(opens="")
    story.is_resumed().expect(opens="undo a")


def test_no_deadline_passes_while_a_saga_is_paused_and_each_counts_when_it_is_resumed() -> None:
    definition = a_saga(a_wait("a", deadline=20), deadline=timedelta(seconds=30))
    story = given(definition).does("a").is_paused()
    assert story.next_due is None
    story.expect_no_change(Ticked(NOW + 99))
    assert story.is_resumed().next_due == NOW + 20


def test_a_scheduled_saga_that_is_paused_does_not_start() -> None:
    story = given(chain("a"), start_in=60).is_paused().expect_no_change(Ticked(NOW + 60))
    assert story.next_due is None
    story.is_resumed().later(60).expect(SagaStatus.STARTED, opens="a")


def test_an_answer_from_outside_is_heard_while_a_saga_is_paused() -> None:
    definition = a_saga(a_wait("a"), a_step("b", after=["a"]))
    given(definition).does("a").is_paused().hears("a").expect(opens="", a=StepStatus.COMPLETED)


def test_a_saga_that_has_ended_is_not_paused_but_may_be_resumed() -> None:
    ended = given(chain("a")).does("a").expect_no_change(PAUSE, RESUME)
    assert "pause" not in ended.state.accepts
    story = given(chain("a")).claims("a").is_paused().succeeds("a").compensation_is_requested().expect(opens="")
    story.is_resumed().expect(opens="undo a")
