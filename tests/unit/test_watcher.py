"""How often the store is asked about a saga that somebody waits for, by a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from sagaflow import SagaStatus, Settings
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.events import CompensationRequested
from sagaflow.core.state import SagaState
from sagaflow.engine.watcher import Watcher
from sagaflow.ports import Signal, Stored, Summary
from tests.simulation.loop import VirtualLoop
from tests.simulation.world import World
from tests.unit import story

EVERY = 0.5


class Asked(MemoryStore):
    """A store with one saga, which changes and ends in the hands of others, and that takes its time to answer."""

    def __init__(self, clock: Callable[[], float], *, changes: Sequence[float], ends_at: float, takes: float) -> None:
        super().__init__()
        self._clock, self._changes, self._ends_at, self._takes = clock, changes, ends_at, takes
        self.asked: list[float] = []

    def seen(self) -> SagaState:
        state = story.given(story.chain("one")).state
        if self._clock() >= self._ends_at:
            return with_fields(state, revision=9, status=SagaStatus.COMPLETED)
        return with_fields(state, revision=state.revision + sum(at <= self._clock() for at in self._changes))

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        return dict.fromkeys(saga_ids, Stored(self.seen()))

    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        self.asked.append(self._clock())
        await asyncio.sleep(self._takes)
        state = self.seen()
        return dict.fromkeys(saga_ids, Summary(state.revision, state.status))


class Waiting:
    """A process in which somebody waits for the saga."""

    def __init__(self, *, changes: Sequence[float] = (), ends_at: float = 1e9, takes: float = 0.0) -> None:
        self._world = World(0)
        self._began = self._world.now
        self._loop = VirtualLoop(self.clock, self._wake_at, lambda context: None)  # type: ignore[abstract]
        self.store = Asked(self.clock, changes=changes, ends_at=ends_at, takes=takes)
        self.watcher = Watcher(self.store, Settings(poll_every=timedelta(seconds=EVERY)))
        self.heard_at: float | None = None

    def clock(self) -> float:
        return self._world.now - self._began

    def _wake_at(self, when: float, fire: Callable[[], None]) -> None:
        def wake() -> None:
            fire()
            self._loop.run_ready()

        self._world.after(max(0.0, when - self.clock()), wake)

    def during(self, seconds: float, *beside: Coroutine[Any, Any, None]) -> list[float]:
        """When the store was asked."""

        async def wait() -> None:
            await self.watcher.last(self.store.seen().id)
            self.heard_at = self.clock()

        tasks = [self._loop.create_task(work) for work in (self.watcher.run(), wait(), *beside)]
        self._loop.run_ready()
        self._world.run(until=self._began + seconds, unless=lambda: self.heard_at is not None)
        self._loop.end()
        assert all(task.done() for task in tasks)
        return self.store.asked


@given(ends_at=st.floats(0.001, 100))
def test_an_end_is_heard_of_at_most_a_third_later_and_never_later_than_poll_every_says(ends_at: float) -> None:
    waiting = Waiting(ends_at=ends_at)
    waiting.during(200)
    assert waiting.heard_at is not None
    assert waiting.heard_at - ends_at < min(EVERY, 0.02 + ends_at / 3)


def test_the_longer_somebody_has_waited_the_longer_are_the_pauses_up_to_what_the_setting_says() -> None:
    asked = Waiting().during(60)
    assert len([at for at in asked if at < EVERY]) < 15
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert all(later > earlier - 1e-6 for earlier, later in pairwise(pauses))
    assert abs(pauses[-1] - EVERY) < 0.01


@given(at=st.floats(60, 60 + EVERY), later=st.floats(EVERY, 2 * EVERY))
def test_after_news_whoever_follows_a_saga_hears_as_soon_again_as_in_the_beginning(at: float, later: float) -> None:
    changes = at, at + later
    waiting, heard_at = Waiting(changes=changes), list[float]()

    async def follow() -> None:
        async for _ in waiting.watcher.states(waiting.store.seen().id):
            heard_at.append(waiting.clock())

    waiting.during(70, follow())
    began, first, second = heard_at
    assert began == 0
    assert 0 <= first - changes[0] <= EVERY
    assert 0 <= second - changes[1] <= 0.02 + (changes[1] - first) / 3


def test_what_this_process_works_on_is_not_asked_for_before_the_setting_says() -> None:
    waiting = Waiting()

    async def work() -> None:
        for revision in range(1, 100):
            waiting.watcher.notify(with_fields(waiting.store.seen(), revision=revision))
            await asyncio.sleep(0.1)

    assert waiting.during(9.0, work()) == []


def test_a_store_that_is_slow_is_asked_for_half_of_the_time_at_most() -> None:
    asked = Waiting(takes=1.0).during(60)
    assert 25 <= len(asked) <= 30


def test_who_waits_after_a_request_hears_nothing_from_before_it() -> None:
    waiting = Waiting(ends_at=0)
    ended = waiting.store.seen()
    requested = Signal("t-1", CompensationRequested("because", 0.0))

    async def load(saga_ids: Sequence[str]) -> dict[str, Stored]:
        await asyncio.sleep(0.1)
        undone = with_fields(ended, revision=ended.revision + 2, status=SagaStatus.COMPENSATED)
        return {ended.id: Stored(ended, (requested,)) if waiting.clock() < 1 else Stored(undone)}

    async def summaries(saga_ids: Sequence[str]) -> dict[str, Summary]:
        found = (await load([ended.id]))[ended.id].state
        return {ended.id: Summary(found.revision, found.status)}

    async def hear_late_of_the_commit() -> None:
        waiting.watcher.notify(ended)  # its reply comes after that to the request, which came after the commit
        await asyncio.sleep(0)

    waiting.store.load, waiting.store.summaries = load, summaries  # type: ignore[method-assign]
    waiting.during(10, hear_late_of_the_commit())
    assert waiting.heard_at is not None
    assert waiting.heard_at > 1
