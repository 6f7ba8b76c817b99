"""The sagas that the tests of the page and the API run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import attrs
from msgspec import Struct

from sagaflow import Abort, Retry, Saga, step


class Order(Struct, frozen=True):
    customer: str
    cents: int = 0
    card: str = ""


class Payment(Struct, frozen=True):
    reference: str
    amount: Decimal


class Sell(Saga[Order]):
    """Sell one order.

    Everything happens, or nothing remains.
    """

    @step(compensate="release")
    async def reserve(self, order: Order) -> dict[str, str]:
        return {"goods": "a lamp", "card": order.card}

    async def release(self, order: Order, goods: dict[str, str] | None) -> None: ...

    @step(waits_for=Payment, compensate="refund", deadline=timedelta(days=1))
    async def pay(self, order: Order) -> None: ...

    async def refund(self, order: Order, payment: Payment | None) -> None: ...

    @step
    async def send(self, order: Order, pay: Payment) -> str:
        return f"{order.customer} paid {pay.amount}"


@dataclass(frozen=True)
class Letter:
    to: str


class Post(Saga[Letter]):
    """A letter that cannot be delivered, nor be called back."""

    @step(compensate="call_back", compensation_retry=Retry(attempts=1))
    async def stamp(self, letter: Letter) -> str:
        return "stamped"

    async def call_back(self, letter: Letter, stamp: str | None) -> None:
        raise Abort("the card 4111 is in the envelope")

    @step
    async def deliver(self, letter: Letter) -> None:
        raise Abort("nobody lives there")


@attrs.frozen
class Trip:
    place: str
    nights: list[int] = attrs.field(factory=list[int])


class Book(Saga[Trip]):
    @step(each="nights")
    async def room(self, trip: Trip, night: int) -> str:
        return f"{trip.place} {night}"


SAGAS = (Sell, Post, Book)
