"""The engine that ``OrderSaga.start(...)`` means when nobody names one.

It is the innermost open engine of the current context that has the saga, else the only open engine of this event loop
that has it. A ContextVar alone would be empty in request handlers, in tasks that are older than the engine, and in
callbacks. What a context remembers is never reset by token (``__aenter__`` and ``__aexit__`` may run in different
contexts, as in a pytest fixture); instead, engines that are closed are passed over wherever they are remembered.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .errors import NoEngine

if TYPE_CHECKING:
    from .engine.handle import SagaHandle
    from .saga import Saga

C = TypeVar("C")


class AmbientEngine(Protocol):
    """What is needed of an engine here. It must be hashable by identity, and weakly referable."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it was opened on."""
        ...

    def has(self, saga: type[Saga[Any]], /) -> bool:
        """Whether it was given this very class."""
        ...

    async def start(
        self,
        saga: type[Saga[C]],
        context: C,
        /,
        *,
        id: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        tags: Iterable[str] = (),
    ) -> SagaHandle[C]:
        """Start one saga."""
        ...


_entered: ContextVar[tuple[weakref.ref[AmbientEngine], ...]] = ContextVar("sagaflow.engines", default=())
"""The engines that were opened in this context, innermost last."""

_open: weakref.WeakSet[AmbientEngine] = weakref.WeakSet()
_open_lock = threading.Lock()  # engines live on the loops of several threads


def enter(engine: AmbientEngine) -> None:
    """The engine is open: from now on it can be meant, first of all in this context."""
    with _open_lock:
        _open.add(engine)
    _entered.set((*(known for known in _entered.get() if known() is not None), weakref.ref(engine)))


def leave(engine: AmbientEngine) -> None:
    """The engine closes: from now on it is meant nowhere, whoever remembers it. Twice is as once."""
    with _open_lock:
        _open.discard(engine)


def current_engine(saga: type[Saga[Any]]) -> AmbientEngine:
    """The engine that is meant here.

    Raises:
        NoEngine: none can be meant, or more than one.
    """
    with _open_lock:
        engines = list(_open)
    loop = asyncio.get_running_loop()
    able = [engine for engine in engines if engine.loop is loop and engine.has(saga)]
    for known in reversed(_entered.get()):
        engine = known()
        if engine in able:
            return engine
    if len(able) == 1:
        return able[0]
    raise NoEngine(_explain(saga.__name__, able, engines, loop))


def _explain(
    name: str,
    able: list[AmbientEngine],
    engines: list[AmbientEngine],
    loop: asyncio.AbstractEventLoop,
) -> str:
    if able:
        return (
            f"{name}.start() finds {len(able)} open engines that have {name}. Call engine.start({name}, ...) on the "
            f"one you mean."
        )
    if any(engine.loop is loop for engine in engines):
        return f"{name}.start() finds an open engine, but it does not have {name}. Write Engine(sagas=[{name}, ...])."
    if engines:
        return (
            f"{name}.start() finds an engine on another event loop only. Call it on that loop "
            f"(asyncio.run_coroutine_threadsafe), or open an engine on this one."
        )
    return (
        f"{name}.start() finds no open engine. Write 'async with Engine(sagas=[{name}]):' around it, or call "
        f"engine.start({name}, ...)."
    )
