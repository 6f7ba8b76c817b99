"""The engine: sagas, a store and a broker, put together."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

from ulid import ULID

from .. import ambient
from ..core.decide import new_saga, requestable
from ..core.events import CancellationRequested, CompensationRequested, Request
from ..core.state import SagaState, SagaStatus
from ..core.work import open_work
from ..errors import ConfigurationError, NoEngine, SagaExists, SagaNotFound
from ..ports import Broker, Codec, Lane, Query, Signal, Store
from ..record import SagaRecord
from ..saga import Saga
from .answer import Answer, answer
from .arguments import Work, bind, check_reason, checked_id, lanes_of
from .binding import Binding, Factory
from .clock import StoreClock
from .handle import SagaHandle
from .hints import Hints
from .liveness import Liveness
from .reports import Health, SagaPage
from .runner import Runner
from .settings import Settings
from .sweeper import Sweeper
from .urls import default_codec, open_broker, open_store
from .watcher import Watcher
from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.engine")

C = TypeVar("C")


class Engine:
    """Runs sagas. Open it with ``async with``; it works in the background until the block ends.

    Args:
        sagas: saga classes, or factories of them where they need collaborators (``partial(OrderSaga, shop)``).
        store: where sagas are kept: ``sqlite:///file.db``, ``mongodb://…/database``, ``memory://``, or a store. By
            default ``SAGAFLOW_STORE``, else ``sqlite:///sagaflow.db``.
        broker: what carries hints: ``memory://``, ``amqp://…``, ``amqps://…``, or a broker. By default
            ``SAGAFLOW_BROKER``, else ``memory://``.
        work: ``all``, only ``steps``, only ``compensations``, or ``none`` (a web process that only starts sagas).
        queues: the logical queues to serve; by default all that these sagas name.
        settings: numbers.
        codec: how contexts and outputs are written; JSON by default.

    Raises:
        DefinitionError: a class has faults that could not be seen when it was made.
        ConfigurationError: a URL or a setting is wrong.

    Example:
        >>> async def main() -> None:
        ...     async with Engine(sagas=[partial(OrderSaga, Shop())]):
        ...         handle = await OrderSaga.start(Order("o-1", "ada", 9_900), id="o-1")
        ...         print((await handle.result()).status)
    """

    def __init__(
        self,
        sagas: Iterable[Factory],
        *,
        store: str | Store | None = None,
        broker: str | Broker | None = None,
        work: Work = "all",
        queues: Sequence[str] | None = None,
        settings: Settings | None = None,
        codec: Codec | None = None,
    ) -> None:
        self._codec: Codec = codec or default_codec()
        self._bindings = bind(sagas, self._codec)
        self._store = open_store(store)
        self._broker = open_broker(broker)
        self._hints = Hints(self._broker)
        self._settings = settings or Settings()
        self._lanes = lanes_of(self._bindings.values(), work, queues)
        self._clock = StoreClock()
        self._watcher = Watcher(self._store, self._settings)
        self._runner = Runner(self._codec, self._clock, self._settings)
        self._was_opened = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._liveness: Liveness | None = None
        self._worker: Worker | None = None
        self._parts: list[asyncio.Task[None]] = []
        self._failures: list[BaseException] = []
        self._failed = asyncio.Event()

    # ------------------------------------------------------------------ life

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it is open on; None if it is not open."""
        return self._loop

    def has(self, saga: type[Saga[Any]]) -> bool:
        """Whether it was given this class."""
        return any(binding.saga is saga for binding in self._bindings.values())

    async def open(self) -> None:
        """Connect, and begin to work in the background.

        Raises:
            ConfigurationError: a server cannot give what is needed.
            StoreUnavailable: the store does not answer. (A broker that does not is waited for in the background.)
        """
        if self._was_opened:
            raise ConfigurationError("an engine is opened once; make a new one: Engine(...)")
        self._was_opened = True
        await self._store.open()
        try:
            await self._broker.open()
            self._liveness = Liveness(self._store, self._clock, self._settings, self._incarnation_died)
            await self._liveness.start()
        except BaseException:
            await self._broker.close()
            await self._store.close()
            raise
        self._loop = asyncio.get_running_loop()
        ambient.enter(self)
        self._part(self._watcher.run(), "watcher")
        self._part(_outlive(self._liveness), "heartbeat")
        if self._lanes:
            worker = self._worker = Worker(
                store=self._store,
                broker=self._broker,
                bindings=self._bindings,
                lanes=self._lanes,
                clock=self._clock,
                settings=self._settings,
                liveness=self._liveness,
                watcher=self._watcher,
                runner=self._runner,
            )
            self._part(worker.consume(), "consumer")
            self._part(Sweeper(self._store, worker, self._settings, Random()).run(), "sweeper")
        logger.info("engine %s is open, serving %d lanes", self._liveness.incarnation, len(self._lanes))

    async def stop(self) -> None:
        """Begin nothing more, let running handlers end within the grace period, hand over the rest; idempotent.

        Sagas can still be started and looked at until ``close``.
        """
        worker, self._worker = self._worker, None
        if worker is None:
            return
        sources = [part for part in self._parts if part.get_name() in ("consumer", "sweeper")]
        for source in sources:
            source.cancel()
        # Giving back what was fetched takes a moment, and goes on beside the draining.
        ended = asyncio.gather(*sources, return_exceptions=True)
        await worker.drain()
        await ended

    async def close(self) -> None:
        """Stop, and release everything; idempotent.

        Raises:
            BaseExceptionGroup: parts of the engine had died while it was open.
        """
        if self._loop is None:
            return
        await self.stop()
        self._loop = None
        ambient.leave(self)
        if self._liveness is not None:
            await self._liveness.stop()
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        self._watcher.close()
        await self._broker.close()
        await self._store.close()
        if self._failures:
            raise BaseExceptionGroup("parts of the engine had died while it was open", self._failures)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()

    async def run(self) -> None:
        """Work until SIGINT or SIGTERM, then drain; a second signal ends the process as usual.

        Opens the engine and closes it again, unless it is open already: then that is left to who opened it.

        Raises:
            BaseExceptionGroup: a part of the engine died.
        """
        if self._loop is None:
            async with self:
                await self.run()
            return
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, asked.set)
        waits = [asyncio.ensure_future(asked.wait()), asyncio.ensure_future(self._failed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            for number in signals:
                loop.remove_signal_handler(number)
        await self.stop()

    @property
    def health(self) -> Health:
        """How it is, without asking anybody."""
        beat_age = self._liveness.age if self._liveness is not None else float("inf")
        fresh = self._liveness is not None and self._liveness.is_assured
        broker = self._broker.health
        return Health(
            ok=self._loop is not None and fresh and broker == "ok" and not self._failures,
            broker=broker,
            beat_age=beat_age,
            in_flight=self._worker.in_flight if self._worker is not None else 0,
            failures=tuple(self._failures),
        )

    def _part(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._part_ended)
        self._parts.append(task)

    def _part_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the engine's %s has died; restart this process", task.get_name(), exc_info=error)
            self._failures.append(error)
            self._failed.set()

    def _incarnation_died(self, incarnation: str) -> None:
        if self._worker is not None:
            self._worker.incarnation_died(incarnation)

    # ------------------------------------------------------------------ sagas

    async def start(
        self, saga: type[Saga[C]], context: C, /, *, id: str | None = None, at: datetime | None = None
    ) -> SagaHandle[C]:
        """Start one saga; it has begun for certain when this returns, though nobody may work on it yet.

        Args:
            id: names the transaction: the same id with an equal context is the same saga. By default a new ULID.
            at: when it is to begin, aware of its time zone; by default now.

        Raises:
            SagaExists: the id was used for another saga class, or with another context.
            PayloadError: the context is not of the saga's type, or too large.
            StoreUnavailable: the store did not answer; start again with the same id to be sure.
        """
        self._must_be_open()
        binding = self._binding_of(saga)
        saga_id = checked_id(id) if id is not None else str(ULID())
        if at is not None and at.tzinfo is None:
            raise ValueError(f"start(at={at!r}): which time zone? Write datetime(..., tzinfo=UTC)")
        payload = binding.encode_context(context, self._settings.context_limit)
        now = self._clock.now()
        state = new_saga(binding.definition, saga_id, payload, now, at.timestamp() if at is not None else None)
        wake_at = state.start_at
        if wake_at is None:
            wake_at = now + self._settings.patience.total_seconds()
        if await self._store.insert(state, wake_at):
            await self._hint(binding, state, now)
        else:
            await self._must_be_same(binding, saga_id, context)
        return SagaHandle(self, saga_id)

    def handle(self, saga: type[Saga[C]], saga_id: str, /) -> SagaHandle[C]:
        """A handle for a saga that was started before, here or elsewhere; nobody is asked whether it exists."""
        self._binding_of(saga)
        return SagaHandle(self, checked_id(saga_id))

    async def get(self, saga_id: str, /) -> SagaRecord[Any]:
        """The record of a saga. Without its class in this engine, its payloads come as plain builtins.

        Raises:
            SagaNotFound, StoreUnavailable
        """
        self._must_be_open()
        stored = (await self._store.load([checked_id(saga_id)])).get(saga_id)
        if stored is None:
            raise SagaNotFound(saga_id)
        return self._record(stored.state)

    async def list(
        self,
        *,
        saga: type[Saga[Any]] | str | None = None,
        statuses: Iterable[SagaStatus | str] = (),
        limit: int = 100,
        cursor: str | None = None,
    ) -> SagaPage:
        """Records, newest first, a page at a time.

        Raises:
            ValueError: no such status, or no such cursor.
            StoreUnavailable
        """
        self._must_be_open()
        name = saga if isinstance(saga, str) or saga is None else self._binding_of(saga).definition.name
        page = await self._store.find(
            Query(
                sagas=(name,) if name is not None else (),
                statuses=tuple(SagaStatus(status) for status in statuses),
                limit=limit,
                cursor=cursor,
            )
        )
        return SagaPage(tuple(self._record(state) for state in page.sagas), page.cursor)

    async def list_active(self, *, limit: int = 100, cursor: str | None = None) -> SagaPage:
        """Records of the sagas that have not ended. See ``list``."""
        active = [status for status in SagaStatus if not status.is_terminal]
        return await self.list(statuses=active, limit=limit, cursor=cursor)

    async def watch(self, saga_id: str, /) -> AsyncGenerator[SagaRecord[Any], None]:
        """A saga's record now, and each newer one that is seen, until it has ended. See ``SagaHandle.changes``."""
        self._must_be_open()
        async with aclosing(self._watcher.states(checked_id(saga_id))) as states:
            async for state in states:
                yield self._record(state)

    async def compensate(self, saga_id: str, /, *, reason: str = "compensation was requested") -> Answer:
        """Undo a saga, whether it runs or has completed. Steps that run are awaited; nothing more is begun.

        Returns:
            what it did: accepted (recorded, and certain to be done), already so, or refused and why.

        Raises:
            SagaNotFound, StoreUnavailable, InboxFull
            ValueError: the reason is too long.
        """
        return await self._request(saga_id, "compensate", CompensationRequested(reason, self._clock.now()))

    async def cancel(self, saga_id: str, /, *, reason: str = "it was cancelled") -> Answer:
        """Stop a saga that runs and undo what it did; one that has completed stays as it is.

        Returns:
            what it did: accepted (recorded, and certain to be done), already so, or refused and why.

        Raises:
            SagaNotFound, StoreUnavailable, InboxFull
            ValueError: the reason is too long.
        """
        return await self._request(saga_id, "cancel", CancellationRequested(reason, self._clock.now()))

    async def _request(self, saga_id: str, act: str, request: Request) -> Answer:
        self._must_be_open()
        check_reason(act, request.reason)
        entry = Signal(str(ULID()), request)
        posted = await self._store.post(checked_id(saga_id), entry, sorted(requestable(request)))
        if posted.status is None:
            raise SagaNotFound(saga_id)
        if posted.accepted:
            await self._call_attention(saga_id)
        return answer(act, posted.accepted, posted.status)

    async def _call_attention(self, saga_id: str) -> None:
        """Have a worker look at the saga soon; a sweeper would a little later."""
        if self._worker is not None:
            self._worker.look(saga_id)

    async def _hint(self, binding: Binding, state: SagaState, now: float) -> None:
        lanes = {Lane(work.queue, work.direction) for work in open_work(binding.definition, state) if work.due <= now}
        await self._hints.send(state.id, lanes)

    async def _must_be_same(self, binding: Binding, saga_id: str, context: object) -> None:
        stored = (await self._store.load([saga_id])).get(saga_id)
        if stored is None:
            raise SagaNotFound(saga_id)
        if stored.state.saga != binding.definition.name:
            raise SagaExists(saga_id, f"as a {stored.state.saga}")
        if binding.decode_context(stored.state) != context:
            raise SagaExists(saga_id, "with another context")

    def _record(self, state: SagaState) -> SagaRecord[Any]:
        binding = self._bindings.get(state.saga)
        if binding is None or binding.definition.fingerprint != state.fingerprint:
            return SagaRecord(state, self._codec, None)
        return binding.record(state)

    def _binding_of(self, saga: type[Saga[Any]]) -> Binding:
        for binding in self._bindings.values():
            if binding.saga is saga:
                return binding
        raise NoEngine(f"this engine does not have {saga.__name__}; write Engine(sagas=[{saga.__name__}, ...])")

    def _must_be_open(self) -> None:
        if self._loop is None:
            raise NoEngine("this engine is not open; write 'async with Engine(...) as engine:'")


async def _outlive(liveness: Liveness) -> None:
    await asyncio.shield(liveness.ended)
