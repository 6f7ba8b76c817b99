"""The three shapes of sagas: one step after another, side by side, and one that fails and is undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from msgspec import Struct

from sagaflow import Abort, Saga, SagaStatus, step

from .ledger import Ledger

Factories = Sequence[Callable[[], Saga[Any]]]


class Load(Struct, frozen=True):
    """``pause``: the seconds that a handler takes on the average, half of them before its effect."""

    pause: float = 0.01


@dataclass
class LedgerSaga(Saga[Load], abstract=True):
    """What all shapes share: handlers that do nothing but through the ledger."""

    ledger: Ledger

    def pause(self, load: Load) -> float:
        """Half as long for some as the average, half as long again for others; always the same for one call."""
        return load.pause * Random(self.idempotency_key).uniform(0.5, 1.5)

    async def enter(self, load: Load) -> str:
        """A step's effect."""
        half = self.pause(load) / 2
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            await asyncio.sleep(half)
            self.ledger.apply(self.step_key)
            await asyncio.sleep(half)
        return self.step_key

    async def strike(self, load: Load) -> None:
        """Its compensation."""
        half = self.pause(load) / 2
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            await asyncio.sleep(half)
            self.ledger.undo(self.step_key)
            await asyncio.sleep(half)


class Sequential(LedgerSaga):
    """One after another."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def second(self, load: Load, first: str) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def third(self, load: Load, second: str) -> str:
        return await self.enter(load)


class Parallel(LedgerSaga):
    """A group of three between a first step and a last one."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def left(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def middle(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def right(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def last(self, load: Load, left: str, middle: str, right: str) -> str:
        return await self.enter(load)


class Failing(LedgerSaga):
    """Its last step says no, and the step and the group before it are undone."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def left(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def right(self, load: Load) -> str:
        return await self.enter(load)

    @step
    async def refused(self, load: Load) -> None:
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            await asyncio.sleep(self.pause(load))
            raise Abort("as this saga always says")


SHAPES: dict[type[LedgerSaga], SagaStatus] = {
    Sequential: SagaStatus.COMPLETED,
    Parallel: SagaStatus.COMPLETED,
    Failing: SagaStatus.COMPENSATED,
}
"""How a saga of each shape must end."""


def shapes(ledger: Ledger) -> Factories:
    """What an engine is given."""
    return [partial(shape, ledger) for shape in SHAPES]
