"""Which engine is meant where nobody names one: the rules, with engines that only can be meant."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterable
from contextvars import Context, copy_context
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, cast

import pytest

from sagaflow.ambient import current_engine, enter, leave
from sagaflow.errors import NoEngine
from sagaflow.saga import Saga, step

if TYPE_CHECKING:
    from sagaflow.engine.handle import SagaHandle


class Order(Saga[int]):
    @step
    async def a(self, number: int) -> None: ...


class Other(Saga[int]):
    @step
    async def a(self, number: int) -> None: ...


class FakeEngine:
    def __init__(self, *sagas: type[Saga[Any]]) -> None:
        self.sagas = sagas
        self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        self.started: list[tuple[object, ...]] = []

    def has(self, saga: type[Saga[Any]], /) -> bool:
        return saga in self.sagas

    async def start(
        self,
        saga: type[Saga[Any]],
        context: Any,
        /,
        *,
        id: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        tags: Iterable[str] = (),
    ) -> SagaHandle[Any]:
        self.started.append((saga, context, id, at, *tags))
        return cast("SagaHandle[Any]", self)

    async def __aenter__(self) -> Self:
        enter(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        leave(self)


async def test_start_goes_to_the_engine_of_the_context_with_all_it_was_given() -> None:
    at = datetime.now().astimezone()
    async with FakeEngine(Order) as engine:
        handle: object = await Order.start(7, id="o-7", at=at, tags=["vip"])

    assert handle is engine
    assert engine.started == [(Order, 7, "o-7", at, "vip")]


async def test_the_innermost_engine_wins_then_the_next() -> None:
    async with FakeEngine(Order) as outer:
        async with FakeEngine(Order) as inner:
            assert current_engine(Order) is inner
        assert current_engine(Order) is outer


async def test_the_outer_engine_of_this_context_wins_over_others_once_the_inner_one_is_closed() -> None:
    elsewhere = FakeEngine(Order)
    Context().run(enter, elsewhere)
    try:
        async with FakeEngine(Order) as outer:
            async with FakeEngine(Order):
                pass
            assert current_engine(Order) is outer
    finally:
        leave(elsewhere)


async def test_an_engine_without_the_saga_is_passed_over() -> None:
    async with FakeEngine(Order) as outer, FakeEngine(Other) as inner:
        assert current_engine(Order) is outer
        assert current_engine(Other) is inner


async def test_engines_may_be_left_in_any_order() -> None:
    first, second, third = FakeEngine(Order), FakeEngine(Order), FakeEngine(Order)
    for engine in (first, second, third):
        enter(engine)
    leave(second)
    assert current_engine(Order) is third
    leave(third)
    assert current_engine(Order) is first
    leave(first)
    leave(first)
    with pytest.raises(NoEngine):
        current_engine(Order)


async def test_a_task_that_is_older_than_the_engine_finds_the_only_one() -> None:
    opened = asyncio.Event()

    async def handler() -> object:
        await opened.wait()
        return current_engine(Order)

    task = asyncio.create_task(handler())
    await asyncio.sleep(0)
    async with FakeEngine(Order) as engine, FakeEngine(Other):
        opened.set()
        assert await task is engine


async def test_of_two_engines_elsewhere_none_is_guessed() -> None:
    context = Context()
    one, other = FakeEngine(Order), FakeEngine(Order)
    context.run(enter, one)
    context.run(enter, other)
    try:
        with pytest.raises(
            NoEngine, match=r"Order\.start\(\) finds 2 open engines that have Order\. Call engine\.start\(Order"
        ):
            current_engine(Order)
        assert context.run(current_engine, Order) is other
    finally:
        leave(one)
        leave(other)


async def test_an_engine_of_this_context_wins_over_others_that_are_open() -> None:
    elsewhere = FakeEngine(Order)
    Context().run(enter, elsewhere)
    try:
        async with FakeEngine(Order) as here:
            assert current_engine(Order) is here
    finally:
        leave(elsewhere)


async def test_a_closed_engine_is_passed_over_where_it_is_still_remembered() -> None:
    async with FakeEngine(Order):
        old_context = copy_context()
    async with FakeEngine(Order) as engine:
        assert old_context.run(current_engine, Order) is engine
    with pytest.raises(NoEngine):
        old_context.run(current_engine, Order)


async def test_an_engine_entered_and_left_in_different_contexts_leaves_nothing_behind() -> None:
    engine = FakeEngine(Order)
    Context().run(enter, engine)
    assert current_engine(Order) is engine
    Context().run(leave, engine)
    with pytest.raises(NoEngine):
        current_engine(Order)


async def test_without_an_engine_the_error_says_to_open_one() -> None:
    with pytest.raises(NoEngine, match=r"Order\.start\(\) finds no open engine\. Write 'async with Engine"):
        current_engine(Order)


async def test_with_an_engine_that_lacks_the_saga_the_error_says_to_add_it() -> None:
    async with FakeEngine(Other):
        with pytest.raises(NoEngine, match=r"does not have Order\. Write Engine\(sagas=\[Order, \.\.\.\]\)"):
            current_engine(Order)


async def test_an_engine_of_another_event_loop_is_never_meant_even_in_this_context() -> None:
    async def elsewhere() -> None:
        current_engine(Order)

    async with FakeEngine(Order):
        context = copy_context()
        errors: list[Exception] = []

        def other_thread() -> None:
            try:
                asyncio.run(elsewhere())
            except NoEngine as error:
                errors.append(error)

        thread = threading.Thread(target=context.run, args=(other_thread,))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert "finds an engine on another event loop only" in str(errors[0])


async def test_an_engine_that_nobody_closed_is_forgotten_with_its_last_owner() -> None:
    enter(FakeEngine(Order))
    gc.collect()
    with pytest.raises(NoEngine, match="no open engine"):
        current_engine(Order)
    async with FakeEngine(Order) as engine:
        assert current_engine(Order) is engine
