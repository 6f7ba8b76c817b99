"""The part of the contract of stores about what an overview shows: numbers that are right, and the oldest sagas."""

from __future__ import annotations

from ..core.state import SagaStatus
from ..ports import Ended, Outcome, Store, Tally
from .store_states import change, changed, new_saga


class SurveyContract:
    """Whoever counts sees each saga once, as it is now."""

    async def test_sagas_are_counted_by_class_and_status(self, store: Store, other_store: Store) -> None:
        assert await store.tally() == []
        sagas = [
            new_saga(saga=saga, status=status)
            for saga, status, count in (
                ("Order", SagaStatus.STARTED, 2),
                ("Order", SagaStatus.FAILED, 1),
                ("Trip", SagaStatus.STARTED, 3),
            )
            for _ in range(count)
        ]
        for saga in sagas:
            await store.insert(saga, None)
        assert sorted(await other_store.tally(), key=str) == [
            Tally("Order", SagaStatus.FAILED, 1),
            Tally("Order", SagaStatus.STARTED, 2),
            Tally("Trip", SagaStatus.STARTED, 3),
        ]
        after = changed(sagas[0], status=SagaStatus.COMPLETED)
        assert await store.commit([change(sagas[0], after)]) == [Outcome.COMMITTED]
        assert Tally("Order", SagaStatus.COMPLETED, 1) in await other_store.tally()
        assert Tally("Order", SagaStatus.STARTED, 1) in await other_store.tally()

    async def test_what_is_only_left_of_a_saga_is_not_counted(self, store: Store) -> None:
        due = await store.now() + 10_000.0
        gone = new_saga("gone", status=SagaStatus.COMPLETED, named=True, expire_at=due, completed_at=5.0)
        await store.insert(gone, None)
        assert await store.expire(due, 10, due) == 1
        assert await store.tally() == []
        assert await store.ended(0.0, 10.0, 1) == []
        assert await store.oldest(list(SagaStatus), 10) == []

    async def test_sagas_that_ended_are_counted_by_stretches_of_time(self, store: Store) -> None:
        for at, status in (
            (99.9, SagaStatus.COMPLETED),  # before the first stretch
            (100.0, SagaStatus.COMPLETED),
            (109.9, SagaStatus.COMPLETED),
            (110.0, SagaStatus.FAILED),
            (None, SagaStatus.STARTED),
            (129.0, SagaStatus.COMPENSATED),
            (130.0, SagaStatus.COMPLETED),  # after the last one
        ):
            await store.insert(new_saga(status=status, completed_at=at, updated_at=111.0), None)
        assert sorted(await store.ended(100.0, 10.0, 3), key=lambda one: one.stretch) == [
            Ended(0, SagaStatus.COMPLETED, 2),
            Ended(1, SagaStatus.FAILED, 1),
            Ended(2, SagaStatus.COMPENSATED, 1),
        ]

    async def test_a_saga_that_is_undone_after_its_end_is_not_counted_any_more(self, store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        done = changed(state, status=SagaStatus.COMPLETED, completed_at=105.0)
        assert await store.commit([change(state, done)]) == [Outcome.COMMITTED]
        assert await store.ended(100.0, 10.0, 1) == [Ended(0, SagaStatus.COMPLETED, 1)]
        undoing = changed(done, status=SagaStatus.COMPENSATING, completed_at=None)
        assert await store.commit([change(done, undoing)]) == [Outcome.COMMITTED]
        assert await store.ended(100.0, 10.0, 1) == []

    async def test_the_oldest_of_some_statuses_come_in_the_order_of_their_creation(self, store: Store) -> None:
        for saga_id, status, created_at in (
            ("b", SagaStatus.STARTED, 2.0),
            ("a", SagaStatus.COMPENSATING, 2.0),
            ("first", SagaStatus.STARTED, 1.0),
            ("done", SagaStatus.COMPLETED, 0.0),
            ("last", SagaStatus.STARTED, 3.0),
        ):
            await store.insert(new_saga(saga_id, status=status, created_at=created_at), None)
        live = [SagaStatus.STARTED, SagaStatus.COMPENSATING]
        assert [state.id for state in await store.oldest(live, 3)] == ["first", "a", "b"]
        assert await store.oldest([], 3) == []
