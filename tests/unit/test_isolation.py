"""Of the steps that have lost several workers, one saga's run at a time."""

from __future__ import annotations

import pytest

from sagaflow import SagaStatus
from sagaflow.core.state import Claim, Direction, SagaState, StepState, Track
from sagaflow.engine.isolation import ROOM, SUSPECT_AFTER, Isolation, holds_suspect, is_suspect


@pytest.fixture
def looked() -> list[str]:
    """The sagas that were looked at again."""
    return []


@pytest.fixture
def isolation(looked: list[str]) -> Isolation:
    return Isolation(looked.append)


def saga(losses: int, owner: str | None = None) -> SagaState:
    claim = Claim(owner, 0.0) if owner is not None else None
    return SagaState(
        id="s",
        saga="Sale",
        fingerprint="f",
        status=SagaStatus.STARTED,
        revision=1,
        context="{}",
        steps={"charge": StepState(forward=Track(losses=losses, claim=claim))},
        created_at=0.0,
        updated_at=0.0,
    )


def test_a_step_with_one_life_left_runs_alone_and_its_saga_may_come_again(isolation: Isolation) -> None:
    assert isolation.enter("a", 4)
    assert isolation.enter("a", 2)
    assert not isolation.enter("b", 2)


def test_the_more_workers_were_lost_the_smaller_the_company(isolation: Isolation) -> None:
    assert all(isolation.enter(f"saga-{number}", 2) for number in range(ROOM[2]))
    assert not isolation.enter("one more", 2)
    for number in range(ROOM[3] - 1, ROOM[2]):
        isolation.leave(f"saga-{number}")
    assert isolation.enter("a", 3)
    assert not isolation.enter("b", 2), "those with fewer lives left decide"


def test_who_waits_is_looked_at_when_another_leaves_in_the_order_of_coming(
    isolation: Isolation, looked: list[str]
) -> None:
    for saga_id in ("a", "b", "c", "b"):
        _ = isolation.enter(saga_id, 4)
    isolation.leave("a")
    assert looked == ["b", "c"]


def test_who_was_never_in_lets_nobody_in(isolation: Isolation, looked: list[str]) -> None:
    for saga_id in ("a", "b"):
        _ = isolation.enter(saga_id, 4)
    isolation.leave("b")
    assert looked == []


def test_a_step_is_suspect_before_its_lives_are_used_up() -> None:
    assert not is_suspect(saga(SUSPECT_AFTER - 1), "charge", Direction.FORWARD)
    assert is_suspect(saga(SUSPECT_AFTER), "charge", Direction.FORWARD)
    assert not is_suspect(saga(SUSPECT_AFTER), "charge", Direction.UNDO)


def test_a_worker_holds_a_suspect_only_by_its_own_claim() -> None:
    assert holds_suspect(saga(SUSPECT_AFTER, "me"), "me")
    assert not holds_suspect(saga(SUSPECT_AFTER, "other"), "me")
    assert not holds_suspect(saga(SUSPECT_AFTER), "me")
    assert not holds_suspect(saga(SUSPECT_AFTER - 1, "me"), "me")
