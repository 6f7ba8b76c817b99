"""What is between a process and a server, and all that can go wrong there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, TypeVar

from .process import Died, Process
from .world import World

T = TypeVar("T")

TIMEOUT: Final = 3.0
"""Seconds after which a caller gives up."""


class Mishap(Enum):
    """What can become of one call."""

    CRASH_BEFORE = "the caller dies before it has sent it"
    CRASH_AFTER = "the caller dies before it has the reply"
    REFUSED = "the server fails before it has done anything"
    LOST = "the request is lost"
    REPLY_LOST = "the reply is lost"
    LATE = "the request arrives after its caller has given up"
    STOP = "the caller is stopped before it has the reply"


_FRACTIONS: Final = {
    Mishap.CRASH_BEFORE: 1,
    Mishap.CRASH_AFTER: 1,
    Mishap.REFUSED: 3,
    Mishap.LOST: 2,
    Mishap.REPLY_LOST: 3,
    Mishap.LATE: 2,
    Mishap.STOP: 1,
}


@dataclass
class Weather:
    """How often something goes wrong; it becomes fine at the end of each run.

    Attributes:
        mishaps: the part of all calls that meet one.
        crashes: whether processes may die of them.
    """

    mishaps: float = 0.0
    crashes: bool = True

    def draw(self, world: World) -> Mishap | None:
        """What becomes of the next call."""
        if world.random.random() >= self.mishaps:
            return None
        kinds = list(_FRACTIONS)
        mishap = world.random.choices(kinds, [_FRACTIONS[kind] for kind in kinds])[0]
        deadly = mishap in (Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER)
        return Mishap.REFUSED if deadly and not self.crashes else mishap


class Unanswered(Exception):
    """There is no reply: the server has failed, or it was not to be heard in time."""


class Network:
    """Carries the calls of processes to servers."""

    def __init__(self, world: World, weather: Weather) -> None:
        self.world = world
        self.weather = weather

    def latency(self) -> float:
        """Seconds that a message is under way."""
        return self.world.random.expovariate(200)

    async def call(self, process: Process, what: str, act: Callable[[], T]) -> T:
        """Have ``act`` done at a server.

        Raises:
            Unanswered: it was done, or it was not, or it will be.
        """
        process.check_alive()
        mishap = self._draw(process, what)
        if mishap is Mishap.CRASH_BEFORE:
            process.crash(f"before {what}")
            await process.loop.create_future()
        reply: asyncio.Future[T] = process.loop.create_future()
        delay = self.latency()
        if mishap is Mishap.LATE:
            delay += TIMEOUT + self.world.random.uniform(0, 10)
        self.world.after(delay, partial(self._arrive, process, what, act, reply, mishap))
        try:
            async with asyncio.timeout(TIMEOUT):
                return await reply
        except TimeoutError:
            raise Unanswered(f"no answer in time to {what}") from None

    def _arrive(
        self, process: Process, what: str, act: Callable[[], T], reply: asyncio.Future[T], mishap: Mishap | None
    ) -> None:
        if mishap is Mishap.LOST:
            return
        answer: Callable[[], None]
        if mishap is Mishap.REFUSED:
            answer = partial(_fail, reply, Unanswered(f"{what} failed"))
        else:
            try:
                answer = partial(_succeed, reply, act())
            except Exception as error:
                answer = partial(_fail, reply, error)
        if mishap is Mishap.CRASH_AFTER:
            process.crash(f"after {what}")
        if mishap is Mishap.STOP:
            process.stop(self.world.random.choice([1.0, 7.0, 20.0]), asleep=self.world.random.random() < 0.3)
        if mishap is not Mishap.REPLY_LOST:
            self.world.after(self.latency(), partial(process.deliver, answer))

    def call_now(self, process: Process, what: str, act: Callable[[], T]) -> T:
        """As ``call``, from a thread, which waits for nothing here.

        Raises:
            Unanswered: it was done, or it was not.
        """
        if process.is_dead:
            raise Died
        mishap = self._draw(process, what)
        if mishap is Mishap.CRASH_BEFORE:
            process.crash(f"before {what}")
            raise Died
        if mishap in (Mishap.REFUSED, Mishap.LOST, Mishap.LATE):
            raise Unanswered(f"{what} failed")
        done = act()
        if mishap is Mishap.CRASH_AFTER:
            process.crash(f"after {what}")
            raise Died
        if mishap is not None:
            raise Unanswered(f"no answer in time to {what}")
        return done

    def _draw(self, process: Process, what: str) -> Mishap | None:
        mishap = self.weather.draw(self.world)
        if mishap is not None and mishap not in (Mishap.CRASH_BEFORE, Mishap.CRASH_AFTER):
            self.world.fault(process.name, f"{what}: {mishap.value}")
        return mishap


def _succeed(reply: asyncio.Future[T], answer: T) -> None:
    if not reply.done():
        reply.set_result(answer)


def _fail(reply: asyncio.Future[Any], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing but its turn."""
    while True:
        try:
            work.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
