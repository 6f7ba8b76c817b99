"""Locks: wanted before what needs them, held until the saga has ended well, wanted again if it goes on."""

from __future__ import annotations

import pytest

from sagaflow.core.events import (
    Claimed,
    Deadlocked,
    Event,
    Fate,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
)
from sagaflow.core.state import LockStatus, SagaStatus, StepStatus
from tests.unit.story import FORWARD, NOW, SAYS, UNDO, Story, a_fan_out, a_saga, a_step, chain, given

DEADLOCK = Deadlocked("key", 1, "a deadlock", NOW)


def whole() -> Story:
    """A saga that is locked as a whole."""
    return given(chain("a", "b"), lock="key")


def partly() -> Story:
    """A saga whose second step needs a lock."""
    return given(a_saga(a_step("a"), a_step("b", after=["a"], lock=SAYS))).does("a").decides("b", lock="key")


def status(story: Story) -> LockStatus:
    return story.state.locks["key"].status


def test_nothing_of_a_locked_saga_begins_without_the_lock() -> None:
    story = whole().expect(SagaStatus.STARTED, opens="", owes="take lock key")
    story.expect_no_change(Claimed("a", FORWARD, "w1", NOW)).takes_lock("key").expect(opens="a", owes="")


def test_a_step_that_needs_a_lock_waits_for_it_and_others_do_not() -> None:
    definition = a_saga(a_step("a"), a_step("b", lock=SAYS))
    story = given(definition).decides("b", lock="key").expect(opens="a", owes="take lock key")
    story.expect_no_change(Claimed("b", FORWARD, "w1", NOW)).takes_lock("key").expect(opens="a, b", owes="")


def test_a_step_whose_key_is_nothing_needs_no_lock() -> None:
    given(a_saga(a_step("b", lock=SAYS))).decides("b").expect(opens="b", owes="")


def test_two_steps_that_need_one_lock_take_it_once() -> None:
    definition = a_saga(a_step("a", lock=SAYS), a_step("b", lock=SAYS))
    story = given(definition).decides("a", lock="key").takes_lock("key").decides("b", lock="key")
    story.expect(opens="a, b", owes="")


def test_all_elements_need_the_lock_of_their_step() -> None:
    story = given(a_saga(a_fan_out("e", lock=SAYS))).decides("e", "1", "2", lock="key").expect(opens="")
    story.takes_lock("key").expect(opens="e[0], e[1]").does("e[0]", "e[1]").expect(SagaStatus.COMPLETED)


def test_whoever_waits_for_the_holder_of_a_lock_is_parked_until_it_is_freed() -> None:
    story = whole().is_blocked("key").expect(owes="", opens="")
    assert story.next_due is None
    assert story.state.locks["key"].holder == "other"
    story.hears_of_lock("key").expect(owes="take lock key").takes_lock("key").expect(opens="a")


def test_a_lock_that_was_freed_while_somebody_looked_is_looked_at_again() -> None:
    story = whole().hears_of_lock("key")
    story.expect_no_change(LockBlocked("key", 1, "other", NOW, freed=0)).expect(owes="take lock key")
    story.happens(LockBlocked("key", 1, "other", NOW, freed=1)).expect(owes="")


def test_a_saga_that_has_ended_well_releases_its_lock() -> None:
    story = whole().takes_lock("key").does("a", "b").expect(SagaStatus.COMPLETED, owes="release lock key")
    assert story.next_due == NOW
    story.releases_lock("key").expect(owes="")
    undone = whole().takes_lock("key").does("a").cancellation_is_requested().undoes("a")
    undone.expect(SagaStatus.COMPENSATED, owes="release lock key")


def test_a_failed_saga_keeps_its_lock_until_it_is_resolved() -> None:
    story = whole().takes_lock("key").does("a").cancellation_is_requested().fails_to_undo("a")
    assert status(story.expect(SagaStatus.FAILED, owes="")) is LockStatus.HELD
    story.is_skipped("a", UNDO).expect(SagaStatus.COMPENSATED, owes="release lock key")


def test_a_lock_that_is_still_waited_for_is_given_up_when_the_saga_turns_back() -> None:
    story = partly().cancellation_is_requested().expect(opens="undo a", owes="release lock key")
    assert status(story) is LockStatus.RELEASING
    story.expect_no_change(LockHeld("key", 1, NOW), LockBlocked("key", 1, "other", NOW), LockFreed("key", NOW))
    story.releases_lock("key").undoes("a").expect(SagaStatus.COMPENSATED, owes="")


def test_a_lock_that_is_held_is_kept_while_the_saga_turns_back() -> None:
    story = partly().takes_lock("key").claims("b").cancellation_is_requested().succeeds("b").expect(opens="undo b")
    assert status(story) is LockStatus.HELD


