"""Fan-out: one step becomes as many as a list has elements, done, bounded, failed and undone as steps are."""

from __future__ import annotations

from datetime import timedelta

from sagaflow.core.definition import StepKind
from sagaflow.core.events import Claimed, Fate
from sagaflow.core.state import SagaStatus, StepStatus
from sagaflow.core.unfold import unfold
from tests.unit.story import FORWARD, NOW, PATIENT, Story, a_fan_out, a_saga, a_step, given


def fanned(count: int = 3, *, at_once: int | None = None, delay: float = 0) -> Story:
    each = a_fan_out("e", after=["a"], at_once=at_once, delay=timedelta(seconds=delay))
    story = given(a_saga(a_step("a"), each, a_step("z", after=["e"]))).does("a").later(delay)
    return story.decides("e", *(str(number) for number in range(count)), each=True)


def after_the_pivot(count: int = 3, *, at_once: int | None = None) -> Story:
    each = a_fan_out("e", after=["pay"], at_once=at_once, undo=False)
    story = given(a_saga(a_step("pay", pivot=True), each)).does("pay")
    return story.decides("e", *(str(number) for number in range(count)))


def test_each_element_is_a_step_with_its_item() -> None:
    story = fanned().expect(opens="e[0], e[1], e[2]", e=StepStatus.PENDING)
    assert [story.step(f"e[{index}]").item for index in range(3)] == ["0", "1", "2"]


def test_the_step_itself_is_done_when_all_its_elements_are() -> None:
    story = fanned().does("e[2]", "e[0]").expect(opens="e[1]", e=StepStatus.PENDING).does("e[1]")
    story.expect(opens="z", e=StepStatus.COMPLETED).does("z").expect(SagaStatus.COMPLETED)


def test_an_empty_list_is_done_at_once() -> None:
    fanned(0).expect(opens="z", e=StepStatus.COMPLETED)
    given(a_saga(a_fan_out("e"))).decides("e", each=True).expect(SagaStatus.COMPLETED)


def test_a_fan_out_that_is_not_to_be_done_has_no_elements() -> None:
    story = given(a_saga(a_fan_out("e"))).decides("e", proceed=False)
    assert list(story.expect(SagaStatus.COMPLETED, e=StepStatus.SKIPPED).state.steps) == ["e"]


def test_the_step_itself_cannot_be_claimed_before_or_after() -> None:
    before = given(a_saga(a_fan_out("e"))).expect(opens="e").expect_no_change(Claimed("e", FORWARD, "w1", NOW))
    before.decides("e", "x").expect_no_change(Claimed("e", FORWARD, "w1", NOW))


def test_elements_are_undone_after_what_depends_on_the_list_and_before_what_it_depends_on() -> None:
    story = fanned(2).does("e[0]", "e[1]", "z").compensation_is_requested().expect(opens="undo z").undoes("z")
    story = story.expect(opens="undo e[0], undo e[1]").undoes("e[1]").expect(opens="undo e[0]").undoes("e[0]")
    story.expect(opens="undo a", e=StepStatus.COMPLETED).undoes("a").expect(SagaStatus.COMPENSATED)


def test_an_element_that_fails_turns_the_saga_back_and_only_what_was_done_is_undone() -> None:
    story = fanned(at_once=2).does("e[0]").fails("e[1]").expect(SagaStatus.COMPENSATING, opens="undo e[0]")
    story.expect_step("e[2]", StepStatus.PENDING).undoes("e[0]", "a").expect(SagaStatus.COMPENSATED)


def test_only_so_many_elements_are_worked_on_at_once() -> None:
    story = fanned(4, at_once=2).expect(opens="e[0], e[1]").claims("e[0]").expect(opens="e[1]").claims("e[1]")
    story.expect(opens="").succeeds("e[1]").expect(opens="e[2]")


def test_an_element_that_waits_for_its_next_attempt_keeps_its_place() -> None:
    fanned(at_once=1).fails("e[0]", Fate.RETRYABLE).expect(opens="e[0]")
    fanned(at_once=1).loses_worker_of("e[0]").expect(opens="e[0]")


def test_only_so_many_elements_are_undone_at_once() -> None:
    story = fanned(3, at_once=2).does("e[0]", "e[1]", "e[2]").cancellation_is_requested()
    story.expect(opens="undo e[0], undo e[1]").claims("e[0]").undoes("e[1]").expect(opens="undo e[0], undo e[2]")


