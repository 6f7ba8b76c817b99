"""The saga as a whole: its beginning, its deadline, requests, and the revision."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow.core.decide import decide, fold, new_saga, seal
from sagaflow.core.events import (
    CancellationRequested,
    Claimed,
    CompensationRequested,
    Event,
    Fate,
    Request,
    Succeeded,
    Ticked,
)
from sagaflow.core.state import SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, a_saga, a_step, chain, given

REQUESTS: list[Request] = [CompensationRequested("again", NOW), CancellationRequested("again", NOW)]


def test_a_new_saga_says_what_it_was_started_with() -> None:
    definition = chain("a", "b")
    state = new_saga(definition, "saga-1", '"context"', NOW)
    assert (state.id, state.saga, state.fingerprint) == ("saga-1", "Story", definition.fingerprint)
    assert (state.revision, state.context, state.created_at, state.updated_at) == (1, '"context"', NOW, NOW)
    assert (state.start_at, state.deadline_at, state.completed_at, state.reason) == (None, None, None, None)
    assert list(state.steps) == ["a", "b"]


def test_a_scheduled_saga_opens_nothing_before_its_time() -> None:
    story = given(chain("a"), start_in=60).expect(SagaStatus.SCHEDULED, opens="")
    story.expect_no_change(Ticked(NOW + 59.9), Claimed("a", FORWARD, "w1", NOW + 60))
    story.later(60).expect(SagaStatus.STARTED, opens="a").expect_at(0, "a")


@pytest.mark.parametrize("start_in", [0, -60])
def test_a_start_that_is_not_ahead_is_now(start_in: float) -> None:
    story = given(chain("a"), start_in=start_in).expect(SagaStatus.STARTED, opens="a")
    assert story.state.start_at is None


def test_a_deadline_that_passes_stops_and_undoes_the_saga() -> None:
    definition = a_saga(a_step("a"), a_step("b", after=["a"]), deadline=timedelta(seconds=30))
    story = given(definition).does("a").expect_no_change(Ticked(NOW + 29.9))
    story.later(30).expect(SagaStatus.COMPENSATING, opens="undo a", reason="its deadline has passed")


def test_the_deadline_of_a_scheduled_saga_counts_from_its_start() -> None:
    definition = a_saga(a_step("a"), deadline=timedelta(seconds=30))
    story = given(definition, start_in=60).later(60).expect(SagaStatus.STARTED).later(29).expect(SagaStatus.STARTED)
    story.later(1).expect(SagaStatus.COMPENSATED, reason="its deadline has passed")


def test_the_deadline_of_a_saga_whose_start_was_past_counts_from_now() -> None:
    definition = a_saga(a_step("a"), deadline=timedelta(seconds=30))
    assert given(definition, start_in=-60).state.deadline_at == NOW + 30


def test_a_scheduled_saga_that_nobody_looked_at_until_its_deadline_is_compensated() -> None:
    definition = a_saga(a_step("a"), deadline=timedelta(seconds=30))
    given(definition, start_in=60).later(90).expect(SagaStatus.COMPENSATED, opens="", a=StepStatus.PENDING)


def test_a_deadline_means_nothing_to_a_saga_that_has_ended_or_is_being_undone() -> None:
    definition = a_saga(a_step("a"), deadline=timedelta(seconds=30))
    given(definition).does("a").expect(SagaStatus.COMPLETED).expect_no_change(Ticked(NOW + 99))
    story = given(definition).claims("a").cancellation_is_requested()
    story.expect(SagaStatus.COMPENSATING).expect_no_change(Ticked(NOW + 99))


def test_time_alone_changes_nothing_without_a_deadline() -> None:
    given(chain("a")).expect_no_change(Ticked(NOW + 1e9))


def test_a_running_saga_is_undone_when_somebody_asks_for_it() -> None:
    story = given(chain("a", "b")).does("a")
    story.compensation_is_requested("mistake").expect(SagaStatus.COMPENSATING, opens="undo a", reason="mistake")
    story.cancellation_is_requested("mistake").expect(SagaStatus.COMPENSATING, opens="undo a", reason="mistake")


def test_a_scheduled_saga_that_is_cancelled_has_nothing_to_undo() -> None:
    story = given(chain("a"), start_in=60)
    story.cancellation_is_requested().expect(SagaStatus.COMPENSATED, opens="")
    story.compensation_is_requested().expect(SagaStatus.COMPENSATED, opens="").expect_no_change(Ticked(NOW + 60))


def test_a_completed_saga_can_be_compensated_but_not_cancelled() -> None:
    story = given(chain("a")).does("a").expect_no_change(CancellationRequested("stop", NOW))
    story = story.compensation_is_requested().expect(SagaStatus.COMPENSATING, opens="undo a")
    assert story.state.completed_at is None


def test_a_completed_saga_with_nothing_to_undo_is_compensated_as_soon_as_it_is_asked_for() -> None:
    story = given(a_saga(a_step("a", undo=False))).does("a").later(3).compensation_is_requested()
    story.expect(SagaStatus.COMPENSATED, a=StepStatus.COMPLETED)
    assert story.state.completed_at == NOW + 3


def test_a_request_that_comes_twice_counts_once() -> None:
    story = given(chain("a", "b")).does("a")
    story.cancellation_is_requested("first").expect_no_change(*REQUESTS)
    story.compensation_is_requested("first").expect_no_change(*REQUESTS)


def test_a_compensated_or_failed_saga_takes_no_request() -> None:
    undone = given(chain("a")).does("a").compensation_is_requested()
    undone.undoes("a").expect(SagaStatus.COMPENSATED).expect_no_change(*REQUESTS)
    undone.fails_to_undo("a").expect(SagaStatus.FAILED).expect_no_change(*REQUESTS)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("status", list(SagaStatus))
def test_a_request_changes_a_saga_exactly_where_it_is_said_to_have_something_to_do(
    request_: Request, status: SagaStatus
) -> None:
    begun = given(chain("a", "b")).does("a")
    stories = [
        given(chain("a"), start_in=60),
        begun,
        begun.cancellation_is_requested(),
        begun.does("b"),
        given(chain("a")).fails("a"),
        begun.fails("b", Fate.FINAL).fails_to_undo("b"),
    ]
    story = next(story for story in stories if story.state.status is status)
    changed = decide(story.definition, story.state, request_) is not story.state
    assert changed is (request_.kind in story.state.accepts)


def test_a_fold_is_one_revision_however_many_events_it_has() -> None:
    definition = chain("a", "b")
    events: list[Event] = [
        Claimed("a", FORWARD, "w1", NOW + 1),
        Succeeded("a", FORWARD, 1, "done", NOW + 3),
        Claimed("b", FORWARD, "w1", NOW + 2),
    ]
    first = new_saga(definition, "saga-1", "{}", NOW)
    folded = fold(definition, first, events)
    assert folded.revision == 2
    assert folded.steps["a"].status is StepStatus.COMPLETED
    assert folded.updated_at == NOW + 3


def test_a_fold_of_events_that_change_nothing_is_no_revision() -> None:
    definition = chain("a")
    first = new_saga(definition, "saga-1", "{}", NOW)
    assert fold(definition, first, []) is first
    assert fold(definition, first, [Ticked(NOW + 1), Succeeded("a", FORWARD, 1, "x", NOW)]) is first


def test_a_fold_never_sets_the_time_of_the_last_change_back() -> None:
    definition = chain("a")
    state = fold(definition, new_saga(definition, "saga-1", "{}", NOW), [CancellationRequested("stop", NOW - 10)])
    assert (state.status, state.updated_at) == (SagaStatus.COMPENSATED, NOW)


def test_sealing_makes_the_next_revision_of_what_has_changed() -> None:
    story = given(chain("a"))
    changed = decide(story.definition, story.state, Claimed("a", FORWARD, "w1", NOW))
    assert changed.revision == 1
    sealed = seal(story.state, changed, NOW + 1)
    assert (sealed.revision, sealed.updated_at, sealed.steps) == (2, NOW + 1, changed.steps)
    assert seal(story.state, story.state, NOW + 1) is story.state
