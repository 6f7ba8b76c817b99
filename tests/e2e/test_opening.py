"""An engine that works goes straight on with what it starts: the first steps are claimed as the saga is kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from sagaflow import Engine, Saga, SagaExists, SagaHandle, Settings, step
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.state import SagaState
from sagaflow.errors import StoreUnavailable

SOON = timedelta(seconds=20)
CALLS: list[str] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLS.clear()


class Three(Saga[str]):
    @step
    async def one(self, name: str) -> None:
        CALLS.append(f"one {name}")

    @step
    async def two(self, name: str) -> None: ...

    @step
    async def three(self, name: str) -> None: ...


class Away(MemoryStore):
    """Fails once when a saga is inserted: before it has taken effect, or after."""

    def __init__(self, *, after: bool) -> None:
        super().__init__()
        self._after = after
        self._fails = True

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        if not self._fails:
            return await super().insert(state, wake_at)
        self._fails = False
        if self._after:
            await super().insert(state, wake_at)
        raise StoreUnavailable("away for a moment")


async def test_a_saga_that_goes_straight_on_takes_a_write_for_each_step_and_one_to_be_kept() -> None:
    async with Engine([Three], store="memory://", broker="memory://") as engine:
        record = await (await engine.start(Three, "a")).result(timeout=SOON)
    assert record.revision == 4
    assert all(record.steps[name].attempts == 1 for name in ("one", "two", "three"))


async def test_an_engine_that_does_not_work_claims_nothing() -> None:
    store = MemoryStore()
    async with Engine([Three], store=store, broker="memory://", work="none") as engine:
        record = await (await engine.start(Three, "a")).record()
    assert record.steps["one"].attempts == 0


async def test_what_is_started_while_all_slots_are_taken_is_left_to_whoever_has_one() -> None:
    settings = Settings(concurrency=1)
    async with Engine([Three], store="memory://", broker="memory://", settings=settings) as engine:
        handles: list[SagaHandle[str]] = await asyncio.gather(*(engine.start(Three, str(n)) for n in range(20)))
        for handle in handles:
            await handle.result(timeout=SOON)
        assert engine.health.in_flight == 0
    assert sorted(CALLS) == sorted(f"one {n}" for n in range(20))


@pytest.mark.parametrize("after", [True, False])
async def test_a_start_whose_outcome_is_not_known_is_looked_up_and_begun_once_if_it_took_effect(*, after: bool) -> None:
    store = Away(after=after)
    async with Engine([Three], store=store, broker="memory://") as engine:
        with pytest.raises(StoreUnavailable):
            await engine.start(Three, "a", id="o-1")
        record = await (await engine.start(Three, "a", id="o-1")).result(timeout=SOON)
    assert CALLS == ["one a"]
    assert record.steps["one"].attempts == 1, "nobody had to be judged dead for it"


async def test_a_start_that_is_cancelled_begins_its_saga_once_or_not_at_all() -> None:
    async with Engine([Three], store="memory://", broker="memory://") as engine:
        for pauses in range(4):
            starting = asyncio.create_task(engine.start(Three, str(pauses), id=f"o-{pauses}"))
            for _ in range(pauses):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await (await engine.start(Three, str(pauses), id=f"o-{pauses}")).result(timeout=SOON)
    assert CALLS == ["one 0", "one 1", "one 2", "one 3"]


async def test_of_many_starts_with_one_id_one_begins_the_saga() -> None:
    async with Engine([Three], store="memory://", broker="memory://") as engine:
        handles = await asyncio.gather(*(engine.start(Three, "a", id="o-1") for _ in range(10)))
        await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
        with pytest.raises(SagaExists):
            await engine.start(Three, "b", id="o-1")
        assert engine.health.in_flight == 0
        await (await engine.start(Three, "c")).result(timeout=SOON)
    assert CALLS == ["one a", "one c"]


async def test_two_engines_that_start_one_saga_begin_it_once() -> None:
    store = MemoryStore()
    settings = Settings(poll_every=timedelta(milliseconds=20))
    async with (
        Engine([Three], store=store, broker="memory://", settings=settings) as one,
        Engine([Three], store=store, broker="memory://", settings=settings) as other,
    ):
        for number in range(20):
            started = await asyncio.gather(
                *(engine.start(Three, str(number), id=f"o-{number}") for engine in (one, other))
            )
            await asyncio.gather(*(handle.result(timeout=SOON) for handle in started))
    assert sorted(CALLS) == sorted(f"one {number}" for number in range(20))
