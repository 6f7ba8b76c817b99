"""An engine, clients that speak to its page and API, and a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, async_playwright

from sagaflow import Engine
from sagaflow.web import app, serve
from tests.browser import Chromium
from tests.conftest import RequireServer
from tests.servers.ports import accepts_connections, free_port
from tests.web.sagas import SAGAS

TOKEN = "a-token-that-nobody-guesses"
LOCAL = "http://127.0.0.1"

NewClient = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine(sagas=SAGAS, store="memory://", broker="memory://") as opened:
        yield opened


@pytest.fixture
async def new_client(engine: Engine) -> AsyncIterator[NewClient]:
    """Clients of applications of the engine, made with these settings; they send what the page sends."""
    clients: list[httpx.AsyncClient] = []

    def make(
        *, base: str = LOCAL, peer: str = "127.0.0.1", headers: dict[str, str] | None = None, **settings: Any
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app(engine, **settings), client=(peer, 5_000), raise_app_exceptions=False)
        sent = {"X-Requested-With": "test"} if headers is None else headers
        clients.append(httpx.AsyncClient(transport=transport, base_url=base, headers=sent))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def client(new_client: NewClient) -> httpx.AsyncClient:
    """Somebody on this machine."""
    return new_client()


@asynccontextmanager
async def serving(engine: Engine, **settings: Any) -> AsyncIterator[str]:
    """A real server; gives the address of its page."""
    port = free_port()
    server = asyncio.create_task(serve(engine, port=port, **settings))
    while not accepts_connections(port):
        assert not server.done(), server.exception()
        await asyncio.sleep(0.01)
    try:
        yield f"{LOCAL}:{port}/"
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


@pytest.fixture
async def browser(require_server: RequireServer) -> AsyncIterator[Browser]:
    require_server(Chromium)
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=Chromium.path, args=Chromium.arguments)
        try:
            yield opened
        finally:
            await opened.close()
