"""The sagas of a scenario: started in the three shapes by turns, and watched from outside the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import cycle, islice

from ulid import ULID

from sagaflow import Engine, SagaStatus, StoreUnavailable
from sagaflow.core.state import SagaState
from sagaflow.ports import Store
from tests.polling import until

from .sagas import SHAPES, LedgerSaga, Load

_AT_ONCE = 50  # starts under way
_BATCH = 500  # sagas in one look at the store
_PAUSE = 0.2  # seconds between two looks


class Crowd:
    """Sagas of three shapes.

    ``expected`` says of each saga that was started how it must end.
    """

    def __init__(self, engine: Engine, store: Store, load: Load) -> None:
        """``engine`` starts them, ``store`` is a connection of the crowd's own by which it watches them."""
        self.engine = engine
        self.load = load
        self.expected: dict[str, SagaStatus] = {}
        self._store = store
        self._active: set[str] = set()
        self._shapes = cycle(SHAPES)

    async def start(self, count: int, *, load: Load | None = None) -> list[str]:
        """Start so many more; their ids, in the order of starting."""
        gate = asyncio.Semaphore(_AT_ONCE)
        turns = list(islice(self._shapes, count))
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(self._start(shape, load or self.load, gate)) for shape in turns]
        return [task.result() for task in started]

    def expect(self, shapes: Iterable[type[LedgerSaga]]) -> dict[str, str]:
        """Sagas that somebody else starts: the name of the shape of each, by its id."""
        wanted = {str(ULID()): shape for shape in shapes}
        self.expected.update((saga_id, SHAPES[shape]) for saga_id, shape in wanted.items())
        self._active.update(wanted)
        return {saga_id: shape.__name__ for saga_id, shape in wanted.items()}

    async def in_flight(self) -> int:
        """How many have not ended yet."""
        for ids in _batches(self._active):
            for saga_id, summary in (await self._store.summaries(ids)).items():
                if summary.status.is_terminal:
                    self._active.discard(saga_id)
        return len(self._active)

    @asynccontextmanager
    async def kept_at(self, count: int) -> AsyncIterator[None]:
        """So many in flight for the whole block: for each that ends another one is started."""
        await self.start(count - await self.in_flight())
        enough = asyncio.Event()
        keeping = asyncio.create_task(self._keep(count, enough))
        try:
            yield
        finally:
            enough.set()
            await keeping  # not cancelled: a start that is cut off would be expected to have been made

    async def ended(self, *, seconds: float) -> bool:
        """Whether all end in time. A store that does not answer is asked again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(StoreUnavailable):
                if not await self.in_flight():
                    return True
            await asyncio.sleep(_PAUSE)
        return False

    async def retry(self, ids: Iterable[str]) -> None:
        """Have an operator retry sagas that have failed."""
        for saga_id in ids:
            answer = await self.engine.retry(saga_id, by="ada", reason="what had killed five workers is gone")
            assert answer.is_accepted, answer.why
            await until(partial(self._has_been_heard, saga_id), seconds=60)
            self._active.add(saga_id)

    async def _has_been_heard(self, saga_id: str) -> bool:
        return (await self._store.summaries([saga_id]))[saga_id].status is not SagaStatus.FAILED

    async def states(self) -> Mapping[str, SagaState]:
        """All of them, as the store has them."""
        found: dict[str, SagaState] = {}
        for ids in _batches(self.expected):
            found |= {saga_id: stored.state for saga_id, stored in (await self._store.load(ids)).items()}
        return found

    async def _start(self, shape: type[LedgerSaga], load: Load, gate: asyncio.Semaphore) -> str:
        saga_id = str(ULID())
        self.expected[saga_id] = SHAPES[shape]
        async with gate:
            while True:
                try:
                    await self.engine.start(shape, load, id=saga_id)
                    break
                except StoreUnavailable:
                    await asyncio.sleep(_PAUSE)  # it may have been started: the same id makes sure
        self._active.add(saga_id)
        return saga_id

    async def _keep(self, count: int, enough: asyncio.Event) -> None:
        while not enough.is_set():
            with suppress(StoreUnavailable):  # nobody knows how many there are
                await self.start(count - await self.in_flight())
            await asyncio.sleep(_PAUSE)


def _batches(ids: Iterable[str]) -> list[list[str]]:
    every = list(ids)
    return [every[start : start + _BATCH] for start in range(0, len(every), _BATCH)]
