"""Circles of sagas that wait for one another are found, and the youngest that can turn back is named."""

from __future__ import annotations

from typing import Any

from sagaflow import SagaStatus
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.state import Lock, LockStatus, SagaState, StepState, StepStatus
from sagaflow.engine.deadlocks import find_deadlock
from sagaflow.ports import Ticket
from sagaflow.testing.store_states import new_saga, ticket

WANTED, HELD = Lock(LockStatus.WANTED, 1), Lock(LockStatus.HELD, 1)


async def standing(*sagas: SagaState, lines: dict[str, str]) -> MemoryStore:
    """A store with these sagas, and these lines of them, by lock."""
    store = MemoryStore()
    roots = {saga.id: saga.root for saga in sagas}
    for saga in sagas:
        await store.insert(saga, None)
    for key, line in lines.items():
        for saga_id in line.split():
            await store.queue_up(key, ticket(saga_id, roots.get(saga_id)))
    return store


def a_saga(saga_id: str, created_at: float, wants: str, holds: str, **fields: Any) -> SagaState:
    return new_saga(saga_id, created_at=created_at, locks={wants: WANTED, holds: HELD}, **fields)


async def found(store: MemoryStore, state: SagaState, *before: Ticket) -> tuple[tuple[str, ...], str | None] | None:
    deadlock = await find_deadlock(store, state, before)
    return None if deadlock is None else (deadlock.circle, deadlock.victim)


async def test_two_that_wait_for_one_another() -> None:
    a, b = a_saga("a", 1.0, "y", "x"), a_saga("b", 2.0, "x", "y")
    store = await standing(a, b, lines={"x": "a b", "y": "b a"})
    assert await found(store, a, ticket("b")) == (("a", "b"), "b")
    assert await found(store, b, ticket("a")) == (("b", "a"), "b")
    assert str(await find_deadlock(store, a, [ticket("b")])) == "a -> b -> a"


async def test_one_that_only_waits() -> None:
    a, b = a_saga("a", 1.0, "y", "x"), a_saga("b", 2.0, "z", "y")
    store = await standing(a, b, lines={"y": "b a", "x": "a", "z": "b"})
    assert await found(store, a, ticket("b")) is None


async def test_a_circle_of_three_with_a_tail() -> None:
    a, b, c = a_saga("a", 1.0, "y", "x"), a_saga("b", 2.0, "z", "y"), a_saga("c", 3.0, "x", "z")
    tail = a_saga("t", 4.0, "x", "w")
    store = await standing(a, b, c, tail, lines={"x": "a c t", "y": "b a", "z": "c b"})
    assert await found(store, a, ticket("b")) == (("a", "b", "c"), "c")
    # Who only waits for a circle is no part of it.
    assert await found(store, tail, ticket("a"), ticket("c")) is None


async def test_the_youngest_cannot_always_turn_back() -> None:
    a, b = a_saga("a", 1.0, "y", "x"), a_saga("b", 2.0, "x", "y", committed=True)
    store = await standing(a, b, lines={"x": "a b", "y": "b a"})
    assert await found(store, a, ticket("b")) == (("a", "b"), "a")
    back = a_saga("c", 1.0, "y", "x", status=SagaStatus.COMPENSATING)
    store = await standing(back, b, lines={"x": "c b", "y": "b c"})
    assert await found(store, back, ticket("b")) == (("c", "b"), None)


async def test_a_child_that_waits_for_who_waits_for_its_parent() -> None:
    parent = new_saga("p", created_at=1.0, locks={"x": HELD})
    parent = parent.with_step("ship", StepState(StepStatus.STARTED, linked=True))
    child = a_saga("p/ship", 2.0, "y", "w", root="p")
    other = a_saga("o", 3.0, "x", "y")
    store = await standing(parent, child, other, lines={"x": "p o", "y": "o p/ship"})
    assert await found(store, child, ticket("o")) == (("p/ship", "o"), "o")
    # Seen from the other one it goes through the parent, which waits for its child.
    assert await found(store, other, ticket("p")) == (("o", "p", "p/ship"), "o")


async def test_of_one_family_nobody_waits_for_another() -> None:
    a = a_saga("a", 1.0, "x", "y")
    store = await standing(a, lines={"x": "a"})
    assert await found(store, a, ticket("kin", "a")) is None
