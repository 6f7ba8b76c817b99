"""The part of the contract of stores about what is forgotten, when, and what is left of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..core.events import CompensationRequested
from ..core.state import SagaState, SagaStatus
from ..ports import Outcome, Page, Posted, Query, Signal, Store, Tombstone
from .store_states import ENDLESS, change, changed, claimed, new_saga, request

DAY = 86_400.0

# A store may forget by itself what is due by its own clock. What lies ahead of that is forgotten only when it is told.
LATER = 10_000.0


def _ended(saga_id: str | None = None, *, after: float, **fields: Any) -> SagaState:
    """A completed saga that may be forgotten so many seconds later."""
    usual: dict[str, Any] = {
        "status": SagaStatus.COMPLETED,
        "completed_at": 1_500.0,
        "expire_at": time.time() + LATER + after,
    }
    return new_saga(saga_id, **{**usual, **fields})


def _at(after: float) -> float:
    return time.time() + LATER + after + 60.0


class RetentionContract:
    """A saga is forgotten when its time has come, and not before; an id that was chosen is kept longer."""

    async def test_what_is_due_vanishes_and_the_rest_stays(self, store: Store, other_store: Store) -> None:
        gone, later, never = _ended("gone", after=0.0), _ended("later", after=DAY), new_saga("never")
        for state in (gone, later, never):
            await store.insert(state, None)
        assert await store.expire(time.time(), 10, DAY) == 0
        assert await other_store.expire(_at(0.0), 10, DAY) == 1
        assert await store.expire(_at(0.0), 10, DAY) == 0
        assert (await store.load(["gone", "later", "never"])).keys() == {"later", "never"}
        assert await store.tombstone("gone") is None
        assert await store.insert(gone, None)

    async def test_what_is_named_leaves_a_tombstone(self, store: Store, other_store: Store) -> None:
        state = _ended("o-1", after=0.0, named=True, saga="Trip", status=SagaStatus.COMPENSATED)
        await store.insert(state, None)
        assert await store.tombstone("o-1") is None
        assert await store.expire(_at(0.0), 10, DAY) == 1
        expected = Tombstone("Trip", SagaStatus.COMPENSATED, 1_500.0)
        assert await other_store.tombstone("o-1") == expected
        assert not await other_store.insert(state, None)
        assert not await store.insert(new_saga("o-1"), 5.0)
        assert await store.tombstone("o-1") == expected

    async def test_a_tombstone_may_know_no_time_of_its_end(self, store: Store) -> None:
        await store.insert(_ended("o-1", after=0.0, named=True, completed_at=None), None)
        await store.expire(_at(0.0), 10, DAY)
        assert await store.tombstone("o-1") == Tombstone("Order", SagaStatus.COMPLETED, None)

    async def test_a_tombstone_is_nowhere_else(self, store: Store) -> None:
        state = claimed(_ended("o-1", after=0.0, named=True), "dead")
        await store.insert(state, 5.0)
        heart = store.heart()
        heart.beat("dead")
        heart.leave("dead")
        (found,) = await store.due(10.0, 10)
        assert await store.expire(_at(0.0), 10, DAY) == 1
        assert await store.load(["o-1"]) == {}
        assert await store.summaries(["o-1"]) == {}
        assert await store.due(ENDLESS, 10) == []
        assert await store.defer([found], [50.0]) == [False]
        assert await store.orphans(10) == []
        assert await store.claimed_by("dead", 10) == []
        for query in (
            Query(),
            Query(sagas=("Order",)),
            Query(statuses=(SagaStatus.COMPLETED,)),
            Query(created_before=ENDLESS),
            Query(updated_before=ENDLESS),
        ):
            assert await store.find(query) == Page(())
        assert await store.commit([change(state)]) == [Outcome.CONFLICT]
        assert await store.post("o-1", request("token")) == Posted(False, None)
        assert await store.expire(_at(0.0), 10, DAY) == 0
        heart.close()

    async def test_listings_go_on_between_tombstones(self, store: Store) -> None:
        for number in range(6):
            state = _ended(f"o-{number}", after=0.0, named=True, created_at=float(number))
            await store.insert(state if number % 2 else changed(state, expire_at=None), None)
        assert await store.expire(_at(0.0), 10, DAY) == 3
        page = await store.find(Query(limit=2))
        rest = await store.find(Query(limit=2, cursor=page.cursor))
        assert [state.id for state in page.sagas + rest.sagas] == ["o-4", "o-2", "o-0"]
        assert rest.cursor is None

    async def test_a_tombstone_stays_for_its_time(self, store: Store) -> None:
        state = _ended("o-1", after=0.0, named=True)
        await store.insert(state, None)
        now = _at(0.0)
        assert await store.expire(now, 10, DAY) == 1
        assert await store.expire(now + DAY - 1.0, 10, DAY) == 0
        assert await store.tombstone("o-1") is not None
        assert await store.expire(now + DAY + 1.0, 10, DAY) == 0
        assert await store.tombstone("o-1") is None
        assert await store.insert(state, None)

    async def test_a_commit_says_when_a_saga_is_forgotten(self, store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, None)
        ended = changed(state, status=SagaStatus.COMPLETED, expire_at=time.time() + LATER)
        postponed = changed(ended, expire_at=time.time() + LATER + DAY)
        assert await store.commit([change(state, ended)]) == [Outcome.COMMITTED]
        assert await store.commit([change(ended, postponed)]) == [Outcome.COMMITTED]
        assert await store.expire(_at(0.0), 10, DAY) == 0
        assert await store.expire(_at(DAY), 10, DAY) == 1
        assert await store.load(["a"]) == {}

    async def test_a_saga_that_goes_on_again_is_not_forgotten(self, store: Store) -> None:
        for named in (False, True):
            state = _ended(after=0.0, named=named)
            await store.insert(state, None)
            undone = changed(state, status=SagaStatus.COMPENSATING, completed_at=None, expire_at=None)
            assert await store.commit([change(state, undone)]) == [Outcome.COMMITTED]
            assert await store.expire(_at(0.0), 10, DAY) == 0
            assert (await store.load([state.id]))[state.id].state == undone

    async def test_a_saga_with_a_request_is_not_forgotten(self, store: Store) -> None:
        asked = Signal("token", CompensationRequested("the customer called", 1_000.0))
        for named in (False, True):
            state = _ended(after=0.0, named=named)
            await store.insert(state, None)
            assert (await store.post(state.id, asked)).accepted
            assert await store.expire(_at(0.0), 10, DAY) == 0
            assert (await store.load([state.id]))[state.id].inbox == (asked,)
            assert await store.commit([change(state, consumed=("token",))]) == [Outcome.COMMITTED]
            assert await store.expire(_at(0.0), 10, DAY) == 1

    async def test_the_longest_due_are_forgotten_first_and_not_all_at_once(self, store: Store) -> None:
        for number in (3, 1, 4, 0, 2):
            await store.insert(_ended(str(number), after=float(number), named=number % 2 == 0), None)
        now = _at(10.0)
        assert await store.expire(now, 2, DAY) == 2
        assert (await store.load(list("01234"))).keys() == set("234")
        assert await store.expire(now, 2, DAY) == 2
        assert await store.expire(now, 2, DAY) == 1
        assert await store.expire(now, 2, DAY) == 0
        assert [await store.tombstone(saga_id) is not None for saga_id in "01234"] == [True, False] * 2 + [True]

    async def test_a_saga_is_forgotten_or_goes_on_but_not_both(self, store: Store, other_store: Store) -> None:
        for number in range(40):
            state = _ended(after=0.0, named=number % 2 == 0)
            await store.insert(state, None)
            undone = changed(state, status=SagaStatus.COMPENSATING, expire_at=None)
            (outcome,), forgotten = await asyncio.gather(
                store.commit([change(state, undone)]), other_store.expire(_at(0.0), 10, DAY)
            )
            assert (outcome is Outcome.COMMITTED) != (forgotten == 1)
            assert (state.id in await store.load([state.id])) == (outcome is Outcome.COMMITTED)

    async def test_a_saga_is_forgotten_or_asked_but_not_both(self, store: Store, other_store: Store) -> None:
        asked = Signal("token", CompensationRequested("the customer called", 1_000.0))
        for number in range(40):
            state = _ended(after=0.0, named=number % 2 == 0)
            await store.insert(state, None)
            posted, forgotten = await asyncio.gather(store.post(state.id, asked), other_store.expire(_at(0.0), 10, DAY))
            assert posted.accepted != (forgotten == 1)
            assert (state.id in await store.load([state.id])) == posted.accepted

    async def test_what_two_forget_at_once_is_forgotten_once(self, store: Store, other_store: Store) -> None:
        for number in range(30):
            await store.insert(_ended(str(number), after=0.0, named=number % 2 == 0), None)
        forgotten = await asyncio.gather(*(one.expire(_at(0.0), 30, DAY) for one in (store, other_store) * 2))
        assert sum(forgotten) == 30
        assert await store.load([str(number) for number in range(30)]) == {}
