"""The order service: takes orders over HTTP, and does its own steps of each sale.

SagaFlow's page is at http://127.0.0.1:8000/sagas/, open to this machine alone, or with ``SAGAFLOW_WEB_TOKEN`` to
whoever has the token. Behind a real front door the routes of the shop and the page would not share a port.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from shop import Order, Shop

from sagaflow import Engine, SagaExists, SagaNotFound
from sagaflow.web import app as sagas

from .selling import BROKER, STORE, Sale

warehouse = Shop(Path("orders.db"))
engine = Engine(sagas=[partial(Sale, warehouse=warehouse)], store=STORE, broker=BROKER, queues=["orders"])


class NewOrder(BaseModel):
    """The body of a request, as FastAPI checks it."""

    number: str
    customer: str
    cents: int


class OrderStatus(BaseModel):
    """What a customer may know of an order."""

    number: str
    status: str
    entries: list[str]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
    """The engine lives as long as the application."""
    async with engine:
        yield


api = FastAPI(title="Orders", lifespan=lifespan)
api.mount("/sagas", sagas(engine, token=os.environ.get("SAGAFLOW_WEB_TOKEN"), title="Orders"))


@api.post("/orders", status_code=202)
async def sell(new: NewOrder) -> dict[str, str]:
    """Begin to sell. The number is the id of the saga, so whoever got no answer may ask again."""
    try:
        handle = await engine.start(Sale, Order(new.number, new.customer, new.cents), id=new.number)
    except SagaExists:
        raise HTTPException(409, f"there is another order {new.number}") from None
    return {"number": handle.id}


@api.get("/orders/{number}")
async def look(number: str) -> OrderStatus:
    """How an order stands, and what of it stands in our books."""
    try:
        record = await engine.get(number)
    except SagaNotFound:
        raise HTTPException(404, f"there is no order {number}") from None
    return OrderStatus(number=number, status=record.status, entries=warehouse.entries(number))


if __name__ == "__main__":
    # The page asks for news with requests that stay open; on Ctrl-C they are not waited for.
    uvicorn.run(api, port=int(os.environ.get("PORT", "8000")), timeout_graceful_shutdown=1)