def test_an_undo_that_failed_leaves_its_place_to_the_next() -> None:
    story = fanned(2, at_once=1).does("e[0]", "e[1]").cancellation_is_requested().fails_to_undo("e[0]")
    story.expect(SagaStatus.COMPENSATING, opens="undo e[1]").undoes("e[1]").expect(SagaStatus.FAILED)


def test_a_late_output_that_spares_the_probe_of_an_element_takes_one_place_and_not_two() -> None:
    definition = a_saga(a_fan_out("e", at_once=1, probe=True))
    story = given(definition).decides("e", "1", "2").loses_worker_of("e[0]").cancellation_is_requested()
    story = story.expect(opens="probe e[0]").succeeds("e[0]", "late").expect(SagaStatus.COMPENSATING, opens="undo e[0]")
    story.undoes("e[0]").expect(SagaStatus.COMPENSATED)


def test_after_the_pivot_the_other_elements_go_on_though_one_is_broken() -> None:
    story = after_the_pivot(at_once=1).fails("e[0]").expect(SagaStatus.STARTED, opens="e[1]").does("e[1]", "e[2]")
    story.expect(SagaStatus.FAILED, reason="step 'e[0]' failed, and there is no way back")


def test_elements_that_are_retried_by_an_operator_are_bounded_too() -> None:
    story = after_the_pivot(at_once=1).fails("e[0]").fails("e[1]", Fate.FINAL).fails("e[2]", Fate.FINAL)
    story = story.expect(SagaStatus.FAILED).is_retried().expect(SagaStatus.STARTED, opens="e[0]")
    story = story.does("e[0]").expect(opens="e[1]").expect_step("e[2]", StepStatus.STARTED)
    story.does("e[1]", "e[2]").expect(SagaStatus.COMPLETED)


def test_one_element_alone_can_be_retried_and_another_skipped() -> None:
    story = after_the_pivot(2).fails("e[0]").fails("e[1]").is_retried("e[1]").does("e[1]").expect(SagaStatus.FAILED)
    story.is_skipped("e[0]", output="instead").expect(SagaStatus.COMPLETED, e=StepStatus.COMPLETED)


def test_the_delay_of_a_step_is_that_of_its_list_and_of_each_element_once() -> None:
    story = fanned(1, delay=5).expect_at(5, "e[0]").later(5).loses_worker_of("e[0]").expect_at(0, "e[0]")
    story.does("e[0]").expect(e=StepStatus.COMPLETED)


def test_a_list_of_a_list_waits_for_the_whole_first_one() -> None:
    story = given(a_saga(a_fan_out("e"), a_fan_out("f", after=["e"]))).decides("e", "1", "2")
    story = story.does("e[0]", "e[1]").expect(opens="f").decides("f", "3").expect(opens="f[0]").does("f[0]")
    story = story.expect(SagaStatus.COMPLETED).compensation_is_requested().expect(opens="undo f[0]").undoes("f[0]")
    story.expect(opens="undo e[0], undo e[1]")


def test_the_graph_is_the_definition_itself_until_there_is_a_list() -> None:
    story = given(a_saga(a_fan_out("e")))
    assert unfold(story.definition, story.state) is story.definition
    plain = given(a_saga(a_step("a")))
    assert unfold(plain.definition, plain.state) is plain.definition


def test_the_graph_of_a_list_is_made_once_and_has_the_fingerprint_of_the_definition() -> None:
    story = fanned(2)
    graph = unfold(story.definition, story.state)
    assert unfold(story.definition, story.does("e[0]").state) is graph
    assert graph.fingerprint == story.definition.fingerprint
    assert [step.name for step in graph] == ["a", "e[0]", "e[1]", "e", "z"]
    assert (graph["e"].kind, graph["e"].after) == (StepKind.JOIN, ("e[0]", "e[1]"))
    assert (graph["e[1]"].kind, graph["e[1]"].element, graph["e[1]"].retry) == (StepKind.ACTION, ("e", 1), PATIENT)
    assert not graph["e[1]"].is_decided


def test_a_bounded_number_of_graphs_is_remembered() -> None:
    definition = a_saga(a_fan_out("e"))
    for size in range(300):
        story = given(definition)
        unfold(definition, story.with_step("e", size=size).state)
    assert 0 < len(definition.unfolded) <= 256
