"""Sagas for the command line to look at, and how each of them ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from msgspec import Struct

from sagaflow import Abort, Engine, Saga, step


class Order(Struct, frozen=True):
    customer: str
    card: str


class Sell(Saga[Order]):
    """Ends as its customer says: ``stuck`` cannot be undone; a card that is ``declined`` is."""

    @step(compensate="cancel")
    async def create(self, order: Order) -> str:
        return f"order of {order.customer}"

    async def cancel(self, order: Order, reference: str | None) -> None:
        if order.customer == "stuck":
            raise Abort("the ledger is locked")

    @step(compensate="refund")
    async def charge(self, order: Order, create: str) -> str:
        if order.card == "declined":
            raise Abort("card declined: 100% [over limit]")
        return f"paid for {create}"

    async def refund(self, order: Order, payment: str | None) -> None: ...


class Deliver(Saga[Order]):
    """Waits for somebody outside."""

    @step(compensate="unpack")
    async def pack(self, order: Order) -> str:
        return "a parcel"

    async def unpack(self, order: Order, parcel: str | None) -> None: ...

    @step(waits_for=str, deadline=timedelta(days=2))
    async def pickup(self, order: Order) -> None: ...

    @step
    async def bill(self, order: Order, pickup: str) -> None: ...


@dataclass
class Needy(Saga[str]):
    """Cannot be made without a shop."""

    shop: str

    @step
    async def buy(self, what: str) -> None: ...


class Renamed(Saga[Order], name="Deliver"):
    """A new version of ``Deliver`` that has lost its steps."""

    @step
    async def fetch(self, order: Order) -> None: ...


def make_engine() -> Engine:
    return Engine(sagas=[Sell, Deliver], store="sqlite:///sagaflow.db")


make_needy = partial(Needy, "the shop")
both = [Sell, Deliver]
engine = make_engine()
number = 3
