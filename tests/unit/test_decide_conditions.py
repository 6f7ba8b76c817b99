"""What user code says before a step begins: whether it is done, and under which lock."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow.core.events import Claimed, Decided, Undecidable
from sagaflow.core.state import SagaStatus, StepStatus
from sagaflow.core.work import open_work
from tests.unit.story import FORWARD, NOW, SAYS, Story, a_fan_out, a_saga, a_step, given


def asked() -> Story:
    return given(a_saga(a_step("a", when=SAYS), a_step("b", after=["a"])))


def test_a_step_that_somebody_must_decide_is_open_but_cannot_be_claimed() -> None:
    story = asked().expect(opens="a").expect_no_change(Claimed("a", FORWARD, "w1", NOW))
    assert [work.is_decided for work in open_work(story.definition, story.state)] == [False]
    decided = story.decides("a")
    assert [work.is_decided for work in open_work(decided.definition, decided.state)] == [True]
    decided.does("a", "b").expect(SagaStatus.COMPLETED)


def test_a_step_that_is_not_to_be_done_is_skipped_and_the_next_one_opens() -> None:
    asked().decides("a", proceed=False).expect(opens="b", a=StepStatus.SKIPPED).does("b").expect(SagaStatus.COMPLETED)


def test_a_skipped_step_has_nothing_to_undo() -> None:
    story = asked().decides("a", proceed=False).does("b").compensation_is_requested()
    story.undoes("b").expect(SagaStatus.COMPENSATED, a=StepStatus.SKIPPED)


def test_a_step_that_cannot_be_decided_fails_cleanly() -> None:
    story = asked().cannot_decide("a", "boom").expect(SagaStatus.COMPENSATED, a=StepStatus.FAILED)
    assert story.step("a").forward.first_error == "boom"
    assert story.step("a").forward.reason == "undecidable"


def test_what_was_decided_stays_so_for_later_attempts() -> None:
    asked().decides("a").loses_worker_of("a").expect_no_change(Decided("a", NOW, proceed=False)).does("a")


def test_nobody_decides_what_is_not_asked() -> None:
    story = asked()
    story.expect_no_change(
        Decided("nobody", NOW), Decided("b", NOW), Decided("a", NOW, elements=("1",)), Undecidable("b", "e", NOW)
    )
    given(a_saga(a_step("a"))).expect_no_change(Decided("a", NOW), Undecidable("a", "e", NOW))
    story.decides("a").expect_no_change(Decided("a", NOW), Undecidable("a", "e", NOW))
    story.is_paused().expect_no_change(Decided("a", NOW), Undecidable("a", "e", NOW))
    story.cancellation_is_requested().expect_no_change(Decided("a", NOW), Undecidable("a", "e", NOW))


def test_nobody_decides_before_the_delay_has_passed() -> None:
    story = given(a_saga(a_step("a", when=SAYS, delay=timedelta(seconds=5))))
    story.expect_no_change(Decided("a", NOW + 4.9)).later(5).decides("a").does("a").expect(SagaStatus.COMPLETED)


def test_a_list_is_said_of_a_fan_out_and_of_nothing_else() -> None:
    given(a_saga(a_fan_out("a"))).expect_no_change(Decided("a", NOW))


@pytest.mark.parametrize("fields", [{"elements": ("1",)}, {"lock": "key"}])
def test_what_is_not_done_has_no_elements_and_no_lock(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="has no elements and no lock"):
        Decided("a", NOW, False, **fields)  # type: ignore[arg-type]  # as a buggy caller might
