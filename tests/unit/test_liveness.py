"""The heartbeat, its thread, and what it notices."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from sagaflow import Engine, Saga, Settings, StoreUnavailable, step
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.engine.clock import StoreClock
from sagaflow.engine.liveness import Liveness
from sagaflow.engine.machine import Beside, Machine
from sagaflow.ports import Beat, Heart
from tests.polling import until

MACHINE = Machine()
QUICK = Settings(beat_every=timedelta(milliseconds=20), death_after=timedelta(milliseconds=200))


class Shaky:
    """A heart that can be told to fail."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self.error: Exception | None = None
        self.closed = False

    def beat(self, worker: str) -> Beat:
        if self.error is not None:
            raise self.error
        return self._heart.beat(worker)

    def declare_dead(self, worker: str, beats: int) -> bool:
        return self._heart.declare_dead(worker, beats)

    def leave(self, worker: str) -> None:
        if self.error is not None:
            raise self.error
        self._heart.leave(worker)

    def close(self) -> None:
        self.closed = True
        self._heart.close()


class ShakyStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.hearts: list[Shaky] = []
        self.error: Exception | None = None

    def heart(self) -> Heart:  # type: ignore[override]  # the port's own promise
        heart = Shaky(super().heart())
        heart.error = self.error
        self.hearts.append(heart)
        return heart


class ByHand(Machine):
    """A machine whose time stands still, and whose other thread goes on when it is told to."""

    def __init__(self) -> None:
        self.at = 0.0
        super().__init__()

    def monotonic(self) -> float:
        return self.at

    def beside(self, work: Iterator[float], name: str) -> Beside:
        self.work = work
        self.pause = next(work)
        return super().beside(iter(()), name)

    def go_on(self) -> float:
        """Until the next pause; how long that is."""
        return next(self.work)


def alive(store: MemoryStore) -> set[str]:
    heart = store.heart()
    others = set(heart.beat("looker").others)
    heart.leave("looker")
    return others


async def test_a_worker_lives_in_the_store_from_start_to_stop() -> None:
    store = MemoryStore()
    liveness = Liveness(store, StoreClock(MACHINE), QUICK, MACHINE, lambda _: None)
    await liveness.start()
    assert liveness.is_assured
    assert alive(store) == {liveness.incarnation}
    await liveness.stop()
    await liveness.stop()
    assert alive(store) == set()


async def test_a_beat_that_stands_still_is_judged_and_the_judged_begins_anew() -> None:
    store = MemoryStore()
    deaths: list[str] = []
    frozen = store.heart()
    frozen.beat("frozen")
    judge = Liveness(store, StoreClock(MACHINE), QUICK, MACHINE, deaths.append)
    await judge.start()
    await until(lambda: not frozen.beat("frozen").alive if "frozen" not in alive(store) else False)
    # Now somebody judges the judge.
    beats = store.heart().beat("other").others[judge.incarnation]
    before = judge.incarnation
    while not store.heart().declare_dead(before, beats):
        beats += 1
    await until(lambda: deaths)
    assert deaths == [before]
    assert judge.incarnation != before
    assert not await judge.assured(before)
    assert await judge.assured(judge.incarnation)
    await judge.stop()


async def test_a_store_that_does_not_take_the_first_beat_keeps_the_engine_from_opening() -> None:
    store = ShakyStore()
    store.error = StoreUnavailable("no quorum")
    engine = Engine([Only], store=store, broker="memory://", settings=QUICK)
    with pytest.raises(StoreUnavailable, match="no quorum"):
        await engine.open()
    assert engine.loop is None
    assert store.hearts[0].closed


async def test_while_beats_fail_nothing_is_assured_and_afterwards_it_is_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = ShakyStore()
    liveness = Liveness(store, StoreClock(MACHINE), QUICK, MACHINE, lambda _: None)
    await liveness.start()
    store.hearts[0].error = StoreUnavailable("away")
    await until(lambda: not liveness.is_assured)
    assured = asyncio.create_task(liveness.assured(liveness.incarnation))
    await asyncio.sleep(0.05)
    assert not assured.done()
    store.hearts[0].error = None
    assert await assured
    store.hearts[0].error = StoreUnavailable("away")
    await liveness.stop()
    assert "does not reach the store: away" in caplog.text
    assert "could not record this worker's end" in caplog.text


async def test_a_heart_that_breaks_surfaces_in_the_health_and_at_the_exit() -> None:
    store = ShakyStore()
    engine = Engine([Only], store=store, broker="memory://", settings=QUICK)
    await engine.open()
    store.hearts[0].error = ZeroDivisionError("a bug")
    await until(lambda: engine.health.failures)
    assert not engine.health.ok
    running = asyncio.create_task(engine.run())  # returns by itself: this process is of no more use
    await running
    with pytest.raises(BaseExceptionGroup, match="had died") as died:
        await engine.close()
    assert died.group_contains(ZeroDivisionError)


async def test_a_beat_that_waited_for_the_store_makes_the_pause_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    store, machine = ShakyStore(), ByHand()
    liveness = Liveness(store, StoreClock(machine), Settings(), machine, lambda _: None)
    await liveness.start()
    every = Settings().beat_every.total_seconds()
    assert [machine.pause, machine.go_on()] == [every, every]
    waits = iter([every / 4, 3 * every])

    def wait_in_vain(worker: str) -> Beat:
        machine.at += next(waits)
        raise StoreUnavailable(f"{worker} waited in vain")

    monkeypatch.setattr(store.hearts[0], "beat", wait_in_vain)
    assert [machine.go_on(), machine.go_on()] == [every * 3 / 4, 0.0]
    await liveness.stop()


class Only(Saga[str]):
    @step
    async def only(self, text: str) -> str:
        return text


class Blocking(Saga[str]):
    @step
    async def block(self, text: str) -> None:
        time.sleep(2.5)  # noqa: ASYNC251  # what must not be done is what is tested


async def test_a_handler_that_blocks_the_loop_is_reported_with_its_stack_and_is_not_taken_for_dead(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    quick = Settings(beat_every=timedelta(milliseconds=100), death_after=timedelta(seconds=1))
    store = MemoryStore()
    async with (
        Engine([Blocking], store=store, broker="memory://", settings=quick) as engine,
    ):
        watcher = Liveness(store, StoreClock(MACHINE), quick, MACHINE, lambda _: None)
        await watcher.start()
        record = await (await engine.start(Blocking, "x")).result(timeout=timedelta(seconds=20))
        await watcher.stop()
    assert record.steps["block"].attempts == 1
    reports = [line for line in caplog.messages if "has been blocked" in line]
    assert len(reports) == 2  # one by each heart of this loop, not one a beat
    assert "time.sleep(2.5)" in reports[0]
    assert "dead" not in caplog.text
