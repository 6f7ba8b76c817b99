"""The engine: sagas, a store and a broker, put together."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

from .. import ambient
from ..errors import ConfigurationError
from ..ports import Broker, Codec, Observer, Store
from ..saga import Saga
from .arguments import Work, bind, lanes_of
from .binding import Factory
from .bindings import Bindings
from .checking import Checking
from .clock import StoreClock
from .hints import Hints
from .liveness import Liveness
from .machine import Machine
from .observing import Observers
from .recipes import Library
from .reports import Health
from .runner import Runner
from .sampler import Sampler
from .settings import Settings
from .starting import Starting
from .surveying import Surveying
from .sweeper import Sweeper
from .urls import default_codec, open_broker, open_store
from .watcher import Watcher
from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.engine")

_STARTS = 100  # starts under way; as many connections as PyMongo opens to one server


class Engine(Starting, Surveying, Checking):
    """Runs sagas. Open it with ``async with``; it works in the background until the block ends.

    Args:
        sagas: saga classes, or factories of them where they need collaborators (``partial(OrderSaga, shop)``).
        actions: libraries of actions for sagas whose steps are data (``start_steps``): abstract saga classes, or
            factories of them.
        store: where sagas are kept: ``sqlite:///file.db``, ``mongodb://…/database``, ``memory://``, or a store. By
            default ``SAGAFLOW_STORE``, else ``sqlite:///sagaflow.db``.
        broker: what carries hints: ``memory://``, ``amqp://…``, ``amqps://…``, or a broker. By default
            ``SAGAFLOW_BROKER``, else ``memory://``.
        work: ``all``, only ``steps``, only ``compensations``, or ``none`` (a web process that only starts sagas).
        queues: the logical queues to serve; by default all that these sagas name.
        settings: numbers.
        codec: how contexts and outputs are written; JSON by default.
        machine: clocks, chance and the thread of the heartbeat; for simulations.
        observers: who is told what this process does: metrics, traces.

    Raises:
        DefinitionError: a class has faults that could not be seen when it was made.
        ConfigurationError: a URL, a setting or an observer is wrong.

    Example:
        >>> async def main() -> None:
        ...     async with Engine(sagas=[partial(OrderSaga, Shop())]):
        ...         handle = await OrderSaga.start(Order("o-1", "ada", 9_900), id="o-1")
        ...         print((await handle.result()).status)
    """

    def __init__(  # noqa: PLR0913  # keywords, each with a default
        self,
        sagas: Iterable[Factory] = (),
        *,
        actions: Iterable[Factory] = (),
        store: str | Store | None = None,
        broker: str | Broker | None = None,
        work: Work = "all",
        queues: Sequence[str] | None = None,
        settings: Settings | None = None,
        codec: Codec | None = None,
        machine: Machine | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._machine = machine or Machine()
        self._clock = StoreClock(self._machine)
        self._codec: Codec = codec or default_codec()
        classes, library = bind(sagas, self._codec), Library(actions)
        self._store = open_store(store)
        self._bindings = Bindings(classes, library, self._store, self._codec, self._clock)
        self._broker = open_broker(broker)
        self._observers = Observers.of(observers)
        self._hints = Hints(self._broker, self._observers)
        self._settings = settings or Settings()
        self._starts = asyncio.Semaphore(_STARTS)
        self._lanes = lanes_of(classes.values(), work, queues, shared=library.queues)
        self._watcher = Watcher(self._store, self._settings)
        self._runner = Runner(self._codec, self._clock, self._settings, self._observers)
        self._was_opened = False
        self._loop = None
        self._worker = None
        self._liveness: Liveness | None = None
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
        return self._bindings.of_class(saga) is not None

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
            await self._bindings.look()
            await self._broker.open()
            self._liveness = Liveness(self._store, self._clock, self._settings, self._machine, self._incarnation_died)
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
                codec=self._codec,
                lanes=self._lanes,
                clock=self._clock,
                settings=self._settings,
                liveness=self._liveness,
                watcher=self._watcher,
                runner=self._runner,
                hints=self._hints,
                observers=self._observers,
            )
            self._part(worker.consume(), "consumer")
            self._part(Sweeper(self._store, worker, self._settings, self._machine.random).run(), "sweeper")
        if self._observers is not None:
            for observer in self._observers.all:
                if observer.sample_every is not None:
                    self._part(Sampler(self._store, self._clock, self._observers, observer).run(), "sampler")
        for parent, step, child in self._bindings.missing_children:
            logger.warning(
                "saga %s runs %s in step %s, which this engine does not have: another one must, or write "
                "Engine(sagas=[..., %s])",
                parent,
                child,
                step,
                child,
            )
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
            in_flight=len(self._worker.attempts) if self._worker is not None else 0,
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


async def _outlive(liveness: Liveness) -> None:
    await asyncio.shield(liveness.ended)
