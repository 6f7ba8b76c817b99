"""Forgetting: a saga that has ended may be forgotten once all that belong to it know."""

from __future__ import annotations

from sagaflow.core.events import FamilyEnded, FamilyTold
from sagaflow.core.state import SagaStatus
from tests.unit.story import NOW, Story, a_child, a_saga, a_step, chain, given

LATER = NOW + 86_400


def parent() -> Story:
    story = given(a_saga(a_child("ship"))).does("ship").inserts("ship").child_ends("ship", SagaStatus.COMPLETED)
    return story.expect(SagaStatus.COMPLETED)


def test_a_saga_without_children_may_be_forgotten_as_soon_as_its_family_has_ended() -> None:
    story = given(chain("a")).does("a").happens(FamilyEnded(LATER, NOW)).expect(owes="")
    assert (story.state.forget_at, story.state.expire_at) == (LATER, LATER)


def test_a_saga_with_children_tells_them_first() -> None:
    story = parent().happens(FamilyEnded(LATER, NOW)).expect(owes="tell family")
    assert (story.state.forget_at, story.state.expire_at) == (LATER, None)
    assert story.next_due == NOW
    story = story.happens(FamilyTold(LATER, NOW)).expect(owes="")
    assert story.state.expire_at == LATER


def test_a_saga_that_has_not_ended_is_forgotten_when_it_has() -> None:
    story = given(chain("a")).happens(FamilyEnded(LATER, NOW)).expect_no_change(FamilyTold(LATER, NOW)).expect(owes="")
    assert story.state.expire_at is None
    assert story.does("a").state.expire_at == LATER


def test_what_is_said_twice_or_of_another_time_changes_nothing() -> None:
    parent().expect_no_change(FamilyTold(LATER, NOW))
    story = (
        parent()
        .happens(FamilyEnded(LATER, NOW))
        .expect_no_change(FamilyEnded(LATER, NOW), FamilyEnded(LATER - 1, NOW), FamilyTold(LATER - 1, NOW))
    )
    story.happens(FamilyTold(LATER, NOW)).expect_no_change(FamilyTold(LATER, NOW))


def test_a_later_time_is_told_again() -> None:
    story = parent().happens(FamilyEnded(LATER, NOW), FamilyTold(LATER, NOW), FamilyEnded(LATER + 1, NOW))
    story.expect(owes="tell family")


def test_a_saga_that_goes_on_is_not_forgotten_before_it_has_ended_again() -> None:
    story = given(chain("a")).does("a").happens(FamilyEnded(LATER, NOW)).compensation_is_requested()
    assert story.expect(SagaStatus.COMPENSATING).state.expire_at is None
    assert story.undoes("a").state.expire_at == LATER


def test_a_child_that_another_one_replaced_is_told_too() -> None:
    definition = a_saga(a_step("pay", pivot=True, undo=False), a_child("ship", after=["pay"]))
    story = given(definition).does("pay", "ship").child_ends("ship", SagaStatus.COMPENSATED).is_retried()
    story = story.is_skipped("ship").expect(SagaStatus.COMPLETED).happens(FamilyEnded(LATER, NOW))
    story.expect(owes="tell family")
