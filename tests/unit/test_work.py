"""What a state asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sagaflow.core.events import Fate
from sagaflow.core.state import SagaStatus
from sagaflow.core.work import Work, open_work, undo_payload
from tests.unit.story import FORWARD, NOW, UNDO, a_saga, a_step, chain, diamond, given


def test_open_work_stands_in_the_order_of_the_definition_with_the_queue_of_each_step() -> None:
    slow = replace(a_step("b"), queue="slow")
    story = given(a_saga(slow, a_step("a")))
    expected = [Work("b", FORWARD, NOW, "slow", FORWARD), Work("a", FORWARD, NOW, "default", FORWARD)]
    assert open_work(story.definition, story.state) == expected


def test_work_that_is_due_later_is_open_too() -> None:
    story = given(chain("a")).fails("a", Fate.RETRYABLE)
    assert open_work(story.definition, story.state) == [Work("a", FORWARD, NOW + 10, "default", FORWARD)]


def test_what_is_to_be_undone_is_open_the_other_way() -> None:
    story = given(chain("a")).does("a").compensation_is_requested()
    assert open_work(story.definition, story.state) == [Work("a", UNDO, NOW, "default", UNDO)]


def test_what_somebody_has_claimed_is_not_open() -> None:
    story = given(diamond()).does("top").claims("left")
    assert story.open == "right"


def test_the_next_thing_is_due_at_the_earliest_moment_of_all() -> None:
    story = given(diamond()).does("top").fails("left", Fate.RETRYABLE).later(3)
    assert story.next_due == NOW
    assert story.claims("right").next_due == NOW + 10


def test_nothing_is_due_while_all_is_claimed_or_once_the_saga_has_ended() -> None:
    assert given(chain("a")).claims("a").next_due is None
    assert given(chain("a")).does("a").next_due is None


def test_a_scheduled_saga_is_due_at_its_start() -> None:
    definition = a_saga(a_step("a"), deadline=timedelta(seconds=5))
    assert given(definition, start_in=60).next_due == NOW + 60


def test_a_running_saga_is_due_at_its_deadline_and_one_that_is_undone_has_none() -> None:
    definition = a_saga(a_step("a"), deadline=timedelta(seconds=5))
    story = given(definition).claims("a")
    assert story.next_due == NOW + 5
    assert story.cancellation_is_requested().next_due is None


def test_a_retry_of_an_undo_is_due_when_its_wait_is_over() -> None:
    story = given(chain("a")).does("a").compensation_is_requested().fails_to_undo("a", Fate.RETRYABLE)
    assert story.next_due == NOW + 10


def test_a_compensation_is_given_the_recorded_output() -> None:
    story = given(chain("a")).does("a").compensation_is_requested().claims("a", UNDO)
    assert undo_payload(story.state, "a") == "a done"


def test_a_compensation_is_given_nothing_for_an_unknown_outcome() -> None:
    story = given(chain("a")).fails("a", Fate.FINAL).claims("a", UNDO)
    assert undo_payload(story.state, "a") is None


def test_a_late_undo_is_given_the_output_that_came_late() -> None:
    story = given(chain("a")).loses_worker_of("a").does("a").succeeds("a", "late", attempt=1)
    story = story.compensation_is_requested().undoes("a").expect(SagaStatus.COMPENSATING).claims("a", UNDO)
    assert undo_payload(story.state, "a") == "late"


def test_a_compensation_that_nobody_runs_would_be_given_the_recorded_output() -> None:
    assert undo_payload(given(chain("a")).does("a").state, "a") == "a done"
