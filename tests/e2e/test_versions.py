"""A saga goes on by the graph that it was started with, whatever its class has become since."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from sagaflow import Abort, Engine, Saga, SagaStatus, StepStatus, step
from sagaflow.core.decide import fold, new_saga
from sagaflow.core.events import Claimed, Ended, Fate, Succeeded
from sagaflow.core.state import Direction
from sagaflow.core.versions import to_text
from sagaflow.ports import Due, Graph
from tests.polling import until

from .stacks import Stack

SOON = timedelta(seconds=20)


@dataclass
class Book:
    lines: list[str] = field(default_factory=list[str])
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class First(Saga[str], name="order"):
    """The first version."""

    book: Book

    @step(compensate="uncreate")
    async def create(self, text: str) -> str:
        self.book.lines.append("create by 1")
        return f"{text} created"

    async def uncreate(self, text: str) -> None:
        self.book.lines.append("uncreate by 1")

    @step(compensate="uncheck")
    async def check(self, text: str) -> None:
        self.book.lines.append("check by 1")
        self.book.reached.set()
        await self.book.opened.wait()

    async def uncheck(self, text: str) -> None:
        self.book.lines.append("uncheck by 1")

    @step(compensate="uncharge")
    async def charge(self, text: str, create: str) -> int:
        self.book.lines.append("charge by 1")
        return 1

    async def uncharge(self, text: str, paid: int | None) -> None:
        self.book.lines.append(f"uncharge {paid} by 1")

    @step(when="is_wanted")
    async def ship(self, text: str, charge: int) -> str:
        self.book.lines.append("ship by 1")
        return f"shipped for {charge}"

    def is_wanted(self, text: str, charge: int) -> bool:
        return charge > 0


@dataclass
class Second(Saga[str], name="order"):
    """``check`` is gone, ``charge`` is called ``pay``, ``notify`` is new, and the order is another one."""

    book: Book

    @step
    async def notify(self, text: str) -> None:
        self.book.lines.append("notify by 2")

    @step(compensate="uncreate")
    async def create(self, text: str) -> str:
        self.book.lines.append("create by 2")
        return f"{text} created"

    async def uncreate(self, text: str) -> None:
        self.book.lines.append("uncreate by 2")

    @step(compensate="unpay", formerly=["debit", "charge"])
    async def pay(self, text: str, create: str) -> int:
        self.book.lines.append("pay by 2")
        return 2

    async def unpay(self, text: str, paid: int | None) -> None:
        self.book.lines.append(f"unpay {paid} by 2")

    @step(when="is_wanted")
    async def ship(self, text: str, pay: int) -> str:
        self.book.lines.append("ship by 2")
        if text == "bad":
            raise Abort("as it says")
        return f"shipped for {pay}"

    def is_wanted(self, text: str, pay: int) -> bool:
        return pay > 0


@pytest.fixture
def book() -> Book:
    return Book()


async def half_done(stack: Stack, book: Book, text: str) -> str:
    """The id of a saga that the first version has done as far as ``check``, when it was shut down."""
    async with stack.engine(partial(First, book)) as engine:
        handle = await engine.start(First, text)
        await book.reached.wait()
        await engine.pause(handle.id, by="ada", reason="an update")
        book.opened.set()

        async def is_checked() -> bool:
            return (await handle.record()).steps["check"].status is StepStatus.COMPLETED

        await until(is_checked)
    assert book.lines == ["create by 1", "check by 1"]
    book.lines.clear()
    return handle.id


async def due_now(stack: Stack) -> list[Due]:
    store = stack.store()
    await store.open()
    found = await store.due(time.time(), 100)
    await store.close()
    return found


async def resumed(engine: Engine, saga_id: str) -> Any:
    await engine.resume(saga_id, by="ada", reason="it is over")
    return await engine.handle(Second, saga_id).wait(timeout=SOON)


async def test_a_saga_goes_on_under_a_new_version_by_its_own_graph_with_the_code_of_today(
    stack: Stack, book: Book
) -> None:
    saga_id = await half_done(stack, book, "good")
    async with stack.engine(partial(Second, book)) as engine:
        record = await resumed(engine, saga_id)
        assert book.lines == ["pay by 2", "ship by 2"]
        book.lines.clear()
        new = await (await engine.start(Second, "new")).result(timeout=SOON)
    assert record.is_completed
    assert list(record.steps) == ["create", "check", "charge", "ship"]
    assert record.outputs["charge"] == 2
    assert record.output(Second.pay) == 2
    assert record.output(Second.ship) == "shipped for 2"
    assert list(new.steps) != list(record.steps)
    assert sorted(book.lines) == ["create by 2", "notify by 2", "pay by 2", "ship by 2"]


async def test_a_removed_step_is_undone_by_a_worker_that_has_it_still_and_the_others_by_any(
    stack: Stack, book: Book
) -> None:
    saga_id = await half_done(stack, book, "bad")
    async with stack.engine(partial(Second, book)) as engine:
        await engine.resume(saga_id, by="ada", reason="it is over")
        handle = engine.handle(Second, saga_id)
        async for record in handle.changes():
            if record.steps["charge"].status is StepStatus.COMPENSATED:
                break
        assert book.lines == ["pay by 2", "ship by 2", "unpay 2 by 2"]
        (left,) = await engine.stranded()
        assert (left.saga_id, left.step) == (saga_id, "check")
        async with stack.engine(partial(First, book)):
            record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert book.lines[3] == "uncheck by 1"
    assert book.lines[4] in ("uncreate by 1", "uncreate by 2")


async def test_what_one_worker_lacks_is_left_to_another_that_has_it_and_the_log_says_why(
    stack: Stack, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    book.opened.set()
    async with (
        stack.engine(partial(Second, book)),
        stack.engine(partial(First, book), work="none") as starter,
    ):
        alone = [await starter.start(First, "alone") for _ in range(3)]
        await asyncio.sleep(1)  # the one that cannot do it has all the time to put it off
        assert {(due.saga_id, due.dispatches) for due in await due_now(stack)} == {(one.id, 0) for one in alone}
        async with stack.engine(partial(First, book)):
            both = [await starter.start(First, "both") for _ in range(10)]
            records = [await handle.result(timeout=SOON) for handle in (*alone, *both)]
    assert len(records) == 13
    assert book.lines.count("check by 1") == 13
    assert "there is no step 'check' any more" in caplog.text
    assert "formerly='check'" in caplog.text


async def test_a_worker_that_lacks_a_step_does_not_busy_itself_with_it(stack: Stack, book: Book) -> None:
    """A hint that comes to it is not sent again and again."""
    sent: list[str] = []
    broker = stack.broker()
    publish = broker.publish

    async def counting(hints: Any) -> None:
        sent.extend(hint.saga_id for hint in hints)
        await publish(hints)

    broker.publish = counting  # type: ignore[method-assign]  # what is sent is the question
    async with (
        stack.engine(partial(First, book), work="none") as starter,
        stack.engine(partial(Second, book), broker=broker),
    ):
        handle = await starter.start(First, "x")

        async def is_created() -> bool:
            return (await handle.record()).steps["create"].status is StepStatus.COMPLETED

        await until(is_created)
        await asyncio.sleep(1)
    assert sent.count(handle.id) < 10


class Lists(Saga[str], name="lists"):
    @step(compensate="drop")
    async def one(self, text: str) -> str:
        return text

    async def drop(self, text: str) -> None: ...

    @step
    async def two(self, text: str, one: str) -> None: ...


class ListsNow(Saga[str], name="lists"):
    @step
    async def nought(self, text: str) -> str:
        return text

    @step
    async def one(self, text: str) -> str:
        return text

    @step
    async def two(self, text: str, nought: str) -> None: ...


async def test_stranded_lists_exactly_what_cannot_go_on_and_why(stack: Stack, book: Book) -> None:
    book.opened.set()
    async with stack.engine(partial(First, book), Lists) as engine:
        done = await engine.start(First, "done")
        await done.result(timeout=SOON)
    async with (
        stack.engine(partial(First, book), Lists, work="none") as before,
        stack.engine(partial(Second, book), ListsNow, work="none") as now,
    ):
        assert await now.stranded() == []
        old = await before.start(First, "x", id="a")
        listed = await before.start(Lists, "x", id="b")
        await now.start(Second, "x", id="c")
        await now.start(ListsNow, "x", id="d")
        found = {(one.saga_id, one.saga, one.step): one.why for one in await now.stranded()}
        assert await before.stranded() == await before.stranded(limit=10)
        assert {one.saga_id for one in await before.stranded()} == {"c", "d"}
        assert len(await now.stranded(limit=1)) == 1
    assert set(found) == {(old.id, "order", "check"), (listed.id, "lists", "one"), (listed.id, "lists", "two")}
    assert "there is no step 'check' any more" in found[old.id, "order", "check"]
    assert found[listed.id, "lists", "one"] == "step 'one' has no compensation any more"
    assert "it takes the output of 'nought' now" in found[listed.id, "lists", "two"]


class Parcel(Saga[str], name="parcel"):
    @step
    async def send(self, text: str) -> str:
        return text


class Parent(Saga[str], name="parent"):
    @step(saga=Parcel)
    async def parcel(self, text: str) -> str:
        return text


class Childless(Saga[str], name="parent"):
    @step
    async def other(self, text: str) -> str:
        return text


async def test_a_child_saga_is_not_given_up_by_a_worker_that_does_not_know_its_step(stack: Stack) -> None:
    definition = Parent.definition
    state = new_saga(definition, "p-1", '"x"', 1_000.0)
    state = fold(definition, state, [Claimed("parcel", Direction.FORWARD, "w-1", 1_000.0)])
    state = fold(definition, state, [Succeeded("parcel", Direction.FORWARD, 1, '"x"', 1_000.0)])
    async with stack.engine(Childless) as engine:
        store = stack.store()
        await store.open()
        await store.keep_graph(Graph(definition.fingerprint, definition.name, to_text(definition)))
        assert await store.insert(state, 1_000.0)
        handle = engine.handle(Childless, "p-1")
        assert not (await handle.record()).is_terminal  # the graph is known from now on
        await asyncio.sleep(1)
        assert (await handle.record()).steps["parcel"].status is StepStatus.STARTED
        # ... nor put off, by a worker that can do nothing for it, for those who can.
        assert await store.due(1_000.0, 10, [definition.fingerprint]) == [Due("p-1", 1_000.0, 0)]
        await store.close()
        async with stack.engine(Parent, Parcel):
            record = await handle.wait(timeout=SOON)
    assert record.is_completed


async def test_a_saga_that_failed_under_one_version_is_retried_under_the_next(stack: Stack) -> None:
    definition = Lists.definition
    state = new_saga(definition, "l-1", '"x"', 1_000.0)
    for event in (
        Claimed("one", Direction.FORWARD, "w-1", 1_000.0),
        Succeeded("one", Direction.FORWARD, 1, '"x"', 1_000.0),
        Claimed("two", Direction.FORWARD, "w-1", 1_000.0),
        Ended("two", Direction.FORWARD, 1, Fate.ABORTED, '{"type":"X","message":"x"}', 1_000.0),
        Claimed("one", Direction.UNDO, "w-1", 1_000.0),
        Ended("one", Direction.UNDO, 1, Fate.FINAL, '{"type":"X","message":"x"}', 1_000.0),
    ):
        state = fold(definition, state, [event])
    assert state.status is SagaStatus.FAILED
    async with stack.engine(ListsNow, work="none") as now, stack.engine(Lists) as engine:
        store = stack.store()
        await store.open()
        await store.keep_graph(Graph(definition.fingerprint, definition.name, to_text(definition)))
        assert await store.insert(state, None)
        await store.close()
        assert [one.step for one in await now.stranded()] == ["one"]
        assert (await now.retry("l-1", by="ada", reason="mended")).is_accepted
        record = await engine.handle(Lists, "l-1").wait(timeout=SOON)
    assert record.is_compensated
