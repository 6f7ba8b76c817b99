"""Sell orders in a FastAPI application, with the page and the API of SagaFlow mounted beside its own routes.

Run it with ``python examples/with_fastapi.py`` and open http://127.0.0.1:8000/sagas/; send it orders with

    curl -X POST localhost:8000/orders -H 'content-type: application/json' \\
         -d '{"number": "o-1", "customer": "ada", "cents": 9900}'

It needs no server: sagas are kept in memory. In production this would be ``Engine(..., work="none")`` on MongoDB and
RabbitMQ, with workers elsewhere, and ``app(engine, token=...)``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from msgspec import Struct
from pydantic import BaseModel

from sagaflow import Abort, Engine, Saga, SagaNotFound, step
from sagaflow.web import app as sagas


class Order(Struct, frozen=True):
    """What is to be sold, to whom."""

    number: str
    customer: str
    cents: int
    card: str = ""


class OrderSaga(Saga[Order], deadline=timedelta(days=7)):
    """Sell one order: everything happens, or nothing remains."""

    @step(compensate="put_back")
    async def reserve(self, order: Order) -> str:
        return f"goods for {order.customer}"

    async def put_back(self, order: Order, goods: str | None) -> None: ...

    @step(compensate="refund")
    async def charge(self, order: Order) -> str:
        if order.cents > 100_000:
            raise Abort("over the card's limit")
        return self.idempotency_key

    async def refund(self, order: Order, payment: str | None) -> None: ...

    @step(waits_for=str)
    async def deliver(self, order: Order) -> None:
        """Ask the parcel service, which calls back when the parcel has arrived."""


class NewOrder(BaseModel):
    """The body of a request, as FastAPI checks it."""

    number: str
    customer: str
    cents: int
    card: str = ""


class Arrival(BaseModel):
    """What the parcel service tells."""

    event: str
    place: str


engine = Engine(sagas=[OrderSaga], store="memory://", broker="memory://")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    """The engine lives as long as the application."""
    async with engine:
        yield


shop = FastAPI(title="A shop", lifespan=lifespan)
shop.mount("/sagas", sagas(engine, redact=["card"], title="A shop"))


@shop.post("/orders", status_code=202)
async def sell(order: NewOrder) -> dict[str, str]:
    """Begin to sell; the number of the order is the id of its saga, so that nothing is sold twice."""
    handle = await OrderSaga.start(Order(**order.model_dump()), id=order.number)
    return {"order": handle.id}


@shop.get("/orders/{number}")
async def look(number: str) -> dict[str, Any]:
    """How an order stands."""
    try:
        record = await engine.get(number)
    except SagaNotFound:
        raise HTTPException(404, f"there is no order {number}") from None
    return {"order": number, "status": record.status, "reason": record.reason}


@shop.post("/webhooks/parcels/{number}")
async def arrived(number: str, arrival: Arrival) -> dict[str, str]:
    """The parcel service calls; the same event twice is one answer."""
    answer = await engine.complete_step(number, OrderSaga.deliver, arrival.place, token=arrival.event)
    return {"verdict": answer.verdict}


if __name__ == "__main__":
    uvicorn.run(shop, port=8000)
