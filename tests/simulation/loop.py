"""An event loop on virtual time: one for each simulated process."""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")
Call = Callable[..., object]


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs what is ready, when it is told to, and asks its process for everything that has to do with time.

    Args:
        time: the process's own clock.
        wake_at: has ``fire`` called when that clock has come to a time, or later.
        complain: is told of what nobody has caught.
    """

    def __init__(
        self,
        time: Callable[[], float],
        wake_at: Callable[[float, Callable[[], None]], None],
        complain: Callable[[dict[str, Any]], None],
    ) -> None:
        self._time = time
        self._wake_at = wake_at
        self._complain = complain
        self._ready: deque[asyncio.Handle] = deque()
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.is_halted = False

    def run_ready(self) -> None:
        """Run until there is nothing more to do at this moment."""
        if events._get_running_loop() is not None:  # whoever runs it will come to this too
            return
        events._set_running_loop(self)
        try:
            while self._ready and not self.is_halted:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(None)

    def end(self) -> None:
        """Cancel all tasks until there are none left: their process is dead, and nothing that they do is seen."""
        self.is_halted = False
        while self.tasks:
            for task in list(self.tasks):
                task.cancel()
            self.run_ready()
        self.is_halted = True

    # ------------------------------------------------------------------ what asyncio asks of a loop

    def time(self) -> float:
        return self._time()

    def call_soon(self, callback: Call, *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Call, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Call, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:  # type: ignore[override]
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def fire() -> None:
            if not handle.cancelled():
                self._ready.append(handle)

        self._wake_at(when, fire)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Its time will come, and nothing will happen."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.tasks[task] = None
        task.add_done_callback(self.tasks.pop)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._complain(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return False
