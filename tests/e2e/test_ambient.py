"""``await Greeting.start(...)`` finds its engine wherever applications call it, or says what to write."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from sagaflow import Engine, NoEngine, Saga, SagaHandle, SagaNotFound, step

SOON = timedelta(seconds=20)


class Greeting(Saga[str]):
    @step
    async def greet(self, name: str) -> str:
        return f"Hello {name}"


class Farewell(Saga[str]):
    @step
    async def part(self, name: str) -> str:
        return f"Goodbye {name}"


def an_engine(*sagas: Callable[[], Saga[Any]]) -> Engine:
    return Engine(sagas=sagas or [Greeting], store="memory://", broker="memory://")


async def greeted(handle: SagaHandle[str]) -> str:
    return (await handle.result(timeout=SOON)).output(Greeting.greet)


async def has(engine: Engine, handle: SagaHandle[str]) -> bool:
    """Whether the saga was started on this engine; each has a store of its own."""
    try:
        await engine.get(handle.id)
    except SagaNotFound:
        return False
    return True


class Latch:
    """A task that is older than what happens next, and then calls ``Greeting.start`` in its own, old context."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._task = asyncio.create_task(self._start())

    async def _start(self) -> SagaHandle[str]:
        await self._opened.wait()
        return await Greeting.start("Ada")

    async def release(self) -> SagaHandle[str]:
        self._opened.set()
        return await self._task


# ---------------------------------------------------------------------------------------- where it is called


class _Server(uvicorn.Server):
    """A uvicorn that says when it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application under a real uvicorn, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.wait([serving, asyncio.ensure_future(server.serving.wait())], return_when=asyncio.FIRST_COMPLETED)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield client
        finally:
            server.should_exit = True
            await serving


async def test_a_request_handler_finds_the_engine_that_the_lifespan_opened() -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with an_engine():
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/greetings/{name}")
    async def greet(name: str) -> str:
        return await greeted(await Greeting.start(name, id=f"greet-{name}"))

    async with served(app) as client:
        answers = await asyncio.gather(*(client.post(f"/greetings/{name}") for name in ("Ada", "Grace", "Ada")))
    assert [answer.json() for answer in answers] == ["Hello Ada", "Hello Grace", "Hello Ada"]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with an_engine() as engine:
        yield engine


async def test_a_test_finds_the_engine_that_its_fixture_opened(engine: Engine) -> None:
    handle = await Greeting.start("Ada")
    assert await has(engine, handle)
    assert await greeted(handle) == "Hello Ada"


async def test_a_task_finds_an_engine_that_was_opened_after_it() -> None:
    older = Latch()
    async with an_engine() as engine:
        handle = await older.release()
        assert await has(engine, handle)
        assert await greeted(handle) == "Hello Ada"


async def test_another_thread_reaches_the_engine_through_its_loop() -> None:
    async with an_engine():
        loop = asyncio.get_running_loop()

        def in_a_thread() -> str:
            handle = asyncio.run_coroutine_threadsafe(Greeting.start("Ada"), loop).result(20)
            return asyncio.run_coroutine_threadsafe(greeted(handle), loop).result(20)

        assert await asyncio.to_thread(in_a_thread) == "Hello Ada"


async def test_a_step_starts_another_saga_on_the_engine_that_runs_it() -> None:
    class Introduction(Saga[str]):
        @step
        async def introduce(self, name: str) -> str:
            return (await Greeting.start(name, id=f"{self.saga_id}-greeting")).id

    async with an_engine(Greeting, Introduction) as engine:
        record = await (await Introduction.start("Ada", id="i-1")).result(timeout=SOON)
        assert await greeted(engine.handle(Greeting, record.output(Introduction.introduce))) == "Hello Ada"


# ---------------------------------------------------------------------------------------- which one is meant


async def test_of_two_engines_each_saga_finds_its_own() -> None:
    async with an_engine(Greeting) as greeter, an_engine(Farewell) as other:
        greeting, farewell = await Greeting.start("Ada"), await Farewell.start("Ada")
        assert await has(greeter, greeting)
        assert await has(other, farewell)


async def test_of_two_nested_engines_with_one_saga_the_inner_one_is_meant_while_it_is_open() -> None:
    async with an_engine() as outer:
        async with an_engine() as inner:
            assert await has(inner, await Greeting.start("Ada"))
        assert await has(outer, await Greeting.start("Ada"))


async def test_of_two_engines_with_one_saga_none_is_guessed_where_neither_was_opened() -> None:
    older = Latch()
    async with an_engine(), an_engine() as second:
        with pytest.raises(NoEngine, match=r"finds 2 open engines .* Call engine\.start\(Greeting, \.\.\.\)"):
            await older.release()
        assert await greeted(await second.start(Greeting, "Ada")) == "Hello Ada"


async def test_an_engine_that_was_closed_is_not_meant_any_more_wherever_it_is_remembered() -> None:
    closed = an_engine()
    await closed.open()
    remembering = Latch()
    await closed.close()
    opened: asyncio.Future[Engine] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def elsewhere() -> None:
        async with an_engine() as engine:
            opened.set_result(engine)
            await done.wait()

    other = asyncio.create_task(elsewhere())
    engine = await opened
    try:
        assert await has(engine, await remembering.release())
        assert await has(engine, await Greeting.start("Ada"))
    finally:
        done.set()
        await other


# ---------------------------------------------------------------------------------------- what to write instead


async def test_without_an_engine_the_error_shows_one() -> None:
    with pytest.raises(NoEngine, match=r"finds no open engine\. Write 'async with Engine\(sagas=\[Greeting\]\):'"):
        await Greeting.start("Ada")


async def test_a_closed_engine_is_none() -> None:
    async with an_engine() as engine:
        pass
    with pytest.raises(NoEngine, match="finds no open engine"):
        await Greeting.start("Ada")
    with pytest.raises(NoEngine, match="this engine is not open"):
        await engine.start(Greeting, "Ada")


async def test_an_engine_without_the_saga_is_told_to_take_it() -> None:
    async with an_engine(Farewell):
        with pytest.raises(NoEngine, match=r"it does not have Greeting\. Write Engine\(sagas=\[Greeting, \.\.\.\]\)"):
            await Greeting.start("Ada")


async def test_on_another_event_loop_the_error_names_the_way_back() -> None:
    async with an_engine():
        with pytest.raises(NoEngine, match=r"on another event loop only.*run_coroutine_threadsafe"):
            await asyncio.to_thread(lambda: asyncio.run(_start_here()))


async def _start_here() -> None:
    await Greeting.start("Ada")


async def test_threads_with_loops_of_their_own_each_find_their_own_engine() -> None:
    async def greet(name: str) -> str:
        async with an_engine() as engine:
            handle = await Greeting.start(name)
            assert await has(engine, handle)
            return await greeted(handle)

    def in_a_thread(name: str) -> str:
        return asyncio.run(greet(name))

    found = await asyncio.gather(greet("Ada"), *(asyncio.to_thread(in_a_thread, name) for name in ("Grace", "Edsger")))
    assert found == ["Hello Ada", "Hello Grace", "Hello Edsger"]
