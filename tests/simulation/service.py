"""The world outside: a service that applies each key once, and honours what was undone before it was done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from sagaflow import Abort, Happened, NotHappened, RetryLater, Saga, StillUnknown
from sagaflow.core.state import Direction
from sagaflow.execution import Execution, execution_of

from .network import Network, Unanswered
from .process import Process
from .world import World

T = TypeVar("T")

OK: Final = "ok"
TRICKS: Final = ("abort", "error", "error after", "slow", "hang", "later", "poison")
"""What a handler can do instead of succeeding; ``error after``: it fails though it has had its effect."""


@dataclass
class Run:
    """One attempt, as the outside sees it."""

    saga_id: str
    step: str
    direction: Direction
    attempt: int
    by: str
    began: float
    ended: float | None = None


@dataclass
class Outside:
    """What the service knows.

    Attributes:
        runs: every attempt, in the order in which they began.
        standing: effects that have not been undone: the name of each, by its key.
        undone: keys that were undone; what comes under one of them is refused.
    """

    world: World
    runs: list[Run] = field(default_factory=list[Run])
    standing: dict[str, str] = field(default_factory=dict[str, str])
    undone: set[str] = field(default_factory=set[str])
    on_run: Callable[[Run], None] = lambda _: None
    _fenced: dict[str, float] = field(default_factory=dict[str, float])

    def apply(self, key: str, asked_at: float) -> str:
        if key in self.undone:
            raise Abort("it was undone before it was done")
        if asked_at <= self._fenced.get(key, 0.0):
            raise ConnectionError("it was said meanwhile that this has not happened")
        return self.standing.setdefault(key, f"effect of {key}")

    def undo(self, key: str) -> None:
        self.undone.add(key)
        self.standing.pop(key, None)

    def find(self, key: str) -> str | None:
        """The effect; where there is none, nothing that is under way has one any more."""
        if key not in self.standing:
            self._fenced[key] = self.world.now
        return self.standing.get(key)


class Shop:
    """The service, as the handlers of one process see it."""

    def __init__(self, process: Process, network: Network, outside: Outside) -> None:
        self._process = process
        self._network = network
        self._outside = outside

    async def do(self, saga: Saga[Any], trick: str, pace: float) -> str:
        """Do the step that this instance is for."""
        run = self._begin(saga)
        await self._before(trick, pace)
        effect = await self._ask(partial(self._outside.apply, _execution(saga).step_key, run.began))
        if trick == "error after":
            raise ConnectionError("though it is done")
        run.ended = self._outside.world.now
        return effect

    async def undo(self, saga: Saga[Any], trick: str, pace: float) -> None:
        """Undo it."""
        run = self._begin(saga)
        await self._before(trick, pace)
        await self._ask(partial(self._outside.undo, _execution(saga).step_key))
        if trick == "error after":
            raise ConnectionError("though it is undone")
        run.ended = self._outside.world.now

    async def find(self, saga: Saga[Any], trick: str, pace: float) -> Happened[str] | NotHappened | StillUnknown:
        """Find out whether it was done."""
        run = self._begin(saga)
        if trick == "later":
            return StillUnknown()
        await self._before(trick, pace)
        effect = await self._ask(partial(self._outside.find, _execution(saga).step_key))
        run.ended = self._outside.world.now
        return NotHappened() if effect is None else Happened(effect)

    def _begin(self, saga: Saga[Any]) -> Run:
        known = _execution(saga)
        self._process.check_alive()
        run = Run(
            known.saga_id,
            known.step_name,
            known.direction,
            known.attempt,
            self._process.name,
            self._outside.world.now,
        )
        self._outside.runs.append(run)
        self._outside.world.tell(
            self._process.name, f"{known.saga_id}: {known.direction} {known.step_name}, attempt {known.attempt}"
        )
        self._outside.on_run(run)
        return run

    async def _before(self, trick: str, pace: float) -> None:
        match trick:
            case "abort":
                raise Abort("it is not to be had")
            case "error":
                raise ValueError("something is wrong")
            case "later":
                raise RetryLater(timedelta(seconds=2))
            case "slow":
                await asyncio.sleep(self._process.random.uniform(0.1, 4))
            case "hang":
                await asyncio.sleep(1_000)
            case "poison":
                self._process.crash("a handler kills it")
                self._process.check_alive()
            case _:
                await asyncio.sleep(self._process.random.expovariate(1 / pace))

    async def _ask(self, act: Callable[[], T]) -> T:
        try:
            return await self._network.call(self._process, "a request to the service", act)
        except Unanswered as error:
            raise ConnectionError(str(error)) from None


def _execution(saga: Saga[Any]) -> Execution:
    known = execution_of(saga)
    assert known is not None, "a handler runs in an execution"
    return known
