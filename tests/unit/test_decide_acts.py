"""What operators do: retry, skip, resolve; recorded if it changes anything."""

from __future__ import annotations

import pytest

from sagaflow.core.decide import decide
from sagaflow.core.events import (
    CompensationRequested,
    Event,
    Fate,
    OperatorsAct,
    PauseRequested,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    SkipRequested,
)
from sagaflow.core.state import ACTS_LIMIT, Act, SagaStatus, StepStatus
from sagaflow.core.work import undo_payload
from tests.unit.story import (
    NOW,
    PROBE,
    UNDO,
    Story,
    a_child,
    a_fan_out,
    a_saga,
    a_step,
    a_wait,
    chain,
    given,
)

HAPPENED, NOT_HAPPENED, COMPENSATED = Resolution.HAPPENED, Resolution.NOT_HAPPENED, Resolution.COMPENSATED


def retry(step: str | None = None) -> RetryRequested:
    return RetryRequested("ada", "why", NOW, step)


def skip(step: str, *, undo: bool = False) -> SkipRequested:
    return SkipRequested("ada", "why", NOW, step, **({"direction": UNDO} if undo else {}))


def resolve(step: str, resolution: Resolution) -> ResolutionRequested:
    return ResolutionRequested("ada", "why", NOW, step, resolution, "out" if resolution is HAPPENED else None)


def all_acts(*steps: str) -> list[Event]:
    acts: list[Event] = [retry(), PauseRequested("ada", "why", NOW), ResumeRequested("ada", "why", NOW)]
    for step in steps:
        acts += [retry(step), skip(step), skip(step, undo=True)]
        acts += [resolve(step, resolution) for resolution in Resolution]
    return acts


def stuck() -> Story:
    """Failed, because ``b`` could not be undone."""
    story = given(chain("a", "b")).does("a", "b").compensation_is_requested().fails_to_undo("b")
    return story.expect(SagaStatus.FAILED)


def strict() -> Story:
    """Failed, because nobody knows what became of ``b``."""
    story = given(a_saga(a_step("a"), a_step("b", after=["a"], strict=True))).does("a").fails("b", Fate.FINAL)
    return story.expect(SagaStatus.FAILED, b=StepStatus.UNKNOWN)


def shipping() -> Story:
    """Failed cleanly after its pivot."""
    definition = a_saga(a_step("pay", pivot=True, undo=False), a_step("ship", after=["pay"], undo=False))
    return given(definition).does("pay").fails("ship").expect(SagaStatus.FAILED)


# ------------------------------------------------------------------ what is recorded


def test_an_act_is_recorded_with_who_when_and_why() -> None:
    story = stuck().is_retried("b")
    assert story.state.acts == (Act("retry", NOW, "ada", "try again", "b"),)


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (skip("b", undo=True), "skip the compensation"),
        (resolve("b", COMPENSATED), "resolve as compensated"),
        (retry(), "retry"),
    ],
)
def test_an_act_is_recorded_in_words(act: OperatorsAct, what: str) -> None:
    assert stuck().happens(act).state.acts[0].what == what


def test_the_other_acts_are_recorded_too() -> None:
    acts = given(chain("a")).is_paused().is_resumed().is_skipped("a").state.acts
    assert [act.what for act in acts] == ["pause", "resume", "skip"]
    assert acts[0] == Act("pause", NOW, "ada", "an outage")


def test_a_request_of_a_person_is_recorded_and_one_of_nobody_is_not() -> None:
    story = given(chain("a")).happens(CompensationRequested("mistake", NOW, "ada"))
    assert story.state.acts == (Act("compensate", NOW, "ada", "mistake"),)
    assert given(chain("a")).compensation_is_requested().state.acts == ()


def test_a_bounded_number_of_acts_is_kept_the_latest() -> None:
    story = given(chain("a"))
    for _ in range(ACTS_LIMIT):
        story = story.is_paused().is_resumed()
    story = story.happens(CompensationRequested("mistake", NOW, "ada"))
    assert len(story.state.acts) == ACTS_LIMIT
    assert story.state.acts[-1].what == "compensate"


@pytest.mark.parametrize("status", list(SagaStatus))
def test_no_act_changes_a_saga_that_does_not_accept_it(status: SagaStatus) -> None:
    running = given(a_saga(a_step("a", undo=False), a_step("b"))).fails("a", Fate.RETRYABLE)
    stories = [
        given(chain("a", "b"), start_in=60),
        running,
        running.later(10).does("a", "b"),
        running.does("b").compensation_is_requested(),
        running.compensation_is_requested(),
        stuck(),
    ]
    story = next(story for story in stories if story.state.status is status)
    for act in all_acts("a", "b"):
        if decide(story.definition, story.state, act) is not story.state:
            assert act.kind in story.state.accepts  # type: ignore[union-attr]  # all of them are requests


def test_an_act_on_an_unknown_step_changes_nothing() -> None:
    for story in (given(chain("a")), stuck(), strict(), shipping()):
        story.expect_no_change(*(act for act in all_acts("nobody") if getattr(act, "step", None)))


