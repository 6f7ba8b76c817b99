"""An engine that does no work: what commands look and act through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Self

from ..core.definition import SagaDefinition
from ..core.retry import Retry
from ..core.state import LockStatus, SagaState
from ..core.typecheck import SagaTypes
from ..core.versions import read_graph
from ..engine.binding import Binding, Factory
from ..engine.bindings import Bindings
from ..engine.engine import Engine
from ..engine.urls import default_codec
from ..errors import ConfigurationError
from ..ports import Broker, Store, Stored
from ..record import Family, SagaRecord
from ..saga import Saga
from .loading import App

_FREELY: Final = Retry(attempts=None)
"""How often is tried what the store does not say: policies are not kept with a graph."""


class Desk(Engine):
    """An engine that does no work, and knows sagas without their classes by the graphs that the store keeps of them.

    Such a saga can be looked at, undone, paused, resumed and retried. What needs to know the types of its values, or
    which step takes which, needs the class.
    """

    _graphs: dict[str, SagaDefinition]

    @classmethod
    def of(cls, app: App, store: str | None, broker: str | None) -> Self:
        """A desk for the sagas of an app, on the store and the broker of these URLs, else on those of its engine."""
        engine = app.engine
        if engine is None:
            desk = cls(app.sagas, actions=app.actions, store=store, broker=broker, work="none")
        else:
            desk = cls(
                store=store or engine._store,
                broker=broker or engine._broker,
                settings=engine._settings,
                codec=engine._codec,
                work="none",
            )
            known = engine._bindings
            desk._bindings = Bindings(known.classes, known.library, desk._store, desk._codec, desk._clock)
        desk._graphs = {}
        return desk

    @property
    def store(self) -> Store:
        """Where the sagas are."""
        return self._store

    @property
    def broker(self) -> Broker:
        """What wakes workers."""
        return self._broker

    @property
    def has_classes(self) -> bool:
        """Whether it was given any."""
        return bool(self._bindings.classes or self._bindings.library)

    @property
    def queues(self) -> set[str]:
        """The logical queues that its classes name."""
        return {step.queue for binding in self._bindings for step in binding.definition}

    # ------------------------------------------------------------------ looking

    async def lines(self, record: SagaRecord[Any]) -> Mapping[str, list[str]]:
        """Who stands in line for the locks that a saga waits for, the holder first.

        Raises:
            StoreUnavailable
        """
        wanted = [key for key, lock in record.state.locks.items() if lock.status is LockStatus.WANTED]
        return {key: [ticket.saga_id for ticket in await self._store.queue(key)] for key in wanted}

    async def forget(self, limit: int) -> int:
        """Forget up to ``limit`` sagas that may go by now; how many did.

        Raises:
            StoreUnavailable
        """
        keep_ids = self._settings.keep_ids.total_seconds()
        return await self._store.expire(await self._store.now(), limit, keep_ids)

    # ------------------------------------------------------------------ values

    def class_of(self, record: SagaRecord[Any]) -> type[Saga[Any]] | None:
        """The class of a saga, if it is known here."""
        binding = self._bindings.known(record.state)
        return binding.saga if binding is not None else None

    async def read_output(self, saga_id: str, step: str, text: str) -> object:
        """What stands for the output of a step, from JSON.

        Raises:
            PayloadError: it is not of the step's type.
            ConfigurationError: the class is not known here.
            SagaNotFound, StoreUnavailable
        """
        _, binding = await self._with_code(saga_id)
        name, is_element = step.partition("[")[:2]
        types = binding.types.returns if is_element else binding.types.outputs
        return default_codec().decode(text, types.get(name, Any))

    async def must_have_code(self, saga_id: str) -> None:
        """Refuse an act that cannot be judged without the class.

        Raises:
            ConfigurationError: it is not known here.
            SagaNotFound, StoreUnavailable
        """
        await self._with_code(saga_id)

    async def _with_code(self, saga_id: str) -> tuple[Stored, Binding]:
        stored = await self._load(saga_id)
        binding = await self._bindings.find(stored.state, at_once=True)
        if binding is None:
            raise ConfigurationError(
                f"saga {saga_id!r} is a {stored.state.saga}, and what this does hangs on its class. Name it: "
                f"--app module:{stored.state.saga}"
            )
        return stored, binding

    # ------------------------------------------------------------------ without a class

    async def _bound(self, saga_id: str) -> tuple[Stored, Binding]:
        stored = await self._load(saga_id)
        binding = await self._bindings.find(stored.state, at_once=True)
        if binding is None:
            await self._read_graphs([stored.state])
            types = self._types(stored.state)
            if types is None:
                return await self._with_code(saga_id)  # says what to write
            binding = Binding(None, _no_code, types, self._codec)
        return stored, binding

    async def _records(self, states: Iterable[SagaState]) -> list[SagaRecord[Any]]:
        found = list(states)
        await self._read_graphs(state for state in found if self._bindings.known(state) is None)
        return await super()._records(found)

    def _record(self, state: SagaState, family: Family) -> SagaRecord[Any]:
        types = self._types(state) if self._bindings.known(state) is None else None
        return SagaRecord(state, self._codec, types, family) if types is not None else super()._record(state, family)

    def _types(self, state: SagaState) -> SagaTypes | None:
        graph = self._graphs.get(state.fingerprint)
        return SagaTypes(definition=graph, context=Any, outputs={}) if graph is not None else None

    async def _read_graphs(self, states: Iterable[SagaState]) -> None:
        strange = {state.saga for state in states if state.fingerprint not in self._graphs}
        if not strange:
            return
        for graph in await self._store.graphs(sorted(strange)):
            definition = read_graph(graph.body, graph.fingerprint, graph.saga)
            steps = [replace(step, retry=_FREELY, compensation_retry=_FREELY) for step in definition]
            self._graphs[graph.fingerprint] = replace(definition, steps=tuple(steps))


def _no_code(method: str) -> Factory:
    raise LookupError(f"{method}: this engine does no work")  # pragma: no cover  # it has no lanes
