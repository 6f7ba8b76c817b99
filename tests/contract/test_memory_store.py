"""The store in memory keeps the contract, and can be shared by threads."""

import asyncio
import threading

import pytest

from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.ports import Due, Outcome, Store
from sagaflow.testing.store_contract import StoreContract
from sagaflow.testing.store_states import change, changed, new_saga, request


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    @pytest.fixture
    def other_store(self, store: Store) -> Store:
        return store


async def test_its_clock_can_be_given() -> None:
    store = MemoryStore(now=lambda: 42.0)
    await store.insert(new_saga("a"), None)
    await store.post("a", request("token"))
    assert store.heart().beat("worker").now == 42.0
    assert await store.due(41.9, 10) == []
    assert await store.due(42.0, 10) == [Due("a", 42.0)]


async def test_what_it_keeps_outlives_an_engine_that_closes_it() -> None:
    store = MemoryStore()
    state = new_saga()
    await store.insert(state, None)
    await store.close()
    await store.open()
    assert (await store.load([state.id]))[state.id].state == state


def test_event_loops_in_several_threads_share_it() -> None:
    store = MemoryStore()
    won: list[int] = []

    async def commit_often() -> None:
        for _ in range(500):
            state = (await store.load(["shared"]))["shared"].state
            if await store.commit([change(state, changed(state))]) == [Outcome.COMMITTED]:
                won.append(state.revision)

    asyncio.run(store.insert(new_saga("shared"), None))
    threads = [threading.Thread(target=lambda: asyncio.run(commit_often())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(len(won)))
    assert asyncio.run(store.summaries(["shared"]))["shared"].revision == len(won)
