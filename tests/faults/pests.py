"""Sagas that harm: they kill their process, block its event loop, or return more than can be kept."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import ClassVar

from sagaflow import Retry, SagaStatus, step

from .ledger import Ledger
from .sagas import Factories, LedgerSaga, Load, shapes


class Lethal(LedgerSaga):
    """Its second step kills its process, each time, after its effect."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def killing(self, load: Load, first: str) -> str:
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            self.ledger.apply(self.step_key)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.step_key


class LethalUndo(LedgerSaga):
    """It fails, and the compensation of its first step kills its process, each time."""

    @step(compensate="kill")
    async def first(self, load: Load) -> str:
        return await self.enter(load)

    async def kill(self, load: Load) -> None:
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            self.ledger.undo(self.step_key)
            os.kill(os.getpid(), signal.SIGKILL)

    @step(retry=Retry(attempts=1))
    async def refused(self, load: Load, first: str) -> None:
        raise RuntimeError("as this saga always says")


class Blocking(LedgerSaga):
    """Its second step blocks the event loop for as long as its load says."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(Load())

    @step(compensate="strike")
    async def blocks_the_loop(self, load: Load, first: str) -> str:
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            self.ledger.apply(self.step_key)
            time.sleep(load.pause)  # noqa: ASYNC251  # that is what it is for
        return self.step_key

    @step(compensate="strike")
    async def last(self, load: Load, blocks_the_loop: str) -> str:
        return await self.enter(Load())


class Bulky(LedgerSaga, abstract=True):
    """Two of its steps return a lot."""

    sizes: ClassVar[tuple[int, int]]
    """The characters that each of them returns."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def one(self, load: Load, first: str) -> str:
        await self.enter(load)
        return "x" * self.sizes[0]

    @step(compensate="strike")
    async def other(self, load: Load, one: str) -> str:
        await self.enter(load)
        return "x" * self.sizes[1]


class Megabyte(Bulky):
    """More than the settings allow by default."""

    sizes = (1_000_000, 1)


class TwentyMegabytes(Bulky):
    """More than MongoDB takes as one document."""

    sizes = (20_000_000, 1)


class TwiceNine(Bulky):
    """Each output for itself would find room in a document of MongoDB, but not both."""

    sizes = (9_000_000, 9_000_000)


class Unknown(LedgerSaga):
    """A saga whose class no worker has."""

    @step(compensate="strike")
    async def first(self, load: Load) -> str:
        return await self.enter(load)


PESTS: dict[type[LedgerSaga], SagaStatus] = {
    Lethal: SagaStatus.COMPENSATED,
    LethalUndo: SagaStatus.FAILED,
    Blocking: SagaStatus.COMPLETED,
    Megabyte: SagaStatus.COMPENSATED,
    TwentyMegabytes: SagaStatus.COMPENSATED,
    TwiceNine: SagaStatus.COMPENSATED,
}
"""How each must end."""


def pests(ledger: Ledger) -> Factories:
    """The three shapes, and these beside them."""
    return [*shapes(ledger), *(partial(pest, ledger) for pest in PESTS)]


def all_of_them(ledger: Ledger) -> Factories:
    """As ``pests``, with the one that no worker has."""
    return [*pests(ledger), partial(Unknown, ledger)]
