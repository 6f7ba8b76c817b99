"""The check finds nothing in a healthy store, however busy it is, and each kind of breakage in a broken one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct
from msgspec.structs import replace

from sagaflow import Abort, Engine, Finding, NoEngine, Rule, Saga, StepSpec, step
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.core.state import Claim, Link, Lock, LockStatus, SagaState, SagaStatus, StepState, Track
from sagaflow.core.versions import to_text
from sagaflow.engine.checking import check_store
from sagaflow.ports import Graph, Store, Ticket
from sagaflow.testing.store_states import change, changed, claimed, new_saga, request
from tests.unit.story import Story, a_child, a_saga, chain, given

from .diaries import SOON, ms
from .stacks import QUICK, Stack

AT_ONCE = timedelta(0)
A_WHILE = timedelta(seconds=60)
SLACK = timedelta(minutes=1)
LATE = 1e11
"""A time that never comes."""

AB = chain("a", "b")
PARENT = a_saga(a_child("ship"))


@pytest_asyncio.fixture
async def store(stack: Stack) -> AsyncIterator[Store]:
    """A store that no engine works on; it has the graphs of the sagas that are told here."""
    opened = stack.store()
    await opened.open()
    for definition in (AB, PARENT):
        await opened.keep_graph(Graph(definition.fingerprint, definition.name, to_text(definition)))
    yield opened
    await opened.close()


async def found(store: Store, *, slack: timedelta = SLACK, **options: Any) -> list[tuple[str, Rule]]:
    return [(one.saga_id, one.rule) for one in await check_store(store, slack=slack, pause=ms(10), **options)]


async def keep(store: Store, state: SagaState, saga_id: str = "it", *, wake_at: float | None = LATE) -> None:
    await store.insert(replace(state, id=saga_id), wake_at)


# ---------------------------------------------------------------------------------------- one saga


async def test_a_saga_that_nobody_takes_up_is_overdue_after_the_slack(store: Store) -> None:
    now = await store.now()
    await keep(store, given(AB).state, "late", wake_at=now - 61)
    await keep(store, given(AB).state, "soon", wake_at=now - 30)
    assert await found(store) == [("late", Rule.OVERDUE)]


async def test_a_request_that_nobody_hears_is_overdue_too(store: Store) -> None:
    await keep(store, given(AB).is_paused().state, wake_at=None)
    await store.post("it", request("token"))
    assert await found(store) == []
    await asyncio.sleep(0.05)
    (finding,) = await check_store(store, slack=ms(20), pause=AT_ONCE)
    assert (finding.saga_id, finding.rule) == ("it", Rule.OVERDUE)


async def test_a_saga_at_which_nobody_will_look_again_is_found(store: Store) -> None:
    waiting = given(PARENT).does("ship")
    await keep(store, given(AB).state, "started", wake_at=None)
    await keep(store, given(AB, start_in=60).state, "scheduled", wake_at=None)
    await keep(store, waiting.state, "owes its child", wake_at=None)
    await keep(store, given(AB).is_paused().state, "paused", wake_at=None)
    await store.insert(ended("ended"), None)
    named = {"started", "scheduled", "owes its child"}
    assert set(await found(store)) == {(name, Rule.UNATTENDED) for name in named}


async def test_a_claim_of_nobody_is_found_and_one_of_the_dead_after_the_slack(store: Store) -> None:
    heart = store.heart()
    heart.beat("living")
    heart.leave("dead")
    heart.close()
    for owner in ("living", "dead", "unknown"):
        await keep(store, given(AB).claims("a", by=owner).state, f"of {owner}", wake_at=None)
    assert await found(store) == [("of unknown", Rule.OWNERLESS_CLAIM)]
    await asyncio.sleep(0.05)
    assert await found(store, slack=ms(20)) == [("of dead", Rule.OWNERLESS_CLAIM), ("of unknown", Rule.OWNERLESS_CLAIM)]
    # What it wrote when it was dead already has been there for a moment only.
    late = Track(attempt=1, claim=Claim("dead", await store.now()), started_at=1.0)
    state = given(AB).claims("a").with_step("a", forward=late).state
    await keep(store, state, "of a zombie", wake_at=None)
    assert ("of a zombie", Rule.OWNERLESS_CLAIM) not in await found(store, slack=timedelta(seconds=30))


async def test_a_step_whose_turn_was_missed_is_found_by_the_graph_in_the_store(store: Store) -> None:
    missed = given(AB).does("a").with_step("b", forward=Track())
    undo = given(AB).does("a").fails("b").with_step("a", undo=Track())
    await keep(store, missed.state, "join")
    await keep(store, undo.state, "undo")
    await keep(store, replace(missed.state, fingerprint="unknown"), "nobody knows its graph")
    assert set(await found(store)) == {
        ("join", Rule.MISSED_END),
        ("join", Rule.MISSED_STEP),
        ("undo", Rule.MISSED_END),
        ("undo", Rule.MISSED_UNDO),
        ("nobody knows its graph", Rule.MISSED_END),
    }


# ---------------------------------------------------------------------------------------- by hand


async def by_hand(store: Store, saga_id: str, **fields: Any) -> None:
    """Change a stored saga as no engine does."""
    match store:
        case MemoryStore():
            kept = store._sagas[saga_id]
            kept.state = msgspec.convert({**msgspec.to_builtins(kept.state), **fields}, SagaState)
        case SQLiteStore():
            for name, value in fields.items():
                statement = f"UPDATE sagas SET body = json_set(body, '$.{name}', json(?)) WHERE id = ?"
                await store._rows(statement, json.dumps(value), saga_id)
        case MongoStore():
            await store._sagas.update_one({"_id": saga_id}, {"$set": fields})
        case _:
            raise AssertionError(store)


async def hide_claim(store: Store, saga_id: str, owner: str) -> None:
    """Take a claim out of what the store finds claims by."""
    match store:
        case MemoryStore():
            store._claims[owner].remove(saga_id)
        case SQLiteStore():
            await store._rows("DELETE FROM claims WHERE saga_id = ?", saga_id)
        case MongoStore():
            await store._sagas.update_one({"_id": saga_id}, {"$unset": {"owners": ""}})
        case _:
            raise AssertionError(store)


def ended(saga_id: str) -> SagaState:
    """A saga of this id that has ended rightly, with its digest."""
    begun = given(AB)
    return Story(AB, replace(begun.state, id=saga_id), begun.now).does("a", "b").state


async def test_a_saga_that_was_changed_by_hand_after_its_end_is_found(store: Store) -> None:
    for name in ("changed", "revived", "whole"):
        await store.insert(ended(name), None)
    assert await found(store) == []
    await by_hand(store, "changed", context='"another"')
    await by_hand(store, "revived", status="compensating")
    rules = await found(store)
    assert ("changed", Rule.CHANGED) in rules
    assert ("revived", Rule.CHANGED) in rules
    assert not any(name == "whole" for name, _ in rules)


async def test_what_an_earlier_version_ended_has_no_digest_and_is_left_in_peace(store: Store) -> None:
    await store.insert(replace(ended("it"), digest=None), None)
    await by_hand(store, "it", context='"another"')
    assert await found(store) == []


async def test_a_claim_that_the_store_would_not_find_is_found(store: Store) -> None:
    heart = store.heart()
    heart.beat("living")
    heart.close()
    await keep(store, given(AB).claims("a", by="living").state, wake_at=None)
    assert await found(store) == []
    await hide_claim(store, "it", "living")
    assert await found(store) == [("it", Rule.HIDDEN_CLAIM)]


@pytest.mark.parametrize("fields", [{"schema": 99}, {"status": "nonsense"}, {"steps": 7}])
async def test_a_saga_that_cannot_be_read_is_found_and_hides_no_other(store: Store, fields: dict[str, Any]) -> None:
    if isinstance(store, MemoryStore):
        pytest.skip("what it keeps is never read")
    for name in ("before", "broken", "later"):
        await keep(store, given(AB).state, name, wake_at=1.0)
    await by_hand(store, "broken", **fields)
    await store.queue_up("key", Ticket("broken", "broken", 1))
    assert set(await found(store)) == {
        ("before", Rule.OVERDUE),
        ("broken", Rule.UNREADABLE),
        ("later", Rule.OVERDUE),
    }


# ---------------------------------------------------------------------------------------- between documents


async def test_a_child_saga_that_outlives_its_parent_is_found(store: Store) -> None:
    child = replace(given(AB).state, parent=Link("parent", "ship"))
    await keep(store, child, "child")
    assert await found(store) == [], "its parent may have been forgotten"
    await store.insert(ended("parent"), None)
    assert await found(store) == [("child", Rule.ACTIVE_CHILD)]


async def test_a_saga_that_waits_for_a_child_in_vain_is_found(store: Store) -> None:
    waiting = given(PARENT).does("ship").inserts("ship").state
    for name in ("childless", "busy", "told", "untold"):
        await keep(store, waiting, name, wake_at=None)
    child = given(AB).state
    done = given(AB, parent=Link("x", "ship")).does("a", "b").state
    await keep(store, child, "busy/ship")
    await keep(store, replace(done, told=True, digest=None), "told/ship", wake_at=None)
    await keep(store, replace(done, digest=None), "untold/ship")
    assert set(await found(store)) == {("childless", Rule.MISSED_CHILD), ("told", Rule.MISSED_CHILD)}


async def test_a_line_for_a_lock_that_nobody_moves_on_is_found(store: Store) -> None:
    await store.insert(ended("left long ago"), None)
    just_now = replace(ended("leaves"), completed_at=await store.now(), digest=None)
    await store.insert(just_now, None)
    failed = given(AB).does("a").fails("b").fails_to_undo("a").state
    await keep(store, replace(failed, digest=None), "failed", wake_at=None)
    for key, name in {"a": "left long ago", "b": "leaves", "c": "failed", "d": "nobody"}.items():
        await store.queue_up(key, Ticket(name, name, 1))
        await store.queue_up(key, Ticket("next", "next", 1))
    await store.queue_up("e", Ticket("left long ago", "left long ago", 2))  # nobody is kept waiting by it
    assert set(await found(store)) == {("left long ago", Rule.STALE_LOCK), ("nobody", Rule.STALE_LOCK)}


async def test_two_holders_of_one_lock_are_found(store: Store) -> None:
    held = {"key": Lock(LockStatus.HELD, 1)}
    for name, root in {"first": None, "its child": "first", "second": None}.items():
        await keep(store, replace(given(AB).state, locks=held, root=root), name)
        await store.queue_up("key", Ticket(name, root or name, 1))
    await keep(store, replace(given(AB).state, locks={"other": Lock(LockStatus.HELD, 1)}), "third")
    assert await found(store) == [("second", Rule.LOCK_HOLDERS), ("third", Rule.LOCK_HOLDERS)]


# ---------------------------------------------------------------------------------------- the scan


async def test_more_than_a_page_is_looked_through_and_not_more_than_the_limit_is_listed(store: Store) -> None:
    for number in range(230):
        await keep(store, given(AB).state, f"saga-{number:03}", wake_at=1.0)
        await store.queue_up(f"key-{number}", Ticket("nobody", "nobody", 1))
        await store.queue_up(f"key-{number}", Ticket("next", "next", 1))
    findings = await found(store)
    assert findings[:230] == [(f"saga-{number:03}", Rule.OVERDUE) for number in range(230)]
    assert findings[230:] == [("nobody", Rule.STALE_LOCK)] * 230
    assert await found(store, limit=10) == findings[:10]


async def test_what_is_well_at_the_second_look_is_not_reported(store: Store) -> None:
    await keep(store, given(AB).state, "taken up", wake_at=1.0)
    await keep(store, given(AB).state, "stays", wake_at=1.0)
    waiting = replace(given(PARENT).does("ship").inserts("ship").state, id="moves")
    await store.insert(waiting, None)
    checking = asyncio.create_task(check_store(store, pause=timedelta(seconds=1)))
    await asyncio.sleep(0.5)
    state = replace(given(AB).state, id="taken up")
    await store.commit([change(state, changed(state), wake_at=LATE), change(waiting)])
    findings = await checking
    assert [(one.saga_id, one.rule) for one in findings] == [("stays", Rule.OVERDUE)]


async def test_the_check_changes_nothing(store: Store) -> None:
    state = claimed(new_saga("it"), "worker")
    await store.insert(state, 1.0)
    await store.post("it", request("token"))
    await store.queue_up("key", Ticket("it", "it", 1))
    before = await store.inspect(["it"]), await store.queue("key"), await store.due(LATE, 10)
    await check_store(store, pause=AT_ONCE)
    assert (await store.inspect(["it"]), await store.queue("key"), await store.due(LATE, 10)) == before


# ---------------------------------------------------------------------------------------- beside the work


class Load(Struct, frozen=True):
    """``shelf``: what is locked. ``fails``: whether the last step aborts."""

    shelf: str
    fails: bool = False


class Part(Saga[Load]):
    @step(compensate="unmake")
    async def make(self, load: Load) -> str:
        await asyncio.sleep(0)
        return "made"

    async def unmake(self, load: Load) -> None: ...


class Whole(Saga[Load], lock="shelf {shelf}"):
    """A lock for all of it, a child saga beside a list, and a last step that may fail."""

    @step(compensate="unbegin")
    async def begin(self, load: Load) -> str:
        return "begun"

    async def unbegin(self, load: Load) -> None: ...

    @step(saga=Part, after="begin")
    async def part(self, load: Load) -> Load:
        return load

    @step(each=lambda load: list(range(4)), at_once=2, after="begin", compensate="take_back")
    async def hand_out(self, load: Load, number: int) -> str:
        await asyncio.sleep(0.001)
        return str(number)

    async def take_back(self, load: Load, number: int) -> None: ...

    @step(after=("part", "hand_out"))
    async def end(self, load: Load) -> None:
        if load.fails:
            raise Abort("as it was told")


@dataclass
class Watch:
    """Checks again and again, as long as others work."""

    store: Store
    checks: int = 0

    async def look(self) -> None:
        assert await check_store(self.store, slack=timedelta(seconds=10), pause=ms(50)) == []
        self.checks += 1

    async def look_on(self) -> None:
        while True:
            await self.look()

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self.look_on())
        try:
            yield
        finally:
            watching.cancel()
            (said,) = await asyncio.gather(watching, return_exceptions=True)
        assert isinstance(said, asyncio.CancelledError), said


async def test_a_busy_healthy_store_has_nothing_that_the_check_finds(stack: Stack) -> None:
    count = 60 if stack.name == "servers" else 120
    sagas: list[Callable[[], Saga[Any]]] = [Whole, Part]
    watch = Watch(stack.store())
    await watch.store.open()
    async with stack.engine(*sagas) as first, watch.beside():
        async with stack.engine(*sagas):  # its work is handed over when it is closed, in the midst of it
            handles = [
                await first.start(Whole, Load(f"{number % 40}", fails=number % 3 == 0), id=f"w-{number}")
                for number in range(count)
            ]
            for number in range(5, count, 10):
                await first.cancel(f"w-{number}")
                await first.pause(f"w-{number + 1}", by="ada", reason="an outage")
            for handle in handles[::7]:
                if not (await handle.record()).is_paused:
                    await handle.wait(timeout=A_WHILE)
        for number in range(5, count, 10):
            await first.resume(f"w-{number + 1}", by="ada", reason="it is over")
        for handle in handles:
            await handle.wait(timeout=A_WHILE)
        for handle in handles[1::5]:
            await first.compensate(handle.id)
        for handle in handles[1::5]:
            await handle.wait(timeout=A_WHILE)
        assert not await first.check(pause=ms(50))
    await watch.look()
    await watch.store.close()
    assert watch.checks > 1


async def test_an_engine_checks_the_store_that_it_works_on(stack: Stack) -> None:
    async with stack.engine(Part) as engine:
        assert await engine.check(pause=AT_ONCE) == []
        store = stack.store()
        await store.open()
        await keep(store, given(AB).state, wake_at=1.0)
        await store.close()
        (finding,) = await engine.check(pause=ms(10))
        assert finding == Finding("it", Rule.OVERDUE, finding.what)
        assert finding.rule == "overdue"
        assert "nobody takes it up" in finding.what
    with pytest.raises(NoEngine):
        await engine.check()


async def test_what_was_missed_is_made_up_for_when_a_saga_is_paused_and_resumed() -> None:
    store = MemoryStore()
    async with Engine(sagas=[Part], store=store, broker="memory://", work="none") as starter:
        await starter.start(Part, Load("a"), id="it")
    kept = store._sagas["it"]
    kept.wake_at = None
    kept.state = replace(kept.state, steps={"make": StepState()})
    store._due.clear()
    async with Engine(sagas=[Part], store=store, broker="memory://", settings=QUICK) as engine:
        findings = await engine.check(pause=ms(10))
        assert {one.rule for one in findings} == {Rule.UNATTENDED, Rule.MISSED_STEP, Rule.MISSED_END}
        await engine.pause("it", by="ada", reason="it hangs")
        await engine.resume("it", by="ada", reason="it hangs")
        assert (await engine.handle(Part, "it").wait(timeout=SOON)).status is SagaStatus.COMPLETED
        assert await engine.check(pause=ms(10)) == []


class Actions(Saga[str], abstract=True):
    async def act(self, word: str) -> str:
        return word


async def test_a_saga_whose_steps_are_data_is_checked_by_an_engine_that_has_its_actions() -> None:
    store = MemoryStore()
    async with Engine(actions=[Actions], store=store, broker="memory://") as engine:
        steps = [StepSpec(name="one", action="act"), StepSpec(name="two", action="act")]
        handle = await engine.start_steps("words", steps, "word", delay=timedelta(hours=1))
        assert await engine.check(pause=AT_ONCE) == []
        state = store._sagas[handle.id].state
        store._sagas[handle.id].state = replace(state, steps={"one": state.steps["one"]})
        assert [one.rule for one in await engine.check(pause=AT_ONCE)] == [Rule.GRAPH]
        assert await check_store(store, pause=AT_ONCE) == [], "its graph says nothing without the actions"