@pytest.mark.parametrize("released", [True, False])
def test_a_saga_that_goes_back_after_it_had_ended_wants_its_lock_again_under_a_new_term(*, released: bool) -> None:
    story = whole().takes_lock("key").does("a", "b")
    story = (story.releases_lock("key") if released else story).compensation_is_requested()
    story.expect(SagaStatus.COMPENSATING, opens="", owes="take lock key")
    story.expect_no_change(LockReleased("key", 1, NOW), LockHeld("key", 1, NOW), LockBlocked("key", 1, "x", NOW))
    story.takes_lock("key").expect(opens="undo b").undoes("b", "a").expect(SagaStatus.COMPENSATED)


def test_a_late_undo_needs_the_lock_again() -> None:
    story = whole().takes_lock("key").loses_worker_of("a").cancellation_is_requested().undoes("a").releases_lock("key")
    story = story.succeeds("a", "late", attempt=1).expect(SagaStatus.COMPENSATING, opens="", owes="take lock key")
    story.takes_lock("key").undoes("a").expect(SagaStatus.COMPENSATED, owes="release lock key")


def test_a_scheduled_saga_takes_no_lock_before_its_time() -> None:
    story = given(chain("a"), start_in=60, lock="key").expect(SagaStatus.SCHEDULED, owes="")
    story.later(60).expect(owes="take lock key")


def test_a_paused_saga_takes_no_lock_but_releases_what_it_does_not_need() -> None:
    whole().is_paused().expect(owes="").is_resumed().expect(owes="take lock key")
    partly().is_paused().cancellation_is_requested().expect(owes="release lock key", opens="")


def test_a_victim_of_a_deadlock_turns_back() -> None:
    story = partly().is_blocked("key").happens(DEADLOCK)
    story.expect(SagaStatus.COMPENSATING, opens="undo a", reason="a deadlock", owes="release lock key")


@pytest.mark.parametrize(
    "event",
    [
        Deadlocked("other", 1, "why", NOW),
        Deadlocked("key", 2, "why", NOW),
        LockHeld("other", 1, NOW),
        LockHeld("key", 2, NOW),
        LockBlocked("key", 0, "x", NOW),
        LockReleased("key", 1, NOW),
        LockFreed("other", NOW),
    ],
)
def test_what_is_said_of_another_lock_or_term_changes_nothing(event: Event) -> None:
    partly().expect_no_change(event)


def test_what_is_said_twice_of_a_lock_counts_once() -> None:
    partly().is_blocked("key").expect_no_change(LockBlocked("key", 1, "other", NOW))
    held = partly().takes_lock("key")
    held.expect_no_change(LockHeld("key", 1, NOW), LockBlocked("key", 1, "x", NOW), LockFreed("key", NOW), DEADLOCK)
    released = held.does("b").releases_lock("key")
    released.expect_no_change(LockReleased("key", 1, NOW))


def test_no_deadlock_turns_a_saga_back_that_cannot_or_that_goes_back_already() -> None:
    definition = a_saga(a_step("a", pivot=True), a_step("b", after=["a"], undo=False, lock=SAYS))
    given(definition).does("a").decides("b", lock="key").expect_no_change(DEADLOCK)
    story = whole().takes_lock("key").does("a", "b").compensation_is_requested()
    story.expect_no_change(Deadlocked("key", 2, "why", NOW))


def test_after_the_pivot_a_step_that_waits_for_a_lock_keeps_the_saga_alive() -> None:
    definition = a_saga(
        a_step("a", pivot=True),
        a_step("b", after=["a"], undo=False, lock=SAYS),
        a_step("c", after=["a"], undo=False),
    )
    story = given(definition).does("a").decides("b", lock="key").is_blocked("key").fails("c", Fate.FINAL)
    story = story.expect(SagaStatus.STARTED, c=StepStatus.UNKNOWN).hears_of_lock("key").takes_lock("key").does("b")
    assert status(story.expect(SagaStatus.FAILED, owes="")) is LockStatus.HELD
    story.is_retried().does("c").expect(SagaStatus.COMPLETED, owes="release lock key")


@pytest.mark.parametrize(
    "late", [LockHeld("key", 1, NOW), LockBlocked("key", 1, "other", NOW), LockFreed("key", NOW)], ids=repr
)
def test_a_saga_that_was_put_into_the_line_again_after_it_had_left_leaves_it_again(late: Event) -> None:
    story = partly().takes_lock("key").does("b").releases_lock("key").expect(owes="")
    story.happens(late).expect(owes="release lock key").releases_lock("key").expect(owes="")
