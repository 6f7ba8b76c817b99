"""Two versions of the same sagas, as teams change them; what runs beside what is for a scenario to say.

From the first to the second a step is renamed, one is added in the middle, one takes another place, one compensation is
written anew, and one step is gone: only the first can do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sagaflow import Abort, SagaStatus, step

from .ledger import Ledger
from .sagas import Factories, LedgerSaga, Load

GONE: Final = "stamp"
"""The step that only the first version has, in the saga ``Stamped``."""


@dataclass
class Versioned(LedgerSaga, abstract=True):
    """What both versions share."""

    def take(self, output: str) -> None:
        """Look at the output of another step: it must be of this saga, whatever that step was called.

        Raises:
            ValueError: it is of another saga.
        """
        if not output.startswith(f"{self.saga_id}/"):
            raise ValueError(f"saga {self.saga_id} was given {output!r}")

    async def refuse(self, load: Load) -> None:
        """Say no.

        Raises:
            Abort: always.
        """
        with self.ledger.attempt(self.idempotency_key, self.step_key, self.saga_id):
            await asyncio.sleep(self.pause(load))
            raise Abort("as this saga always says")


# ---------------------------------------------------------------------------------------- the first version


class FirstSequential(Versioned, name="Sequential"):
    """One after another."""

    @step(compensate="strike")
    async def reserve(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def pay(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def send(self, load: Load, reserve: str, pay: str) -> str:
        self.take(reserve)
        self.take(pay)
        return await self.enter(load)


class FirstParallel(Versioned, name="Parallel"):
    """A group of three between a first step and a last one."""

    @step(compensate="strike")
    async def open(self, load: Load) -> str:
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
    async def close(self, load: Load, left: str, middle: str, right: str) -> str:
        for output in (left, middle, right):
            self.take(output)
        return await self.enter(load)


class FirstFailing(Versioned, name="Failing"):
    """Its last step says no, and the steps before it are undone."""

    @step(compensate="strike")
    async def reserve(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def left(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def right(self, load: Load) -> str:
        return await self.enter(load)

    @step
    async def refused(self, load: Load) -> None:
        await self.refuse(load)


class FirstStamped(Versioned, name="Stamped"):
    """Has a step that the second version has dropped."""

    @step(compensate="strike")
    async def pay(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def stamp(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def send(self, load: Load, pay: str) -> str:
        self.take(pay)
        return await self.enter(load)


# ---------------------------------------------------------------------------------------- the second version


class SecondSequential(Versioned, name="Sequential"):
    """``reserve`` is called ``pick`` and comes after ``pay``, and ``insure`` is new."""

    @step(compensate="strike")
    async def pay(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", formerly="reserve")
    async def pick(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def insure(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def send(self, load: Load, pick: str, pay: str) -> str:
        self.take(pick)
        self.take(pay)
        return await self.enter(load)


class SecondParallel(Versioned, name="Parallel"):
    """``middle`` has left the group and comes after it; ``weigh`` is new in it."""

    @step(compensate="strike")
    async def open(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def left(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def weigh(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike", parallel="group")
    async def right(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def middle(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def close(self, load: Load, left: str, middle: str, right: str) -> str:
        for output in (left, middle, right):
            self.take(output)
        return await self.enter(load)


class SecondFailing(Versioned, name="Failing"):
    """``right`` comes first, ``reserve`` is called ``pick``, and compensations look at what they are to undo."""

    @step(compensate="erase")
    async def right(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="erase", formerly="reserve")
    async def pick(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="erase")
    async def left(self, load: Load) -> str:
        return await self.enter(load)

    @step
    async def refused(self, load: Load) -> None:
        await self.refuse(load)

    async def erase(self, load: Load, output: str | None) -> None:
        """The compensation of this version, which takes the output.

        Raises:
            ValueError: it is not the output of the step that is undone.
        """
        if output not in (None, self.step_key):
            raise ValueError(f"step {self.step_key} is to be undone with {output!r}")
        await self.strike(load)


class SecondStamped(Versioned, name="Stamped"):
    """``stamp`` is gone, and ``frank`` is what is done today."""

    @step(compensate="strike")
    async def pay(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def frank(self, load: Load) -> str:
        return await self.enter(load)

    @step(compensate="strike")
    async def send(self, load: Load, pay: str) -> str:
        self.take(pay)
        return await self.enter(load)


# ---------------------------------------------------------------------------------------- both

ENDS: Final[Mapping[str, SagaStatus]] = {
    "Sequential": SagaStatus.COMPLETED,
    "Parallel": SagaStatus.COMPLETED,
    "Failing": SagaStatus.COMPENSATED,
    "Stamped": SagaStatus.COMPLETED,
}
"""How a saga must end, by the name of its class, in either version."""

FIRST: Final[Mapping[str, type[Versioned]]] = {
    "Sequential": FirstSequential,
    "Parallel": FirstParallel,
    "Failing": FirstFailing,
    "Stamped": FirstStamped,
}
SECOND: Final[Mapping[str, type[Versioned]]] = {
    "Sequential": SecondSequential,
    "Parallel": SecondParallel,
    "Failing": SecondFailing,
    "Stamped": SecondStamped,
}


def first(ledger: Ledger) -> Factories:
    """What an engine of the first version is given."""
    return [partial(saga, ledger) for saga in FIRST.values()]


def second(ledger: Ledger) -> Factories:
    """What an engine of the second version is given."""
    return [partial(saga, ledger) for saga in SECOND.values()]
