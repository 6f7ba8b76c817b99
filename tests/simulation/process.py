"""A simulated process: an event loop, clocks of its own, and a life that can be cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from enum import Enum, auto
from functools import partial
from random import Random
from typing import Any

from sagaflow.engine.machine import Machine

from .loop import VirtualLoop
from .world import World


class Died(BaseException):
    """The process has died in the middle of something."""


class Life(Enum):
    RUNNING = auto()
    STOPPED = auto()
    """Gets no processor, as after SIGSTOP; its clocks go on."""
    DEAD = auto()


class Process(Machine):
    """One process on a machine of its own, whose clocks are a little wrong."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__()
        self.random = Random(world.random.getrandbits(32))
        self.world = world
        self.name = name
        self.life = Life.RUNNING
        self.complaints: list[str] = []
        self.on_death: Callable[[], object] = lambda: None
        self._drift = world.random.uniform(0.97, 1.03)
        self._wall_error = world.random.choice([0.0, 0.0, world.random.uniform(-7_200, 7_200)])
        self._origin = (world.now, world.random.uniform(0, 1e6))
        self._names = 0
        self._waiting: list[Callable[[], object]] = []  # what comes while it is stopped
        self._threads: list[Callable[[], object]] = []  # ... to its threads
        self._frozen_at: float | None = None
        self.loop = VirtualLoop(self.monotonic, self._wake_at, self._complain)  # type: ignore[abstract]

    # ------------------------------------------------------------------ the machine

    def monotonic(self) -> float:
        if self._frozen_at is not None:
            return self._frozen_at
        since, origin = self._origin
        return origin + (self.world.now - since) * self._drift

    def wall(self) -> float:
        return self.world.now + self._wall_error

    def new_id(self) -> str:
        self._names += 1
        return f"{self.name}-{self._names:03}"

    def beside(self, work: Iterator[float], name: str) -> SimulatedThread:
        return SimulatedThread(self, work)

    def _wake_at(self, when: float, fire: Callable[[], None]) -> None:
        # Clocks can have been stopped meanwhile.
        if self.monotonic() >= when:
            fire()
        else:
            again = partial(self.deliver, partial(self._wake_at, when, fire))
            self.world.after(max(1e-6, (when - self.monotonic()) / self._drift), again)

    # ------------------------------------------------------------------ life

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """The program of the process."""
        self.deliver(partial(self.loop.create_task, work, name="main", context=Context()))

    def deliver(self, call: Callable[[], object], *, thread: bool = False) -> None:
        """Something comes to this process from outside, or its time has come."""
        if self.life is Life.STOPPED:
            (self._threads if thread else self._waiting).append(call)
        elif self.life is Life.RUNNING:
            call()
            self.loop.run_ready()

    @property
    def is_dead(self) -> bool:
        return self.life is Life.DEAD

    def crash(self, why: str) -> None:
        """As by SIGKILL."""
        if self.life is not Life.DEAD:
            self.world.fault(self.name, f"dies: {why}")
            self.life = Life.DEAD
            self.loop.is_halted = True
            self.world.after(0, self.loop.end)
            self.on_death()

    def stop(self, seconds: float, *, asleep: bool) -> None:
        """Get no processor for a while; ``asleep``: the whole machine sleeps, and its clocks stand still."""
        if self.life is Life.RUNNING:
            self.world.fault(self.name, f"{'sleeps' if asleep else 'is stopped'} for {seconds:.1f} s")
            if asleep:
                self._frozen_at = self.monotonic()
            self.life = Life.STOPPED
            self.world.after(seconds, self._go_on)

    def _go_on(self) -> None:
        if self.life is not Life.STOPPED:
            return
        self.life = Life.RUNNING
        if self._frozen_at is not None:
            self._origin = (self.world.now, self._frozen_at)
            self._frozen_at = None
        self.world.tell(self.name, "goes on")
        # Its threads may have to wait for the processor, or for a new connection.
        late = self.world.random.choice([0.0, 0.0, self.world.random.uniform(0, 3)])
        for call in self._threads:
            self.world.after(late, partial(self.deliver, call, thread=True))
        waiting, self._waiting, self._threads = self._waiting, [], []
        for call in waiting:
            self.deliver(call)

    def check_alive(self) -> None:
        """The dead do nothing more: not even what ``finally`` says."""
        if self.is_dead:
            raise asyncio.CancelledError

    def _complain(self, context: dict[str, Any]) -> None:
        if not self.is_dead:
            where = context.get("future") or context.get("task")
            self.complaints.append(f"{context.get('message')}: {context.get('exception')!r} in {where}")


class SimulatedThread:
    """What ``Machine.beside`` returns: each step of the work takes no time."""

    def __init__(self, process: Process, work: Iterator[float]) -> None:
        self._process = process
        self._work = work
        self._hurried = False
        self._over = process.loop.create_future()
        process.world.after(0, partial(process.deliver, self._step, thread=True))

    def _step(self) -> None:
        if self._over.done():
            return
        try:
            pause = next(self._work)
            while self._hurried:
                next(self._work)
        except StopIteration:
            self._over.set_result(None)
        except Died:
            """Nobody is left to be told."""
        else:
            self._process.world.after(pause, partial(self._process.deliver, self._step, thread=True))

    def hasten(self) -> None:
        self._hurried = True
        self._process.world.after(0, partial(self._process.deliver, self._step, thread=True))

    async def ended(self) -> None:
        await self._over
