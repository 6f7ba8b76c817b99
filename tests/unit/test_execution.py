"""Keys name one thing for ever: ASCII, short, and never the same for two steps."""

import re
import string
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sagaflow.core.state import Direction
from sagaflow.execution import KEY_LIMIT, Execution, step_key

# Ids and names as they might come, with a liking for what could be mistaken for something else.
awkward = st.one_of(
    st.text(),
    st.text("ab/~ ", max_size=8),
    st.lists(st.sampled_from(["o-1", "undo", "charge", "/", "~", ""]), max_size=6).map("/".join),
    st.builds(step_key, st.text(max_size=3), st.text(max_size=3)),
    st.text(string.ascii_letters, min_size=45, max_size=70),
)


def keys(saga_id: str, step: str) -> tuple[str, str]:
    """The keys of a step and of its compensation."""
    forward = Execution(saga_id=saga_id, step_name=step)
    undo = Execution(saga_id=saga_id, step_name=step, direction=Direction.UNDO, outcome="unknown")
    assert undo.step_key == forward.step_key == forward.idempotency_key
    return forward.idempotency_key, undo.idempotency_key


@given(awkward, awkward)
@example("x" * 53, "charge")
@example("\ud800", "charge")
def test_keys_are_printable_ascii_without_blanks_and_short(saga_id: str, step: str) -> None:
    for key in keys(saga_id, step):
        assert re.fullmatch(r"[!-~]+", key)
        assert len(key) <= KEY_LIMIT


@given(awkward, awkward, awkward, awkward)
@example("a/b", "c", "a", "b/c")
@example("o-1/charge", "undo", "o-1", "charge")
@example("ab", "c", "a", "bc")
@example(step_key("x" * 80, "charge"), "undo", "x" * 80, "charge")
@example(" a", "b", "a", "b")
def test_two_steps_never_have_a_key_in_common(saga: str, step: str, other_saga: str, other_step: str) -> None:
    assume((saga, step) != (other_saga, other_step))
    assert set(keys(saga, step)).isdisjoint(keys(other_saga, other_step))


@given(awkward, awkward)
def test_a_step_and_its_compensation_have_different_keys(saga_id: str, step: str) -> None:
    forward, undo = keys(saga_id, step)
    assert undo == f"{forward}/undo"


@pytest.mark.parametrize("saga_id", ["o-1", "orders/2024/1", "01J9ZK5V8QW3N4B6C7D8E9F0G1", "a:b@c=d", "x" * 52])
def test_a_plain_id_gives_a_readable_key(saga_id: str) -> None:
    assert step_key(saga_id, "charge") == f"{saga_id}/charge"


@pytest.mark.parametrize(
    ("saga_id", "step"),
    [("x" * 53, "charge"), ("ö", "charge"), ("o 1", "charge"), ("o-1", "undo"), ("~o", "charge"), ("o-1", "prüfe")],
)
def test_any_other_id_gives_a_hash_that_begins_with_the_step(saga_id: str, step: str) -> None:
    readable = re.sub(r"\W", "", step, flags=re.ASCII)
    assert re.fullmatch(rf"~{readable}~[0-9a-f]{{32}}", step_key(saga_id, step))


def test_a_hash_is_the_same_in_every_process() -> None:
    assert step_key("ö", "charge") == "~charge~63a9926cc8cb6a627e61f9db82624b7c"


def test_the_hash_of_the_longest_name_leaves_room_for_the_compensation() -> None:
    assert len(step_key("o-1", "x" * 200)) == 58


def test_an_execution_cannot_be_changed() -> None:
    execution: Any = Execution()
    with pytest.raises(FrozenInstanceError):
        execution.attempt = 2


@pytest.mark.parametrize(
    ("direction", "outcome"), [(Direction.UNDO, None), (Direction.FORWARD, "completed"), (Direction.FORWARD, "unknown")]
)
def test_an_outcome_belongs_to_a_compensation(direction: Direction, outcome: object) -> None:
    with pytest.raises(
        ValueError, match="a compensation has an outcome, 'completed' or 'unknown', and a step has none"
    ):
        Execution(direction=direction, outcome=outcome)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
