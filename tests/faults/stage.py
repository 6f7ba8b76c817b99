"""One play of a scenario: a crowd of sagas, a fleet of workers, and the verdict at the end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from sagaflow.adapters.memory_broker import MemoryBroker

from .crowd import Crowd
from .fleet import Fleet
from .grounds import Numbers, Place
from .ledger import Ledger
from .sagas import Load, shapes
from .verdict import Evidence, Figures
from .worker import Orders

_SLACK: Final = timedelta(seconds=10)


@dataclass
class Stage:
    """What a scenario works with. ``faults`` is for the scenario to count."""

    place: Place
    ledger: Ledger
    crowd: Crowd
    fleet: Fleet
    faults: int = 0
    began: float = field(default_factory=time.monotonic)

    async def verdict(self, *words: str, seconds: float = 300.0, excused: int = 0) -> Figures:
        """Wait for the end of all sagas, look at each of them, and have the store checked.

        Where workers were killed so often that five of them died in one compensation, do what an operator does.

        Args:
            words: what else was measured, for the line of figures.
            seconds: after which a saga that has not ended is a violation.
            excused: how many attempts more than the interrupted ones the scenario may have caused to be repeated.
        """
        evidence = await self._evidence(seconds, excused)
        if unlucky := evidence.unlucky():
            await self.crowd.retry(unlucky)
            evidence = await self._evidence(seconds, excused)
            words = (*words, f"{len(unlucky)} retried by hand, since five workers had died in a compensation")
        findings = await self.crowd.engine.check(slack=_SLACK)
        ends = (f"worker {worker.pid} ended unasked\n{worker.log_end()}" for worker in self.fleet.unasked_ends())
        return Figures(
            sagas=len(self.crowd.expected),
            faults=self.faults,
            repeated=evidence.repeated(),
            interrupted=evidence.interrupted(),
            seconds=time.monotonic() - self.began,
            violations=(*evidence.violations(), *map(str, findings), *ends),
            words=words,
        )

    async def _evidence(self, seconds: float, excused: int) -> Evidence:
        await self.crowd.ended(seconds=seconds)
        states = await self.crowd.states()
        return Evidence.of(self.ledger, self.crowd.expected, states, self.fleet.hits, excused=excused)


@asynccontextmanager
async def staged(
    place: Place,
    *,
    pause: float = 0.01,
    settings: Numbers | None = None,
    starter: Numbers | None = None,
    hints: bool = True,
) -> AsyncIterator[Stage]:
    """A stage in this place, without workers yet.

    Args:
        place: shared with no other stage.
        pause: the seconds that each handler takes.
        settings: of all engines, where they differ from the defaults; times in seconds.
        starter: of the engine that starts the sagas, where they differ from those again.
        hints: whether workers hear of the sagas that are started; otherwise they must find them.
    """
    ledger, store = place.open_ledger(), place.store()
    broker = place.broker() if hints else MemoryBroker()
    everybody = dict(settings or {})
    try:
        async with (
            place.engine(
                shapes(ledger), work="none", settings=everybody | dict(starter or {}), broker=broker
            ) as engine,
            Fleet(Orders(place, settings=everybody)) as fleet,
        ):
            await store.open()
            yield Stage(place, ledger, Crowd(engine, store, Load(pause)), fleet)
    finally:
        await store.close()
        ledger.close()
