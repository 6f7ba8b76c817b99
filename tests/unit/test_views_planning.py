"""The dry run of an act says what would be undone, and why not; the properties hold it to the core."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.answer import answer_of
from sagaflow.core.events import CompensationRequested, Fate, Resolution
from sagaflow.core.state import Direction, Link, SagaState, SagaStatus
from sagaflow.core.typecheck import SagaTypes
from sagaflow.errors import ConfigurationError
from sagaflow.record import SagaRecord
from sagaflow.views import ActPlan, Because, Outcome, plan_undo
from sagaflow.views.planning import Act
from tests.unit.story import SAYS, Story, a_child, a_saga, a_step, chain, diamond, given

NOTHING: Mapping[str, SagaRecord[Any]] = {}


def record_of(story: Story, family: Mapping[str, SagaRecord[Any]] = NOTHING) -> SagaRecord[Any]:
    types = SagaTypes(definition=story.definition, context=object, outputs={})
    return SagaRecord[Any](story.state, JsonCodec(), types, family)


def plan_of(story: Story, act: Act = "compensate") -> ActPlan:
    return plan_undo(record_of(story), act)


def why_kept(plan: ActPlan) -> dict[str, str]:
    return {one.step: one.why for one in plan.stays}


def test_a_completed_saga_would_be_undone_in_waves() -> None:
    plan = plan_of(given(diamond()).does("top", "left", "right", "join"))
    assert [[undo.step for undo in wave] for wave in plan.waves] == [["join"], ["left", "right"], ["top"]]
    assert plan.undone == ("join", "left", "right", "top")
    assert (plan.verdict, plan.ends, plan.stays) == ("accepted", SagaStatus.COMPENSATED, ())
    assert (plan.saga_id, plan.saga, plan.act, plan.status) == ("saga-1", "Story", "compensate", SagaStatus.COMPLETED)
    assert plan.why == "the saga is completed and is to be compensated"


def test_what_runs_is_awaited_and_undone_if_it_was_done() -> None:
    plan = plan_of(given(chain("a", "b", "c")).does("a").claims("b"), "cancel")
    assert [(one.step, one.direction, one.attempt) for one in plan.awaited] == [("b", Direction.FORWARD, 1)]
    assert [(undo.step, undo.if_done) for wave in plan.waves for undo in wave] == [("b", True), ("a", False)]
    assert why_kept(plan) == {"c": "it has not begun"}


def test_a_probe_is_asked_first() -> None:
    story = given(a_saga(a_step("a"), a_step("b", after=["a"], probe=True))).does("a").loses_worker_of("b")
    plan = plan_of(story)
    assert (plan.asks, plan.undone) == (("b",), ("b", "a"))
    assert plan.waves[0][0].if_done
    assert [one.direction for one in plan_of(story.claims("b", Direction.PROBE)).awaited] == [Direction.PROBE]


def test_what_stays_says_why() -> None:
    saga = a_saga(
        a_step("a", undo=False),
        a_step("b", after=["a"], when=SAYS),
        a_step("c", after=["b"]),
        a_step("d", after=["c"]),
    )
    story = given(saga).does("a").decides("b", proceed=False).does("c").fails("d")
    done = story.undoes("c")
    assert plan_of(done).verdict == "already"
    assert why_kept(plan_of(done)) == {
        "a": "it has no compensation",
        "b": "it was left out",
        "c": "it is undone already",
        "d": "it failed, and nothing of it remains",
    }


def test_what_somebody_has_settled_is_told_with_who_and_why() -> None:
    story = given(chain("a", "b", "c")).does("a", "b").fails("c").fails_to_undo("b")
    story = story.is_resolved("b", Resolution.COMPENSATED)
    assert why_kept(plan_of(story))["b"] == "ada has settled it: I looked"


def test_a_saga_that_is_being_undone_shows_what_is_left_of_that() -> None:
    story = given(chain("a", "b", "c")).does("a", "b").fails("c").claims("b", Direction.UNDO)
    plan = plan_of(story)
    assert (plan.verdict, plan.why) == ("already", "the saga is compensating already")
    assert [(undo.step, undo.is_running) for wave in plan.waves for undo in wave] == [("b", True), ("a", False)]


def test_a_late_output_is_undone_by_itself() -> None:
    story = given(chain("a", "b")).loses_worker_of("a").claims("a").succeeds("a", "one")
    story = story.succeeds("a", "other", attempt=1)
    plan = plan_of(story)
    assert [(undo.step, undo.outcome) for wave in plan.waves for undo in wave] == [
        ("a", Outcome.COMPLETED),
        ("a", Outcome.LATE),
    ]
    assert plan.undone == ("a",)


def test_a_compensation_that_does_not_accept_an_unknown_outcome_is_seen_before() -> None:
    story = given(a_saga(a_step("a"), a_step("b", after=["a"], strict=True)))
    story = story.does("a").fails("b", Fate.RETRYABLE)
    plan = plan_of(story)
    assert (plan.ends, plan.waves) == (SagaStatus.FAILED, ())
    assert plan.failure == "compensation 'undo_b' does not accept the unknown outcome of step 'b'"
    assert {one.step: one.because for one in plan.stays} == {"a": Because.CANNOT, "b": Because.CANNOT}


def test_locks_that_were_given_back_are_needed_again() -> None:
    story = given(a_saga(a_step("a", lock=SAYS))).decides("a", lock="seat").takes_lock("seat").does("a")
    assert plan_of(story.releases_lock("seat")).locks == ("seat",)


def test_a_paused_saga_says_so_and_is_planned_as_if_it_went_on() -> None:
    plan = plan_of(given(chain("a", "b")).does("a").is_paused())
    assert plan.is_paused
    assert plan.undone == ("a",)


def test_the_limit_for_compensating_is_told_if_there_is_something_to_undo() -> None:
    saga = a_saga(a_step("a"), a_step("b", after=["a"]), compensation_deadline=timedelta(hours=1))
    assert plan_of(given(saga).does("a")).limit == timedelta(hours=1)
    assert plan_of(given(saga)).limit is None


def test_a_scheduled_saga_is_cancelled_with_nothing_to_undo() -> None:
    plan = plan_of(given(chain("a"), start_in=60), "cancel")
    assert (plan.verdict, plan.ends, plan.waves) == ("accepted", SagaStatus.COMPENSATED, ())


# ---------------------------------------------------------------------------------------- refused


def test_after_the_pivot_it_is_refused_and_everything_stays() -> None:
    saga = a_saga(a_step("a"), a_step("b", after=["a"], undo=False, pivot=True), a_step("c", after=["b"]))
    plan = plan_of(given(saga).does("a", "b"))
    assert (plan.verdict, plan.why) == ("refused", "the pivot of the saga has begun: there is no way back")
    assert (plan.ends, plan.waves) == (None, ())
    assert {one.step: one.because for one in plan.stays} == {
        "a": Because.PAST_PIVOT,
        "b": Because.PAST_PIVOT,
        "c": Because.NOT_BEGUN,
    }


def test_a_completed_saga_is_not_cancelled() -> None:
    plan = plan_of(given(chain("a")).does("a"), "cancel")
    assert (plan.verdict, plan.stays) == ("refused", ())


def test_a_part_of_another_saga_is_not_compensated_by_itself() -> None:
    story = given(chain("a"), parent=Link("whole", "ship")).does("a")
    plan = plan_of(story)
    assert plan.verdict == "refused"
    assert plan.why == "the saga is a part of saga 'whole', which goes on with what it did: compensate that"


@pytest.mark.parametrize("act", ["compensate", "cancel"])
@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("status", SagaStatus)
def test_the_verdict_is_what_the_engine_answers(act: Act, committed: bool, status: SagaStatus) -> None:
    story = given(chain("a"))
    state = replace(story.state, status=status, committed=committed)
    plan = plan_of(Story(story.definition, state, story.now), act)
    answered = answer_of(act, act in state.accepts, status, committed=committed)
    assert plan.verdict == answered.verdict
    assert plan.why == answered.why


# ---------------------------------------------------------------------------------------- children


def child_in(status: SagaStatus, *, committed: bool = False) -> SagaRecord[Any]:
    story = given(chain("pack"))
    state: SagaState = replace(story.state, id="saga-1/ship", status=status, committed=committed)
    return record_of(Story(story.definition, state, story.now))


def shipped() -> Story:
    saga = a_saga(a_child("ship"), a_step("bill", after=["ship"]))
    story = given(saga).does("ship").inserts("ship").child_ends("ship", SagaStatus.COMPLETED)
    return story.does("bill")


def test_a_child_saga_undoes_itself() -> None:
    plan = plan_undo(record_of(shipped(), {"saga-1/ship": child_in(SagaStatus.COMPLETED)}))
    assert [(undo.step, undo.child, undo.compensation) for wave in plan.waves for undo in wave] == [
        ("bill", None, "undo_bill"),
        ("ship", "Child", None),
    ]
    assert plan.ends is SagaStatus.COMPENSATED


@pytest.mark.parametrize(
    ("child", "why"),
    [
        (
            child_in(SagaStatus.COMPLETED, committed=True),
            "its child saga failed (the child saga has passed its pivot and is completed)",
        ),
        (child_in(SagaStatus.FAILED), "its child saga failed (the child saga has failed)"),
    ],
    ids=["past its pivot", "failed"],
)
def test_a_child_saga_that_cannot_be_undone_is_seen_before(child: SagaRecord[Any], why: str) -> None:
    plan = plan_undo(record_of(shipped(), {"saga-1/ship": child}))
    assert (plan.undone, plan.ends) == (("bill",), SagaStatus.FAILED)
    assert why_kept(plan) == {"ship": why}


# ---------------------------------------------------------------------------------------- what it runs by


def test_without_a_definition_nobody_can_tell_unless_one_is_given() -> None:
    story = given(chain("a", "b")).does("a", "b")
    unknown = SagaRecord[Any](story.state, JsonCodec(), None)
    with pytest.raises(ConfigurationError, match=r"Write Engine\(sagas=\[...\]\) with its class"):
        plan_undo(unknown)
    assert plan_undo(unknown, definition=story.definition).undone == ("b", "a")


def test_nothing_is_changed() -> None:
    record = record_of(given(chain("a", "b")).does("a", "b"))
    before = record.state
    plan_undo(record)
    assert record.state is before
    assert record.status is SagaStatus.COMPLETED


def test_a_request_that_was_heard_makes_the_same_plan() -> None:
    story = given(diamond()).does("top", "left", "right", "join")
    heard = story.happens(CompensationRequested("asked for", story.now))
    assert plan_of(heard).waves == plan_of(story).waves
