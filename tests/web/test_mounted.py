"""The application works where it is mounted: in FastAPI, as the example does, and in Starlette behind a path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from sagaflow import Engine
from sagaflow.web import app
from tests.web.conftest import LOCAL, TOKEN

EXAMPLE: Any = import_module("examples.with_fastapi")
engine, shop, OrderSaga = EXAMPLE.engine, EXAMPLE.shop, EXAMPLE.OrderSaga
ORDER = {"number": "o-1", "customer": "ada", "cents": 9_900, "card": "4111"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Somebody on this machine, who speaks to the shop of the example."""
    headers = {"X-Requested-With": "test"}
    async with (
        EXAMPLE.lifespan(shop),
        httpx.AsyncClient(transport=httpx.ASGITransport(shop), base_url=LOCAL, headers=headers) as opened,
    ):
        yield opened


async def test_a_shop_made_with_fastapi_sells_and_its_sagas_are_seen_and_undone(client: httpx.AsyncClient) -> None:
    assert (await client.post("/orders", json=ORDER)).json() == {"order": "o-1"}
    assert (await client.post("/orders", json={**ORDER, "number": "o-2", "cents": 990_000})).status_code == 202
    assert (await engine.handle(OrderSaga, "o-2").wait()).is_compensated
    assert (await client.get("/orders/o-2")).json()["reason"] == "step 'charge' failed"
    assert (await client.get("/orders/o-3")).status_code == 404

    arrival = {"event": "e-1", "place": "at the door"}
    assert (await client.post("/webhooks/parcels/o-1", json=arrival)).json() == {"verdict": "accepted"}
    assert (await engine.handle(OrderSaga, "o-1").wait()).output(OrderSaga.deliver) == "at the door"

    page = await client.get("/sagas/")
    assert (page.status_code, "static/app.js" in page.text) == (200, True)
    assert (await client.get("/sagas/static/app.js")).status_code == 200
    listed = (await client.get("/sagas/api/sagas")).json()["sagas"]
    assert {saga["id"]: saga["status"] for saga in listed} == {"o-1": "completed", "o-2": "compensated"}
    shown = await client.get("/sagas/api/saga", params={"id": "o-1"})
    assert shown.json()["saga"]["context"]["card"] == "[redacted]"
    act = {"by": "grace", "reason": "sent back"}
    assert (await client.post("/sagas/api/saga/compensate", params={"id": "o-1"}, json=act)).status_code == 202
    assert (await engine.handle(OrderSaga, "o-1").wait()).is_compensated
    described = (await client.get("/sagas/api/openapi.json")).json()
    assert described["servers"] == [{"url": "/sagas"}]
    assert described["info"]["title"] == "A shop"


async def test_behind_a_path_the_cookie_is_for_that_path_and_the_page_is_found_without_its_slash() -> None:
    async with Engine(sagas=[OrderSaga], store="memory://", broker="memory://") as other:
        outer = Starlette(routes=[Mount("/ops/sagas", app(other, token=TOKEN))])
        headers = {"X-Requested-With": "test"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url=LOCAL, headers=headers) as opened:
            assert (await opened.get("/ops/sagas")).headers["location"].endswith("/ops/sagas/")
            assert (await opened.get("/ops/sagas/api/me")).status_code == 401
            signed_in = await opened.post("/ops/sagas/api/sign-in", json={"token": TOKEN})
            assert "Path=/ops/sagas;" in signed_in.headers["set-cookie"] + ";"
            assert (await opened.get("/ops/sagas/api/me")).status_code == 200