# ------------------------------------------------------------------ retry


def test_a_compensation_that_failed_is_tried_again_with_a_fresh_budget() -> None:
    story = stuck().is_retried().expect(SagaStatus.COMPENSATING, opens="undo b").fails_to_undo("b", Fate.RETRYABLE)
    story.expect_at(10, "b", UNDO).later(10).undoes("b", "a").expect(SagaStatus.COMPENSATED)


def test_one_compensation_alone_can_be_tried_again() -> None:
    story = given(a_saga(a_step("a"), a_step("b"))).does("a", "b").compensation_is_requested()
    story = story.fails_to_undo("a").fails_to_undo("b").expect(SagaStatus.FAILED).is_retried("b").expect(opens="undo b")
    story.undoes("b").expect(SagaStatus.FAILED, a=StepStatus.COMPENSATION_FAILED)


def test_there_is_nothing_to_retry_where_nothing_failed() -> None:
    given(chain("a")).expect_no_change(retry())
    stuck().expect_no_change(retry("a"))
    shipping().expect_no_change(retry("pay"))
    strict().expect_no_change(retry(), retry("b"))


def test_a_late_output_makes_an_unknown_outcome_worth_a_retry() -> None:
    story = strict().succeeds("b", "late").expect(SagaStatus.FAILED).is_retried().expect(opens="undo b")
    assert undo_payload(story.claims("b", UNDO).state, "b") == "late"
    story.undoes("b", "a").expect(SagaStatus.COMPENSATED)


def test_a_late_output_of_what_was_undone_in_a_failed_saga_is_undone_by_a_retry_alone() -> None:
    definition = a_saga(a_step("a"), a_step("b"))
    story = given(definition).does("b").loses_worker_of("a").cancellation_is_requested().undoes("a").fails_to_undo("b")
    story = story.expect(SagaStatus.FAILED).succeeds("a", "late", attempt=1).expect(SagaStatus.FAILED, opens="")
    story.expect_no_change(retry("nobody")).is_retried("a").expect(opens="undo a").undoes("a").expect(SagaStatus.FAILED)


def test_a_new_key_is_given_only_where_nothing_has_happened_under_the_old_one() -> None:
    assert shipping().is_retried(new_key=True).step("ship").generation == 1
    assert shipping().is_retried().step("ship").generation == 0
    unknown = shipping().is_retried().fails("ship", Fate.FINAL).is_retried(new_key=True)
    assert unknown.expect(SagaStatus.STARTED, opens="ship").step("ship").generation == 0


# ------------------------------------------------------------------ skip


def test_a_step_can_be_left_out_with_an_output_in_the_place_of_its_own() -> None:
    story = shipping().is_skipped("ship", output="by hand").expect(SagaStatus.COMPLETED, ship=StepStatus.SKIPPED)
    assert story.step("ship").output == "by hand"


def test_a_step_can_be_left_out_before_it_begins() -> None:
    given(chain("a", "b")).is_skipped("b").does("a").expect(SagaStatus.COMPLETED, b=StepStatus.SKIPPED)
    story = given(chain("a"), start_in=60).is_skipped("a").expect(SagaStatus.SCHEDULED)
    story.later(60).expect(SagaStatus.COMPLETED)


def test_what_may_have_happened_and_could_be_undone_is_not_left_out_but_resolved() -> None:
    story = given(chain("a", "b")).fails("a", Fate.RETRYABLE).expect_no_change(skip("a"))
    story.is_resolved("a", HAPPENED, "out").expect(opens="b")
    given(a_saga(a_wait("a"))).does("a").expect_no_change(skip("a"))
    given(a_saga(a_wait("a", undo=False))).does("a").is_skipped("a").expect(SagaStatus.COMPLETED)


def test_a_step_that_somebody_runs_is_not_left_out() -> None:
    given(chain("a")).claims("a").expect_no_change(*all_acts("a")[3:])


def test_what_is_done_already_is_not_left_out() -> None:
    given(chain("a", "b")).does("a").expect_no_change(skip("a"))
    given(chain("a", "b")).is_skipped("a").expect_no_change(skip("a"))


def test_nothing_is_left_out_forward_while_the_saga_turns_back() -> None:
    given(chain("a", "b")).does("a").cancellation_is_requested().expect_no_change(skip("a"), skip("b"))
    stuck().expect_no_change(skip("a"), skip("b"))


def test_a_list_can_be_left_out_before_it_is_known_and_then_only_its_elements() -> None:
    story = given(a_saga(a_fan_out("e")))
    story.is_skipped("e").expect(SagaStatus.COMPLETED, e=StepStatus.SKIPPED)
    unfolded = story.decides("e", "1", "2").expect_no_change(skip("e"), retry("e"))
    unfolded.expect_no_change(*(resolve("e", resolution) for resolution in Resolution))
    unfolded.is_skipped("e[0]").does("e[1]").expect(SagaStatus.COMPLETED)


