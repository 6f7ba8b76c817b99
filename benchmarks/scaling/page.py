"""The page on a store with many sagas: how soon its questions are answered, and how soon a browser shows it.

The browser is one that has never seen the page, each time. What counts is the clock on the wall, from asking for the
address until the data is there to be read.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Final

import httpx
from msgspec.structs import replace
from playwright.async_api import Browser, async_playwright

from benchmarks.engine.sagas import Calls, Sequence
from benchmarks.task import SEQUENCE, Task
from sagaflow import Engine, SagaStatus
from sagaflow.adapters.sqlite_statements import insert
from sagaflow.adapters.store_rules import encode_state
from sagaflow.core.state import SagaState
from sagaflow.web import serve
from tests.browser import Chromium
from tests.servers.ports import accepts_connections, free_port

_SAGAS: Final = 100_000
_TIMES: Final = 9
_FRESH: Final = 2.1
"""Seconds after which an overview is not one that somebody else has asked for."""
_WEEK: Final = 7 * 86_400
_STATUSES: Final = (
    *[SagaStatus.COMPLETED] * 80,
    *[SagaStatus.COMPENSATED] * 12,
    *[SagaStatus.FAILED] * 3,
    *[SagaStatus.STARTED] * 5,
)
_QUESTIONS: Final = {
    "overview": "overview?span=week",
    "list": "sagas",
    "list of a status": "sagas?status=failed",
    "search": "sagas?search=o-42",
    "one saga": "saga?id=o-42",
}
_PARTS: Final = {"overview": "", "list": "#/sagas", "one saga": "#/saga/o-42"}

_SHOWN: Final = """() => new Promise((done) => {
  const look = () => {
    const [mark] = performance.getEntriesByName("sagaflow-shown");
    mark ? done(mark.startTime) : setTimeout(look, 5);
  };
  look();
})"""
"""When the data was on the page, in milliseconds after its address was asked for."""


def fill(path: Path, state: SagaState, count: int) -> None:
    """Put so many sagas like this one into a store, begun at any time of the last week; one in twenty goes on."""
    chance, now = random.Random(1), time.time()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    for number in range(count):
        at, status = now - chance.random() * _WEEK, chance.choice(_STATUSES)
        ended_at = at if status.is_terminal else None
        saga = replace(
            state, id=f"o-{number}", status=status, created_at=at, updated_at=at, completed_at=ended_at, digest=None
        )
        insert(connection, saga, None, encode_state(saga))
    connection.execute("COMMIT")
    connection.close()


async def measure(folder: Path, count: int = _SAGAS, times: int = _TIMES) -> dict[str, float]:
    """Medians of so many looks, on a store with so many sagas."""
    if reason := Chromium.missing():
        raise SystemExit(reason)
    path = folder / "sagas.db"
    async with Engine(sagas=[lambda: Sequence(Calls())], store=f"sqlite:///{path}", broker="memory://") as engine:
        handle = await engine.start(Sequence, SEQUENCE)
        await handle.wait()
        state = (await handle.record()).state
    await asyncio.to_thread(fill, path, state, count)
    found: dict[str, float] = {"sagas": count}
    port = free_port()
    engine = Engine(sagas=[lambda: Sequence(Calls())], store=f"sqlite:///{path}", broker="memory://", work="none")
    server = asyncio.create_task(serve(engine, port=port))
    try:
        while not accepts_connections(port):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)
        address = f"http://127.0.0.1:{port}/"
        async with httpx.AsyncClient(base_url=f"{address}api/") as client:
            for name, question in _QUESTIONS.items():
                found[f"{name} answered ms"] = await _answered(client, question, times)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=Chromium.path, args=Chromium.arguments)
            for name, part in _PARTS.items():
                found[f"{name} shown ms"] = statistics.median(
                    [await _shown(browser, address + part) for _ in range(times)]
                )
            await browser.close()
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
    return found


async def _answered(client: httpx.AsyncClient, question: str, times: int) -> float:
    taken: list[float] = []
    for number in range(times):
        if number and "overview" in question:
            await asyncio.sleep(_FRESH)
        began = time.perf_counter()
        (await client.get(question)).raise_for_status()
        taken.append(1_000 * (time.perf_counter() - began))
    return statistics.median(taken)


async def _shown(browser: Browser, address: str) -> float:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(address)
    milliseconds = await page.evaluate(_SHOWN)
    await context.close()
    return float(milliseconds)


if __name__ == "__main__":
    task = Task.given()
    task.answer(asyncio.run(measure(Path(task.folder))))
