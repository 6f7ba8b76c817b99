"""The contract that every store keeps, as tests: subclass ``StoreContract`` for a store of your own.

::

    class TestMyStore(StoreContract):
        @pytest_asyncio.fixture
        async def store(self) -> AsyncIterator[Store]:
            store = MyStore(...)      # with nothing in it
            await store.open()
            yield store
            await store.close()

        @pytest_asyncio.fixture
        async def other_store(self, store: Store) -> AsyncIterator[Store]:
            ...                       # a second object on the same data, as another process would have

The tests need pytest, pytest-asyncio and Hypothesis. They take what the port says literally, races included, so one
that fails now and then has found something.
"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from msgspec.structs import replace

from ..core.state import (
    SCHEMA,
    Act,
    Link,
    Lock,
    LockStatus,
    Received,
    SagaState,
    SagaStatus,
    StepState,
    StepStatus,
    Track,
)
from ..errors import PayloadError
from ..ports import Outcome, Store, Summary
from .store_contract_inbox import InboxContract
from .store_contract_inspection import InspectionContract
from .store_contract_locks import GraphsContract, LocksContract
from .store_contract_retention import RetentionContract
from .store_contract_survey import SurveyContract
from .store_contract_sweeping import ListingContract, LivenessContract, SweepingContract
from .store_contract_tags import TagsContract
from .store_states import change, changed, claimed, new_saga, request
from .strategies import any_saga, sagas

AWKWARD = (
    "$status",
    "$$NOW",
    "a.b.c",
    "steps.reserve",
    '{"$ne": null}',
    'it\'s "quoted" `so`',
    "'; DROP TABLE sagas; --",
    "100% {curly} \\n \n \t",
    "naïve Straße ☂ 🧨 \u2028 \u200f \ufeff",
    " ",
)


class SagasContract:
    """Sagas are kept whole, and changed by compare-and-set."""

    races = 1_000
    """How often two stores race for one change."""

    @any_saga
    @given(state=sagas())
    async def test_a_new_saga_is_kept_whole(self, store: Store, other_store: Store, state: SagaState) -> None:
        state = replace(state, id=new_saga().id + state.id)
        assert await store.insert(state, None)
        stored = (await other_store.load([state.id]))[state.id]
        assert stored.state == state
        assert stored.inbox == ()

    @any_saga
    @given(state=sagas(), after=sagas())
    async def test_a_changed_saga_is_kept_whole(
        self, store: Store, other_store: Store, state: SagaState, after: SagaState
    ) -> None:
        state = replace(state, id=new_saga().id)
        after = replace(after, id=state.id, revision=state.revision + 1, created_at=state.created_at, tags=state.tags)
        await store.insert(state, 5.0)
        assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
        assert (await other_store.load([state.id]))[state.id].state == after

    @pytest.mark.parametrize("text", AWKWARD)
    async def test_text_is_never_more_than_text(self, store: Store, text: str) -> None:
        step = StepState(StepStatus.UNKNOWN, forward=Track(reason=text, last_error=text), output=text, late=(text,))
        state = new_saga(f"{text}-id", context=text, reason=text, saga=text, fingerprint=text)
        after = changed(state.with_step("reserve", step), reason=text + text)
        assert await store.insert(state, 1.0)
        assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
        assert (await store.post(state.id, request(text, text))).accepted
        stored = (await store.load([state.id]))[state.id]
        assert stored.state == after
        assert stored.inbox == (request(text, text),)

    @pytest.mark.parametrize("no_id", [{"$ne": None}, {"$gt": ""}, None, 7, b"saga", ["saga"]])
    async def test_what_is_no_string_is_no_id(self, store: Store, no_id: str) -> None:
        await store.insert(new_saga(), None)
        with pytest.raises(TypeError):
            await store.load([no_id])
        with pytest.raises(TypeError):
            await store.summaries([no_id])
        with pytest.raises(TypeError):
            await store.post(no_id, request("token"))

    async def test_a_lone_surrogate_is_refused_where_it_comes_in(self, store: Store) -> None:
        state = new_saga()
        with pytest.raises(PayloadError):
            await store.insert(replace(state, context="\ud800"), None)
        await store.insert(state, None)
        with pytest.raises(PayloadError):
            await store.post(state.id, request("token", "\udfff"))

    async def test_a_state_that_cannot_be_kept_does_not_stop_its_batch(self, store: Store) -> None:
        bad, good = new_saga(), new_saga()
        await store.insert(bad, None)
        await store.insert(good, None)
        outcomes = await store.commit([change(bad, changed(bad, reason="\ud800")), change(good)])
        assert outcomes == [Outcome.CONFLICT, Outcome.COMMITTED]

    async def test_a_saga_of_two_hundred_steps(self, store: Store) -> None:
        state = new_saga(steps=[f"step_{number}" for number in range(200)])
        await store.insert(state, None)
        for number in range(0, 200, 40):
            after = claimed(state, "worker", f"step_{number}")
            assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
            state = after
        assert (await store.load([state.id]))[state.id].state == state

    async def test_a_thousand_elements_of_a_step(self, store: Store) -> None:
        names = ["reserve", *(f"reserve[{number}]" for number in range(1_000))]
        state = new_saga(steps=names)
        await store.insert(state, None)
        for name in ("reserve[0]", "reserve[999]", "reserve"):
            after = claimed(state, "worker", name)
            assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
            state = after
        fewer = {name: step for name, step in state.steps.items() if name != "reserve[7]"}
        after = changed(state, steps={**fewer, "reserve[1000]": StepState(item="{}")})
        assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
        assert (await store.load([state.id]))[state.id].state == after
        assert await store.claimed_by("worker", 10) == [state.id]

    @pytest.mark.parametrize("key", [*AWKWARD, "", "0", "$[]", "a[0]", "x" * 500])
    async def test_keys_of_locks_and_signals_are_never_more_than_text(self, store: Store, key: str) -> None:
        locks, signals = {key: Lock(LockStatus.WANTED, 1)}, {key: Received("token", 1.0, output=key)}
        states = [new_saga(), new_saga(locks=locks, signals=signals)]
        for state in states:
            assert await store.insert(state, None)
            some = changed(
                state,
                locks={key: Lock(LockStatus.HELD, 2, holder=key), "other": Lock(LockStatus.WANTED, 1)},
                signals={"$set": Received("b", 2.0, error=key), key: Received("c", 3.0)},
                acts=(Act(key, 1.0, key, key, "reserve"),),
                parent=Link(key, "reserve"),
            )
            none = changed(some, locks={}, signals={}, acts=(), parent=None)
            for before, after in ((state, some), (some, none)):
                assert await store.commit([change(before, after)]) == [Outcome.COMMITTED]
                assert (await store.load([state.id]))[state.id].state == after

    async def test_what_is_committed_is_in_todays_form(self, store: Store) -> None:
        old = new_saga(schema=1)
        await store.insert(old, None)
        newer = changed(old, reason="first")
        newest = changed(newer, reason="second")
        for before, after in ((old, newer), (newer, newest)):
            assert await store.commit([change(before, after)]) == [Outcome.COMMITTED]
            assert (await store.load([old.id]))[old.id].state == replace(after, schema=SCHEMA)

    async def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        assert await store.load(["nobody"]) == {}
        assert await store.load([]) == {}
        assert await store.summaries(["nobody"]) == {}
        assert await store.commit([change(new_saga())]) == [Outcome.CONFLICT]
        assert await store.commit([]) == []

    async def test_of_twenty_inserts_of_one_id_one_wins(self, store: Store, other_store: Store) -> None:
        states = [new_saga("the-same", context=str(number)) for number in range(20)]
        stores = [store, other_store] * 10
        won = await asyncio.gather(*(one.insert(state, None) for one, state in zip(stores, states, strict=True)))
        assert won.count(True) == 1
        assert (await store.load(["the-same"]))["the-same"].state == states[won.index(True)]

    async def test_an_insert_that_is_repeated_changes_nothing(self, store: Store, other_store: Store) -> None:
        state = new_saga()
        after = claimed(state, "worker")
        assert await store.insert(state, 5.0)
        assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
        assert not await other_store.insert(state, 7.0)
        assert (await store.load([state.id]))[state.id].state == after
        assert await store.due(10.0, 10) == []

    async def test_of_two_racing_commits_exactly_one_wins(self, store: Store, other_store: Store) -> None:
        state = new_saga()
        await store.insert(state, None)
        for _ in range(self.races):
            mine, theirs = changed(state, reason="mine"), changed(state, reason="theirs")
            (first,), (second,) = await asyncio.gather(
                store.commit([change(state, mine)]), other_store.commit([change(state, theirs)])
            )
            assert {first, second} == {Outcome.COMMITTED, Outcome.CONFLICT}
            state = mine if first is Outcome.COMMITTED else theirs
        assert (await store.load([state.id]))[state.id].state == state

    async def test_of_two_racing_batches_each_saga_has_exactly_one_winner(
        self, store: Store, other_store: Store
    ) -> None:
        states = [new_saga() for _ in range(20)]
        for state in states:
            await store.insert(state, None)
        for _ in range(10):
            mine, theirs = ([changed(state, reason=who) for state in states] for who in ("mine", "theirs"))
            first, second = await asyncio.gather(
                store.commit([change(*pair) for pair in zip(states, mine, strict=True)]),
                other_store.commit([change(*pair) for pair in reversed([*zip(states, theirs, strict=True)])]),
            )
            outcomes = [*zip(first, reversed(second), strict=True)]
            assert all({*both} == {Outcome.COMMITTED, Outcome.CONFLICT} for both in outcomes)
            states = [
                my if won is Outcome.COMMITTED else their
                for my, their, (won, _) in zip(mine, theirs, outcomes, strict=True)
            ]
        stored = await store.load([state.id for state in states])
        assert [stored[state.id].state for state in states] == states

    async def test_of_sagas_that_are_inserted_at_once_each_id_is_taken_once(
        self, store: Store, other_store: Store
    ) -> None:
        states = [new_saga(context=str(number)) for number in range(20)]
        taken = await asyncio.gather(
            *(here.insert(state, None) for state in states for here in (store, other_store, store))
        )
        assert [sum(taken[place : place + 3]) for place in range(0, len(taken), 3)] == [1] * 20
        stored = await other_store.load([state.id for state in states])
        assert [stored[state.id].state for state in states] == states

    async def test_a_commit_on_an_old_revision_changes_nothing(self, store: Store) -> None:
        state = new_saga()
        newer = changed(state, reason="first")
        await store.insert(state, None)
        await store.commit([change(state, newer)])
        assert await store.commit([change(state, changed(state, reason="second"), wake_at=1.0)]) == [Outcome.CONFLICT]
        assert (await store.load([state.id]))[state.id].state == newer
        assert await store.due(10.0, 10) == []

    async def test_a_large_batch_has_the_outcome_of_each_in_order(self, store: Store) -> None:
        states = [new_saga() for _ in range(150)]
        transitions = [change(state, changed(state, reason=state.id)) for state in states]
        for number, state in enumerate(states):
            if number % 3 < 2:
                await store.insert(state, None)
            if number % 3 == 1:
                await store.commit([change(state)])
        outcomes = await store.commit(transitions)
        expected = [Outcome.COMMITTED, Outcome.CONFLICT, Outcome.CONFLICT]
        assert outcomes == expected * 50
        stored = await store.load([state.id for state in states])
        assert [number for number, state in enumerate(states) if state.id in stored] == [
            number for number in range(150) if number % 3 < 2
        ]
        for number, state in enumerate(states):
            if number % 3 < 2:
                assert stored[state.id].state.reason == (state.id if number % 3 == 0 else None)

    async def test_summaries_say_revision_and_status(self, store: Store) -> None:
        state, other = new_saga(), new_saga(status=SagaStatus.SCHEDULED)
        await store.insert(state, None)
        await store.insert(other, None)
        await store.commit([change(state, changed(state, status=SagaStatus.COMPLETED))])
        assert await store.summaries([state.id, "nobody", other.id]) == {
            state.id: Summary(1, SagaStatus.COMPLETED),
            other.id: Summary(0, SagaStatus.SCHEDULED),
        }


@pytest.mark.asyncio
class StoreContract(
    SagasContract,
    InboxContract,
    SweepingContract,
    LivenessContract,
    ListingContract,
    TagsContract,
    LocksContract,
    GraphsContract,
    RetentionContract,
    InspectionContract,
    SurveyContract,
):
    """All that a store must do. Subclass it with the fixtures ``store`` and ``other_store``.

    Both are open, have nothing in them, and stand for two processes on the same data. Set ``races`` lower for a
    store that is slow.
    """
