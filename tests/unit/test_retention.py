"""When a saga that has ended may be forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sagaflow import SagaStatus, Settings
from sagaflow.core.state import Link, Lock, LockStatus, StepState
from sagaflow.engine.retention import with_retention
from sagaflow.testing.store_states import new_saga

KEEP = Settings(
    keep_completed=timedelta(seconds=1), keep_compensated=timedelta(seconds=2), keep_failed=timedelta(seconds=3)
)
DONE = SagaStatus.COMPLETED


def test_a_saga_that_runs_is_left_as_it_is() -> None:
    state = new_saga()
    assert with_retention(state, KEEP) is state


@pytest.mark.parametrize(("status", "at"), [(DONE, 101.0), (SagaStatus.COMPENSATED, 102.0), (SagaStatus.FAILED, 103.0)])
def test_each_end_has_a_time_of_its_own(status: SagaStatus, at: float) -> None:
    state = with_retention(new_saga(status=status, completed_at=100.0), KEEP)
    assert (state.forget_at, state.expire_at) == (at, at)
    assert with_retention(state, KEEP) is state


def test_without_a_setting_it_is_kept_for_ever() -> None:
    state = new_saga(status=DONE, completed_at=100.0)
    assert with_retention(state, Settings()) is state


def test_without_the_time_of_its_end_its_last_change_counts() -> None:
    assert with_retention(new_saga(status=DONE, updated_at=50.0), KEEP).expire_at == 51.0


def test_a_child_waits_to_be_told() -> None:
    child = new_saga(status=DONE, completed_at=100.0, parent=Link("p", "s"))
    assert with_retention(child, KEEP) is child
    told = with_retention(new_saga(status=DONE, parent=Link("p", "s"), forget_at=7.0), KEEP)
    assert told.expire_at == 7.0


def test_a_parent_waits_until_its_children_know() -> None:
    steps = {"ship": StepState(linked=True)}
    parent = with_retention(new_saga(status=DONE, completed_at=100.0).with_step("ship", steps["ship"]), KEEP)
    assert (parent.forget_at, parent.expire_at) == (101.0, None)


@pytest.mark.parametrize("status", LockStatus)
def test_who_stands_in_the_line_for_a_lock_is_kept(status: LockStatus) -> None:
    state = new_saga(status=SagaStatus.FAILED, completed_at=100.0, locks={"k": Lock(status, 1)})
    expire_at = with_retention(state, KEEP).expire_at
    assert expire_at == (103.0 if status is LockStatus.RELEASED else None)
