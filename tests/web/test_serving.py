"""The server of its own: where it listens, and that it ends with its engine in order."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import httpx
import pytest

from sagaflow import ConfigurationError, Engine
from sagaflow.web import serve
from tests.docs.documents import environment
from tests.servers.ports import free_port
from tests.web.conftest import TOKEN, serving
from tests.web.sagas import SAGAS, Order, Sell

PROGRAM = """
import asyncio, logging, sys
from sagaflow import Engine
from sagaflow.web import serve
from tests.web.sagas import SAGAS
logging.basicConfig(level="INFO")
asyncio.run(serve(Engine(sagas=SAGAS, store=sys.argv[1], broker="memory://"), port=0))
print("ended in order")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_ends_in_order_when_it_is_told_to(number: signal.Signals, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/sagas.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, store, stdout=PIPE, stderr=STDOUT, env=environment()
    )
    assert process.stdout is not None
    address = ""
    while not address:
        line = (await process.stdout.readline()).decode()
        assert line, "it ended before it listened"
        address = line.rpartition("the page is at ")[2].strip() if "the page is at " in line else ""
    async with httpx.AsyncClient(base_url=address, headers={"X-Requested-With": "x"}) as client:
        assert (await client.get("/ready")).json() == {"ok": True}
        body = {"saga": "Sell", "context": {"customer": "ada"}, "id": "o-1"}
        assert (await client.post("/api/sagas", json=body)).status_code == 201
        process.send_signal(number)
        said, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, said.decode()
    assert said.decode().endswith("ended in order\n")
    assert "o-1" not in address


async def test_an_engine_that_is_open_stays_open(engine: Engine) -> None:
    async with serving(engine) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/api/sagas")).status_code == 200
    assert engine.health.ok


async def test_an_engine_that_is_not_open_is_opened_and_closed() -> None:
    engine = Engine(sagas=SAGAS, store="memory://", broker="memory://")
    async with serving(engine) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/ready")).status_code == 200
        assert engine.loop is not None
    assert engine.loop is None


async def test_whoever_waits_for_news_does_not_keep_the_server_from_ending(engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    async with asyncio.timeout(15), httpx.AsyncClient(timeout=30) as client:
        async with serving(engine) as address:
            waits = asyncio.create_task(client.get(f"{address}api/saga", params={"id": "o-1", "after": 1_000}))
            await asyncio.sleep(0.2)
        await asyncio.gather(waits, return_exceptions=True)


async def test_a_port_that_is_taken_is_said(engine: Engine) -> None:
    port = free_port()
    taken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with taken:
        with pytest.raises(ConfigurationError, match="Is another server there"):
            await serve(engine, port=port)


@pytest.mark.parametrize("settings", [{"token": TOKEN}, {}])
async def test_a_token_may_come_from_the_environment_and_the_loopback_knows_its_names_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    monkeypatch.setenv("SAGAFLOW_WEB_TOKEN", TOKEN)
    async with serving(engine, **settings) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/api/me")).status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/api/me", headers=bearer)).status_code == 200
        assert (await client.get("/api/me", headers={**bearer, "Host": "evil.example"})).status_code == 421
