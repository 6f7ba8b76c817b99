"""What the public methods of an engine have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..core.state import Direction, SagaState
from ..errors import NoEngine, SagaNotFound
from ..ports import Codec, Lane, Store, Stored
from ..record import Family, SagaRecord
from ..saga import Saga
from .arguments import checked_id
from .binding import Binding
from .bindings import Bindings
from .clock import StoreClock
from .families import load_family
from .hints import Hints
from .machine import Machine
from .observing import Observers
from .settings import Settings
from .watcher import Watcher
from .worker import Worker


class EngineBase:
    """The parts of an engine that those who ask it for something need; ``Engine`` makes them."""

    _store: Store
    _bindings: Bindings
    _codec: Codec
    _clock: StoreClock
    _settings: Settings
    _machine: Machine
    _hints: Hints
    _observers: Observers | None
    _starts: asyncio.Semaphore
    _watcher: Watcher
    _worker: Worker | None
    _loop: asyncio.AbstractEventLoop | None

    def _must_be_open(self) -> None:
        if self._loop is None:
            raise NoEngine("this engine is not open; write 'async with Engine(...) as engine:'")

    def _binding_of(self, saga: type[Saga[Any]]) -> Binding:
        binding = self._bindings.of_class(saga)
        if binding is None:
            raise NoEngine(f"this engine does not have {saga.__name__}; write Engine(sagas=[{saga.__name__}, ...])")
        return binding

    async def _load(self, saga_id: str) -> Stored:
        """A saga that exists, in an engine that is open.

        Raises:
            NoEngine, SagaNotFound, StoreUnavailable
        """
        self._must_be_open()
        stored = (await self._store.load([checked_id(saga_id)])).get(saga_id)
        if stored is None:
            raise SagaNotFound(saga_id)
        return stored

    async def _records(self, states: Iterable[SagaState]) -> list[SagaRecord[Any]]:
        """The records of these, with those of their child sagas."""
        found = list(states)
        unknown = {state.saga for state in found if self._bindings.known(state) is None}
        if unknown:
            await self._bindings.look(at_once=not unknown.isdisjoint(self._bindings.classes))
        family = await load_family(self._store, found, self._record)
        return [self._record(state, family) for state in found]

    def _record(self, state: SagaState, family: Family) -> SagaRecord[Any]:
        binding = self._bindings.known(state)
        return binding.record(state, family) if binding else SagaRecord(state, self._codec, None, family)

    async def _call_attention(self, state: SagaState) -> None:
        """Have a worker look at the saga soon, here or elsewhere; a sweeper would a little later."""
        if self._worker is not None:
            self._worker.look(state.id)
        elif (binding := self._bindings.known(state)) is not None:
            queues = {step.queue for step in binding.definition}
            sides = (Direction.FORWARD, Direction.UNDO)
            await self._hints.send(state.id, {Lane(queue, side) for queue in queues for side in sides}, state.trace)
