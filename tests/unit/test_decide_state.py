"""What a state can be asked without its definition."""

from __future__ import annotations

import msgspec
import pytest

from sagaflow.core.state import Claim, Direction, SagaState, SagaStatus, StepState, Track
from tests.unit.story import FORWARD, UNDO, a_child, a_saga, a_wait, chain, diamond, given


@pytest.mark.parametrize("status", list(SagaStatus))
def test_a_saga_has_ended_when_it_is_completed_compensated_or_failed(status: SagaStatus) -> None:
    assert status.is_terminal is (status in {"completed", "compensated", "failed"})


def test_a_track_is_open_while_it_is_due_and_nobody_has_claimed_it() -> None:
    assert Track(due=1.0).is_open
    assert not Track().is_open
    assert not Track(due=1.0, claim=Claim("w1", 0.0)).is_open


def test_each_direction_has_its_own_track() -> None:
    step = StepState(forward=Track(attempt=1), undo=Track(attempt=2))
    assert (step.track(FORWARD).attempt, step.track(UNDO).attempt) == (1, 2)
    assert StepState(probe=Track(attempt=3)).track(Direction.PROBE).attempt == 3


def test_owners_are_those_who_hold_a_claim_in_either_direction_each_once_and_sorted() -> None:
    story = given(diamond()).does("top").claims("right", by="w1").claims("left", by="w2")
    assert story.state.owners == ("w1", "w2")
    assert story.loses("w2").claims("left", by="w1").state.owners == ("w1",)
    undoing = given(chain("a")).does("a").compensation_is_requested().claims("a", UNDO, by="w9")
    assert undoing.state.owners == ("w9",)
    assert undoing.succeeds("a", direction=UNDO).state.owners == ()


def test_the_size_of_the_payloads_counts_all_that_customers_gave() -> None:
    state = given(chain("a")).state
    track = Track(first_error="12", last_error="123")
    step = StepState(output="1234567", late=("1", "12"), forward=track, undo=track)
    assert state.payload_size == len('"context"')
    assert state.with_step("a", step).payload_size == len('"context"') + 7 + 3 + 2 * 5


def test_the_size_of_the_payloads_counts_what_came_from_outside_and_what_children_were_given() -> None:
    state = (
        given(a_saga(a_wait("a"), a_child("b"), a_wait("c"))).hears("a", "123").hears("c", error="12").does("b").state
    )
    assert state.payload_size == len('"context"') + 3 + 2 + len("b done")


def test_replacing_a_step_leaves_the_state_as_it_was() -> None:
    state = given(chain("a", "b")).state
    changed = state.with_step("a", StepState(output="x"))
    assert state.steps["a"].output is None
    assert (changed.steps["a"].output, changed.steps["b"]) == ("x", state.steps["b"])


def test_what_a_step_does_not_have_is_not_stored() -> None:
    state = given(chain("a")).state
    stored = msgspec.to_builtins(state)
    assert stored["steps"]["a"] == {"forward": {"due": 1000.0}}
    assert msgspec.convert(stored, SagaState) == state
