"""The part of the contract of stores that keeps sagas going: what is due, who is alive, and the listing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from ..core.state import SagaState, SagaStatus, StepState
from ..ports import Beat, Due, Heart, Orphan, Outcome, Query, Store
from .store_states import ENDLESS, change, changed, claimed, new_saga, request


class SweepingContract:
    """Somebody looks at every saga that needs it: it is due, until it is put off or changed."""

    async def test_due_are_those_whose_time_has_passed_the_longest_overdue_first(self, store: Store) -> None:
        for saga_id, wake_at in {"c": 30.0, "a": 10.0, "never": None, "d": 40.0, "b": 20.0}.items():
            await store.insert(new_saga(saga_id), wake_at)
        assert await store.due(30.0, 10) == [Due("a", 10.0), Due("b", 20.0), Due("c", 30.0)]
        assert await store.due(30.0, 2) == [Due("a", 10.0), Due("b", 20.0)]
        assert await store.due(9.9, 10) == []

    async def test_due_can_be_asked_of_some_definitions_only(self, store: Store) -> None:
        for number in range(8):
            saga = new_saga(f"saga-{number}", fingerprint=f"f-{number % 3}")
            await store.insert(saga, float(number) if number < 6 else None)
            if number >= 6:
                await store.post(saga.id, request("token"))

        async def found(limit: int, *fingerprints: str) -> list[str]:
            return [one.saga_id for one in await store.due(ENDLESS, limit, fingerprints)]

        assert await found(9, "f-1") == ["saga-1", "saga-4", "saga-7"]
        assert await found(3, "f-2", "f-0") == ["saga-0", "saga-2", "saga-3"]
        assert await found(9, "f-2", "f-0") == ["saga-0", "saga-2", "saga-3", "saga-5", "saga-6"]
        assert await found(9, "$f") == []
        assert await found(9) == []
        assert len(await store.due(ENDLESS, 9)) == 8

    async def test_a_commit_says_when_the_saga_is_due_again(self, store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, 10.0)
        await store.commit([change(state, wake_at=50.0)])
        assert await store.due(49.0, 10) == []
        assert await store.due(50.0, 10) == [Due("a", 50.0)]
        await store.commit([change(changed(state))])
        assert await store.due(ENDLESS, 10) == []

    async def test_a_saga_with_a_request_is_due_until_it_is_consumed(self, store: Store, other_store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, None)
        await other_store.post("a", request("token"))
        assert [found.saga_id for found in await store.due(ENDLESS, 10)] == ["a"]
        await store.commit([change(state, consumed=("token",))])
        assert await store.due(ENDLESS, 10) == []

    async def test_a_request_that_the_commit_did_not_know_of_keeps_the_saga_due(self, store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, None)
        await store.post("a", request("known"))
        await store.post("a", request("unknown"))
        await store.commit([change(state, consumed=("known",), wake_at=ENDLESS)])
        found = await store.due(ENDLESS - 1, 10)
        assert [one.saga_id for one in found] == ["a"]
        assert found[0].wake_at < ENDLESS

    async def test_a_new_request_does_not_make_an_overdue_saga_less_so(self, store: Store) -> None:
        await store.insert(new_saga("a"), 10.0)
        await store.post("a", request("token"))
        assert await store.due(ENDLESS, 10) == [Due("a", 10.0)]

    async def test_a_deferred_saga_is_due_again_then(self, store: Store, other_store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, 10.0)
        assert await store.defer([Due("a", 10.0)], [20.0]) == [True]
        assert await store.due(19.0, 10) == []
        assert await other_store.due(20.0, 10) == [Due("a", 20.0, 1)]
        assert await other_store.defer([Due("a", 20.0, 1)], [40.0]) == [True]
        assert await store.due(ENDLESS, 10) == [Due("a", 40.0, 2)]
        assert (await store.load(["a"]))["a"].state == state

    async def test_what_is_put_off_for_no_fault_of_its_own_counts_no_dispatch(self, store: Store) -> None:
        await store.insert(new_saga("a"), 10.0)
        assert await store.defer([Due("a", 10.0)], [20.0], counts=False) == [True]
        assert await store.defer([Due("a", 10.0)], [30.0], counts=False) == [False]
        assert await store.due(20.0, 10) == [Due("a", 20.0, 0)]

    async def test_a_deferred_saga_is_not_found_by_its_requests_either(self, store: Store) -> None:
        await store.insert(new_saga("a"), None)
        for token in ("one", "two"):
            await store.post("a", request(token))
        found = await store.due(ENDLESS, 10)
        assert await store.defer(found, [ENDLESS]) == [True]
        assert await store.due(ENDLESS - 1, 10) == []
        assert await store.due(ENDLESS, 10) == [Due("a", ENDLESS, 1)]
        await store.post("a", request("three"))
        (again,) = await store.due(ENDLESS - 1, 10)
        assert again.dispatches == 1
        assert len((await store.load(["a"]))["a"].inbox) == 3

    async def test_a_commit_resets_the_count_of_dispatches(self, store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, 10.0)
        await store.defer([Due("a", 10.0)], [20.0])
        await store.commit([change(state, wake_at=30.0)])
        assert await store.due(ENDLESS, 10) == [Due("a", 30.0, 0)]

    async def test_what_has_changed_since_it_was_found_is_not_deferred(self, store: Store) -> None:
        state = new_saga("a")
        await store.insert(state, 10.0)
        await store.commit([change(state, wake_at=11.0)])
        stale = [Due("a", 10.0), Due("a", 11.0, 1), Due("nobody", 10.0)]
        for found in stale:
            assert await store.defer([found], [50.0]) == [False]
        assert await store.defer([], []) == []
        assert await store.due(ENDLESS, 10) == [Due("a", 11.0)]

    async def test_of_two_sweepers_one_gets_each_saga(self, store: Store, other_store: Store) -> None:
        for number in range(50):
            await store.insert(new_saga(f"saga-{number:02}"), float(number))
            if number % 2:
                await store.post(f"saga-{number:02}", request("token"))
        found = await store.due(ENDLESS, 100)
        assert len(found) == 50
        until = [2_000.0 + number for number in range(50)]
        mine, theirs = await asyncio.gather(store.defer(found, until), other_store.defer(found, until))
        assert [a != b for a, b in zip(mine, theirs, strict=True)] == [True] * 50
        assert await store.due(ENDLESS, 100) == [Due(one.saga_id, at, 1) for one, at in zip(found, until, strict=True)]


class LivenessContract:
    """Who is alive is a recorded fact, and death is final."""

    async def test_a_beat_registers_counts_and_sees_the_others(self, store: Store, other_store: Store) -> None:
        mine, theirs = store.heart(), other_store.heart()
        assert mine.beat("a").others == {}
        assert theirs.beat("b").others == {"a": 1}
        first, second = mine.beat("a"), mine.beat("a")
        assert theirs.beat("b").others == {"a": 3}
        assert first.alive
        assert second.others == {"b": 1}
        assert second.now >= first.now > 1e9
        _close(mine, theirs)

    async def test_only_who_stands_still_is_declared_dead(self, store: Store, other_store: Store) -> None:
        mine, judge = store.heart(), other_store.heart()
        mine.beat("a")
        mine.beat("a")
        assert not judge.declare_dead("a", 1)
        assert not judge.declare_dead("nobody", 0)
        assert mine.beat("a").alive
        assert judge.declare_dead("a", 3)
        assert not judge.declare_dead("a", 3)
        assert judge.beat("b").others == {}
        _close(mine, judge)

    async def test_the_dead_stay_dead(self, store: Store, other_store: Store) -> None:
        mine, judge = store.heart(), other_store.heart()
        mine.beat("a")
        judge.declare_dead("a", 1)
        assert not mine.beat("a").alive
        assert mine.beat("a").now > 1e9
        restarted = store.heart()
        assert not restarted.beat("a").alive
        assert not mine.beat("a").alive
        assert judge.beat("b").others == {}
        assert mine.beat("a's next incarnation").alive
        _close(mine, judge, restarted)

    async def test_who_leaves_is_dead_and_twice_is_as_once(self, store: Store, other_store: Store) -> None:
        mine, judge = store.heart(), other_store.heart()
        mine.beat("a")
        mine.leave("a")
        mine.leave("a")
        mine.leave("was never here")
        assert not judge.declare_dead("a", 1)
        assert judge.beat("b").others == {}
        assert not mine.beat("a").alive
        _close(mine, judge)

    async def test_a_beat_that_races_with_a_death_lives_or_knows(self, store: Store, other_store: Store) -> None:
        def beat(heart: Heart, worker: str) -> Beat:
            return heart.beat(worker)

        mine, judge = store.heart(), other_store.heart()
        # A heart belongs to one thread.
        with ThreadPoolExecutor(1) as my_thread, ThreadPoolExecutor(1) as judges_thread:
            for number in range(50):
                worker = f"worker-{number}"
                my_thread.submit(beat, mine, worker).result()
                beating = my_thread.submit(beat, mine, worker)
                killing = judges_thread.submit(judge.declare_dead, worker, 1)
                assert beating.result().alive != killing.result()
            my_thread.submit(mine.close).result()
            judges_thread.submit(judge.close).result()

    async def test_the_claims_of_the_dead_are_orphans(self, store: Store, other_store: Store) -> None:
        heart = store.heart()
        states: dict[str, SagaState] = {}
        for owner in ("living", "dead", "left", "unknown"):
            state = new_saga(f"saga of {owner}")
            states[owner] = claimed(state, owner)
            await store.insert(state, None)
            await store.commit([change(state, states[owner])])
        for owner in ("living", "dead", "left"):
            heart.beat(owner)
        assert await store.orphans(10) == []
        heart.declare_dead("dead", 1)
        heart.leave("left")
        orphans = await other_store.orphans(10)
        assert {(one.saga_id, one.owner) for one in orphans} == {
            ("saga of dead", "dead"),
            ("saga of left", "left"),
        }
        assert len(await store.orphans(1)) == 1
        given_up = changed(states["dead"].with_step("reserve", StepState()))
        assert await store.commit([change(states["dead"], given_up)]) == [Outcome.COMMITTED]
        assert await store.orphans(10) == [Orphan("saga of left", "left")]
        _close(heart)

    async def test_a_saga_can_be_an_orphan_of_several(self, store: Store) -> None:
        heart = store.heart()
        state = new_saga("a")
        shared = claimed(claimed(state, "one"), "two", "charge")
        await store.insert(shared, None)
        for owner in ("one", "two"):
            heart.beat(owner)
            heart.leave(owner)
        orphans = await store.orphans(10)
        assert {(one.saga_id, one.owner) for one in orphans} == {("a", "one"), ("a", "two")}
        _close(heart)

    async def test_orphans_can_be_asked_of_some_definitions_only(self, store: Store) -> None:
        heart = store.heart()
        heart.beat("dead")
        heart.leave("dead")
        for number in range(4):
            await store.insert(claimed(new_saga(str(number), fingerprint=f"f-{number % 2}"), "dead"), None)
        assert sorted(one.saga_id for one in await store.orphans(9, ["f-1"])) == ["1", "3"]
        assert len(await store.orphans(1, ["f-0", "f-2"])) == 1
        assert len(await store.orphans(9, ["f-0", "f-1"])) == 4
        assert await store.orphans(9, []) == []
        _close(heart)

    async def test_claims_are_found_by_their_owner(self, store: Store, other_store: Store) -> None:
        for number in range(4):
            state = new_saga(f"saga-{number}")
            await store.insert(state, None)
            after = claimed(state, "even" if number % 2 == 0 else "odd")
            await store.commit([change(state, after)])
            if number == 2:
                await store.commit([change(after, changed(after, steps=state.steps))])
        assert await other_store.claimed_by("even", 10) == ["saga-0"]
        assert sorted(await other_store.claimed_by("odd", 10)) == ["saga-1", "saga-3"]
        assert len(await store.claimed_by("odd", 1)) == 1
        assert await store.claimed_by("nobody", 10) == []

    async def test_a_claim_that_is_taken_over_changes_hands(self, store: Store) -> None:
        state = new_saga("a")
        first = claimed(state, "one")
        second = claimed(first, "two")
        await store.insert(state, None)
        assert await store.commit([change(state, first)]) == [Outcome.COMMITTED]
        assert await store.commit([change(first, second)]) == [Outcome.COMMITTED]
        assert await store.claimed_by("one", 10) == []
        assert await store.claimed_by("two", 10) == ["a"]


class ListingContract:
    """A listing goes through everything once, the newest first."""

    async def test_pages_are_complete_ordered_and_without_repetition(self, store: Store) -> None:
        states = [new_saga(f"saga-{number:02}", created_at=float(number // 4)) for number in range(30)]
        for state in states:
            await store.insert(state, None)
        states.sort(key=lambda state: (state.created_at, state.id), reverse=True)
        for limit in (1, 7, 10, 29, 30, 31):
            assert await all_pages(store, Query(limit=limit)) == states

    async def test_what_is_new_does_not_disturb_a_listing(self, store: Store) -> None:
        for number in range(6):
            await store.insert(new_saga(f"old-{number}", created_at=float(number)), None)
        page = await store.find(Query(limit=3))
        await store.insert(new_saga("newest", created_at=100.0), None)
        await store.insert(new_saga("backdated", created_at=0.5), None)
        rest = await store.find(Query(limit=10, cursor=page.cursor))
        assert [state.id for state in page.sagas] == ["old-5", "old-4", "old-3"]
        assert [state.id for state in rest.sagas] == ["old-2", "old-1", "backdated", "old-0"]
        assert rest.cursor is None

    async def test_filters_leave_out_what_does_not_match(self, store: Store) -> None:
        kinds = [("Order", SagaStatus.STARTED), ("Order", SagaStatus.FAILED), ("Trip", SagaStatus.STARTED)]
        for number, (saga, status) in enumerate(kinds * 2):
            at = float(number)
            await store.insert(new_saga(str(number), saga=saga, status=status, created_at=at, updated_at=at + 10), None)

        async def found(query: Query) -> str:
            states = await all_pages(store, query)
            return "".join(state.id for state in states)

        assert await found(Query()) == "543210"
        assert await found(Query(sagas=("Trip",))) == "52"
        assert await found(Query(sagas=("Trip", "Order"), limit=2)) == "543210"
        assert await found(Query(statuses=(SagaStatus.FAILED,))) == "41"
        assert await found(Query(sagas=("Order",), statuses=(SagaStatus.STARTED, SagaStatus.COMPLETED))) == "30"
        assert await found(Query(created_before=3.0, limit=2)) == "210"
        assert await found(Query(updated_before=12.0)) == "10"
        assert await found(Query(sagas=("$ne",))) == ""
        assert await found(Query(sagas=("Order",), created_before=4.0, updated_before=20.0, limit=1)) == "310"

    @pytest.mark.parametrize("cursor", ["", "no cursor", "%%%", "e30=", "W10=", "WzEsMl0=", "é"])
    async def test_an_invalid_cursor_is_said_to_be_one(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="cursor"):
            await store.find(Query(cursor=cursor))

    async def test_a_page_has_at_least_one_saga(self, store: Store) -> None:
        with pytest.raises(ValueError, match="limit"):
            await store.find(Query(limit=0))


async def all_pages(store: Store, query: Query) -> list[SagaState]:
    """All sagas of a listing, however many pages it has."""
    states: list[SagaState] = []
    cursor: str | None = None
    while True:
        page = await store.find(replace(query, cursor=cursor))
        assert len(page.sagas) <= query.limit
        states += page.sagas
        cursor = page.cursor
        if cursor is None:
            return states


def _close(*hearts: Heart) -> None:
    for heart in hearts:
        heart.close()
