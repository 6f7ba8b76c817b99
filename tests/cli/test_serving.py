"""The page, served from the command line: as a process of its own, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import httpx
import pytest

from tests.docs.documents import environment
from tests.servers.ports import accepts_connections, free_port

from .conftest import APP, Run


@pytest.mark.parametrize("named", [[], [APP]], ids=["by its graph alone", "by its class"])
async def test_a_saga_is_seen_and_acted_on_through_a_page_that_ends_in_good_order(
    folder: Path, named: list[str]
) -> None:
    port = free_port()
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "sagaflow", "web", *named),
        *("--port", str(port), "--redact", "card", "--title", "A shop"),
        cwd=folder,
        env=environment(),
        stderr=PIPE,
    )
    try:
        while not accepts_connections(port):
            assert process.returncode is None
            await asyncio.sleep(0.05)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"X-Requested-With": "test"}
        ) as client:
            assert (await client.get("/api/me")).json()["title"] == "A shop"
            saga = (await client.get("/api/saga", params={"id": "stuck"})).json()
            context = saga["saga"]["context"]
            assert (context["customer"], context["card"] == "declined") == ("stuck", False)
            asked = await client.post(
                "/api/saga/mark-compensated",
                params={"id": "stuck"},
                json={"by": "grace", "reason": "undone by hand", "step": "create"},
            )
            assert (asked.status_code, asked.json()["verdict"]) == (202, "accepted")
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said
    assert f"the page is at http://127.0.0.1:{port}/" in said.decode()


def test_nobody_else_is_let_in_without_a_token(run: Run) -> None:
    told = run("web", "--host", "0.0.0.0", "--port", "0")
    assert (told.code, "SAGAFLOW_WEB_TOKEN" in told.err) == (2, True)


def test_what_is_not_installed_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("sagaflow.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    told = run("web")
    assert (told.code, "pip install 'sagaflow[web]'" in told.err) == (2, True)