def test_a_child_saga_is_left_out_only_while_there_is_none_or_nothing_is_left_of_it() -> None:
    definition = a_saga(a_step("pay", pivot=True, undo=False), a_child("ship", after=["pay"]))
    story = given(definition).does("pay")
    story.is_skipped("ship").expect(SagaStatus.COMPLETED)
    running = story.does("ship").expect_no_change(*all_acts("ship")[3:])
    running.inserts("ship").child_ends("ship", SagaStatus.FAILED).expect_no_change(*all_acts("ship")[3:])
    undone = running.child_ends("ship", SagaStatus.COMPENSATED).expect(SagaStatus.FAILED)
    undone.is_skipped("ship").expect(SagaStatus.COMPLETED)


def test_a_compensation_can_be_left_out() -> None:
    story = stuck().is_skipped("b", UNDO).expect(SagaStatus.COMPENSATING, opens="undo a", b=StepStatus.COMPENSATED)
    story.is_skipped("a", UNDO).expect(SagaStatus.COMPENSATED)
    strict().is_skipped("b", UNDO).expect(SagaStatus.COMPENSATING, opens="undo a")


def test_a_compensation_is_left_out_only_while_the_saga_turns_back() -> None:
    given(chain("a", "b")).does("a").expect_no_change(skip("a", undo=True), resolve("a", COMPENSATED))
    shipping().expect_no_change(skip("pay", undo=True), skip("ship", undo=True))


def test_a_compensation_that_runs_or_that_was_done_is_not_left_out() -> None:
    story = given(chain("a", "b")).does("a", "b").compensation_is_requested().claims("b", UNDO)
    story.expect_no_change(skip("b", undo=True), resolve("b", COMPENSATED))
    story.succeeds("b", direction=UNDO).expect_no_change(skip("b", undo=True), resolve("b", COMPENSATED))


def test_late_outputs_of_a_compensation_that_is_left_out_stay() -> None:
    story = given(chain("a")).loses_worker_of("a").cancellation_is_requested().succeeds("a", "late", attempt=1)
    story.is_skipped("a", UNDO).expect(SagaStatus.COMPENSATED, opens="")


def test_a_child_saga_that_has_not_ended_is_not_left_to_itself() -> None:
    story = given(a_saga(a_child("ship"))).does("ship").inserts("ship").cancellation_is_requested()
    story.expect_no_change(skip("ship", undo=True))
    story = story.asks_child("ship").expect_no_change(skip("ship", undo=True))
    story.child_ends("ship", SagaStatus.FAILED).is_skipped("ship", UNDO).expect(SagaStatus.COMPENSATED)


# ------------------------------------------------------------------ resolve


def test_an_unknown_step_that_happened_is_undone_with_what_it_yielded() -> None:
    story = strict().is_resolved("b", HAPPENED, "tx").expect(SagaStatus.COMPENSATING, opens="undo b")
    assert undo_payload(story.claims("b", UNDO).state, "b") == "tx"


def test_an_unknown_step_that_did_not_happen_has_nothing_to_undo() -> None:
    strict().is_resolved("b", NOT_HAPPENED).expect(SagaStatus.COMPENSATING, opens="undo a", b=StepStatus.FAILED)


def test_an_unknown_step_that_somebody_has_undone_is_compensated() -> None:
    strict().is_resolved("b", COMPENSATED).expect(SagaStatus.COMPENSATING, opens="undo a", b=StepStatus.COMPENSATED)


def test_a_step_that_is_to_be_run_again_can_be_resolved_first() -> None:
    story = given(chain("a", "b")).fails("a", Fate.RETRYABLE)
    story.is_resolved("a", HAPPENED, "tx").expect(SagaStatus.STARTED, opens="b", a=StepStatus.COMPLETED)
    story.is_resolved("a", NOT_HAPPENED).expect(SagaStatus.COMPENSATED, a=StepStatus.FAILED)


def test_a_step_that_is_to_be_probed_can_be_resolved_unless_the_probe_runs() -> None:
    story = given(a_saga(a_step("a", probe=True))).loses_worker_of("a")
    story.is_resolved("a", HAPPENED, "tx").expect(SagaStatus.COMPLETED, opens="")
    story.claims("a", PROBE).expect_no_change(resolve("a", HAPPENED), resolve("a", NOT_HAPPENED))


def test_only_what_is_unknown_can_be_resolved() -> None:
    story = given(chain("a", "b")).expect_no_change(*(resolve("a", resolution) for resolution in Resolution))
    story.does("a").expect_no_change(*(resolve("a", resolution) for resolution in Resolution))


@pytest.mark.parametrize("output", [None, "out"])
def test_what_happened_has_an_output_and_nothing_else_has(output: str | None) -> None:
    wrong = HAPPENED if output is None else NOT_HAPPENED
    with pytest.raises(ValueError, match="there is an output if it happened"):
        ResolutionRequested("ada", "why", NOW, "a", wrong, output)
