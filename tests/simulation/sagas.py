"""What is simulated: sagas that between them use the whole language, and do what a plan says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from msgspec import Struct

from sagaflow import Happened, NotHappened, Retry, Saga, SagaRecord, StillUnknown, step

from .service import OK, TRICKS, Shop

QUICK: Final = Retry(attempts=3, backoff=timedelta(seconds=0.5), max_delay=timedelta(seconds=8))
PATIENT: Final = Retry(attempts=12, backoff=timedelta(seconds=0.5), max_delay=timedelta(seconds=8))
LIMIT: Final = timedelta(seconds=5)

Found = Happened[str] | NotHappened | StillUnknown


class Plan(Struct, frozen=True):
    """What each handler does at each of its attempts: by its name, the tricks one after another, then all is well.

    ``pace``: how long handlers take in the mean, in seconds.
    """

    tricks: Mapping[str, tuple[str, ...]] = {}
    pace: float = 0.05
    elements: int = 0
    key: str = ""

    def trick(self, name: str, attempt: int) -> str:
        tricks = self.tricks.get(name, ())
        return tricks[attempt - 1] if attempt <= len(tricks) else OK


@dataclass
class Simulated(Saga[Plan], abstract=True, retry=QUICK, compensation_retry=PATIENT):
    """What the handlers of all have in common."""

    shop: Shop

    async def do(self, plan: Plan) -> str:
        return await self.shop.do(self, plan.trick(self.step_name, self.attempt), plan.pace)

    async def undo(self, plan: Plan, output: str | None) -> None:
        await self.shop.undo(self, plan.trick(f"undo {self.step_name}", self.attempt), plan.pace)

    async def undo_element(self, plan: Plan, element: int, output: str | None) -> None:
        await self.undo(plan, output)

    async def find(self, plan: Plan) -> Found:
        return await self.shop.find(self, plan.trick(f"find {self.step_name}", self.attempt), plan.pace)


class Order(Simulated, deadline=timedelta(minutes=2)):
    """One after the other; a step may be left out, and one waits a little before it begins."""

    @step(compensate="undo", timeout=LIMIT)
    async def book(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", timeout=LIMIT, when=lambda plan: bool(plan.elements % 2))
    async def wrap(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", timeout=LIMIT, delay=timedelta(seconds=1))
    async def charge(self, plan: Plan, book: str) -> str:
        return await self.do(plan)

    @step(compensate="undo", timeout=LIMIT, probe="find")
    async def send(self, plan: Plan) -> str:
        return await self.do(plan)


class Trip(Simulated, cancel_siblings=True):
    """Three in parallel, and what they have in common."""

    @step(compensate="undo", timeout=LIMIT)
    async def plan_it(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", parallel="bookings", timeout=LIMIT)
    async def flight(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", parallel="bookings", timeout=LIMIT, probe="find")
    async def hotel(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", parallel="bookings", timeout=LIMIT, queue="cars")
    async def car(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", timeout=LIMIT)
    async def pay(self, plan: Plan, flight: str, hotel: str, car: str) -> str:
        return await self.do(plan)


def _elements(plan: Plan) -> list[int]:
    return list(range(plan.elements))


class Bulk(Simulated):
    """One step for each element of a list, two at once, then one for all of them."""

    @step(compensate="undo_element", each=_elements, at_once=2, timeout=LIMIT)
    async def pick(self, plan: Plan, element: int) -> str:
        return await self.do(plan)

    @step(compensate="undo", timeout=LIMIT)
    async def pack(self, plan: Plan, pick: list[str]) -> str:
        return await self.do(plan)


class Sale(Simulated, lock=lambda plan: plan.key):
    """Under a lock, with a point of no return."""

    @step(compensate="undo", timeout=LIMIT)
    async def reserve(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(pivot=True, probe="find", timeout=LIMIT)
    async def sell(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(timeout=LIMIT)
    async def deliver(self, plan: Plan) -> str:
        return await self.do(plan)


class Family(Simulated):
    """A saga within a saga, between two steps."""

    @step(compensate="undo", timeout=LIMIT)
    async def open_it(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(saga=Trip)
    async def travel(self, plan: Plan) -> Plan:
        return plan

    @step(compensate="undo", timeout=LIMIT)
    async def close_it(self, plan: Plan, travel: SagaRecord[Plan]) -> str:
        return await self.do(plan)


class Asking(Simulated):
    """Waits for an answer from outside, which may never come."""

    @step(compensate="undo", timeout=LIMIT)
    async def prepare(self, plan: Plan) -> str:
        return await self.do(plan)

    @step(compensate="undo", waits_for=str, deadline=timedelta(seconds=15), timeout=LIMIT)
    async def ask(self, plan: Plan) -> None:
        await self.do(plan)

    @step(compensate="undo", timeout=LIMIT)
    async def finish(self, plan: Plan, ask: str) -> str:
        return await self.do(plan)


ALL: Final[tuple[type[Simulated], ...]] = (Order, Trip, Bulk, Sale, Family, Asking)
"""In the order of how often they are drawn."""


def draw_plan(random: Random, saga: type[Simulated]) -> Plan:
    """A plan in which a few handlers do not do as they should."""
    names = [name for declared in _with_children(saga) for name in declared]
    tricks: dict[str, tuple[str, ...]] = {}
    for name in random.sample(names, k=min(len(names), random.choice([0, 1, 1, 2, 3]))):
        tricks[name] = tuple(random.choice(TRICKS) for _ in range(random.randint(1, 3)))
    for name in random.sample(names, k=random.choice([0, 0, 1])):
        tricks[f"undo {name}"] = tuple(random.choice(_UNDO_TRICKS) for _ in range(random.randint(1, 3)))
    return Plan(tricks, random.choice([0.05, 2.0]), random.randint(0, 4), f"key {random.randint(1, 2)}")


_UNDO_TRICKS: Final = tuple(trick for trick in TRICKS if trick != "abort")


def _with_children(saga: type[Simulated]) -> list[list[str]]:
    names: list[Any] = [[declared.name for declared in saga.definition]]
    if saga is Family:
        names.append([declared.name for declared in Trip.definition])
    return names
