"""Two services as processes, on a real RabbitMQ and MongoDB: what the walk-through shows, and the page beside it.

The blocks of ``docs/two_services.md`` are run as a reader runs them. One that begins with ``# terminal N`` ends what
runs in that terminal, as Ctrl-C does, and starts the rest of the block there. Where what is printed begins with a line
``…``, it is shown in excerpts. A command that only looks is repeated until it shows what it must.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.conftest import RequireServer
from tests.docs.documents import ROOT, Block, blocks_of, environment
from tests.polling import until
from tests.servers.ports import free_port

DOCUMENT = ROOT / "docs" / "two_services.md"
ORDERS = "python -m two_services.orders"
PAYMENTS = "sagaflow worker two_services.payments:service"
PATIENCE = 20
"""Seconds that something may take to come about."""

_TERMINAL = re.compile(r"# terminal (?P<number>\d).*\n")
_SET_UP = re.compile(r"^(pip|docker|cd) ", re.MULTILINE)
_LOOK = re.compile(r"(sagaflow (show|list|doctor).*|curl \S+)\n\Z")
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\b[\d.]+ (?:ms|s|min)\b(?: [\d.]+ s\b)?"), "SPAN"),
    (re.compile(r"(?<=STEPS) +(?=AGE)|(?<=\d/\d) +(?=SPAN)"), " "),
    (re.compile(r"\d+ hints"), "N hints"),
    (re.compile(r" +$", re.MULTILINE), ""),
)


class Curl:
    """The program that the walk-through orders with."""

    @staticmethod
    def missing() -> str | None:
        return None if shutil.which("curl") else "curl is not installed: apt-get install curl"


@dataclass
class Terminals:
    """A reader's terminals, in one folder and with one environment."""

    folder: Path
    variables: dict[str, str]
    port: int
    running: dict[str, Process] = field(default_factory=dict[str, Process])

    async def run(self, number: str, command: str) -> None:
        """Press Ctrl-C in this terminal, and start a command there, if there is one."""
        await self.interrupt(number)
        if command.strip():
            self.running[number] = await self._start(command)

    async def interrupt(self, number: str) -> None:
        """Press Ctrl-C. What runs there has been seen at work: in the middle of its start Python ends with a trace."""
        process = self.running.pop(number, None)
        if process is not None:
            os.killpg(process.pid, signal.SIGINT)
            assert await process.wait() in (0, -signal.SIGINT), f"terminal {number} ended in disorder"

    async def print(self, command: str) -> str:
        """What a command prints that ends by itself, complaints included."""
        process = await self._start(command, output=PIPE)
        said, _ = await process.communicate()
        return said.decode()

    async def begin(self) -> None:
        """Start the order service, and return when it takes orders."""
        await self.run("1", ORDERS)
        await until(self.is_ready)

    async def is_ready(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.address}/sagas/ready")).is_success
            except httpx.ConnectError:
                return False

    async def order(self, number: str, customer: str) -> None:
        async with httpx.AsyncClient() as client:
            order = {"number": number, "customer": customer, "cents": 4_200}
            assert (await client.post(f"{self.address}/orders", json=order)).json() == {"number": number}

    async def status(self, number: str) -> tuple[str, list[str]]:
        """How an order stands, as a customer asks for it, and what of it stands in the books."""
        async with httpx.AsyncClient() as client:
            found = (await client.get(f"{self.address}/orders/{number}")).json()
            return found["status"], found["entries"]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _start(self, command: str, output: int | None = None) -> Process:
        return await create_subprocess_exec(
            "bash", "-c", command.replace("localhost:8000", f"localhost:{self.port}"),
            cwd=self.folder, env=self.variables, stdout=output, stderr=output and STDOUT, start_new_session=True,
        )  # fmt: skip


@pytest.fixture
async def terminals(mongo_url: str, amqp_url: str, tmp_path: Path) -> AsyncIterator[Terminals]:
    """In the folder ``examples``, as it were, so that the books of the services are the test's own."""
    port = free_port()
    variables = environment(
        SAGAFLOW_STORE=mongo_url,
        SAGAFLOW_BROKER=amqp_url,
        PORT=str(port),
        COLUMNS="80",
        PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "examples")]),
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    )
    opened = Terminals(tmp_path, variables, port)
    yield opened
    for number in list(opened.running):
        await opened.interrupt(number)


def masked(text: str) -> str:
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text.strip()


def is_shown(wanted: str | None, printed: str) -> bool:
    """Whether what is wanted was printed; of excerpts, whether these lines were, in this order."""
    if wanted is None:
        return True
    first, *excerpts = masked(wanted).splitlines()
    lines = masked(printed).splitlines()
    if first != "…":
        return [first, *excerpts] == lines
    left = iter(lines)
    return all(any(wanted in line for line in left) for wanted in excerpts)


def told(document: Path) -> Iterable[tuple[Block, str | None]]:
    """The blocks of shell that are run, each with what it prints."""
    for block, following in pairwise([*blocks_of(document), Block("", "", 0)]):
        if block.language == "shell" and not _SET_UP.search(block.text):
            yield block, following.text if following.language == "text" else None


@pytest.mark.slow
async def test_the_walk_through_shows_what_happens(terminals: Terminals, require_server: RequireServer) -> None:
    require_server(Curl)
    for block, wanted in told(DOCUMENT):
        if named := _TERMINAL.match(block.text):
            await terminals.run(named["number"], block.text[named.end() :])
            await until(terminals.is_ready)
            continue
        command = block.text.replace("curl ", "curl --silent --show-error ")
        patience = PATIENCE if _LOOK.match(block.text) else 0
        end = asyncio.get_running_loop().time() + patience
        printed = await terminals.print(command)
        while not is_shown(wanted, printed) and asyncio.get_running_loop().time() < end:
            printed = await terminals.print(command)
        assert is_shown(wanted, printed), f"{DOCUMENT.name}, line {block.line} prints:\n{printed}"
    for number in "1", "2":
        await terminals.interrupt(number)


async def act(page: Page, name: str, reason: str) -> None:
    """Press a button, and say who and why in the dialog that it opens."""
    await page.get_by_role("button", name=name, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Who you are").fill("grace")
    await dialog.get_by_label("Why").fill(reason)
    await dialog.get_by_role("button", name=name).click()


@pytest.mark.slow
async def test_in_the_browser_a_sale_is_seen_to_fail_understood_mended_and_brought_to_its_end(
    terminals: Terminals, browser: Browser
) -> None:
    await terminals.begin()
    await terminals.run("2", f"PAYMENTS_API_KEY=old {PAYMENTS}")
    page = await browser.new_page()
    await page.goto(f"{terminals.address}/sagas/")
    await terminals.order("o-1", "ada")
    await page.locator('[data-key="Failed o-1"]').click()
    await expect(page.locator(".reason")).to_contain_text("compensation 'refund' of step 'charge' failed")
    await page.locator("summary", has_text="charge").first.click()
    await expect(page.locator('[data-key="step charge"]')).to_contain_text("does not know the key in PAYMENTS_API_KEY")
    assert await terminals.status("o-1") == ("failed", ["goods for ada"])

    await terminals.run("2", PAYMENTS)
    await act(page, "Retry", "the payment service has the new key")
    await expect(page.locator(".hero .badge")).to_have_text("compensated")
    assert await terminals.status("o-1") == ("compensated", [])

    await terminals.order("o-2", "grace")
    await page.goto(f"{terminals.address}/sagas/#/saga/o-2")
    await expect(page.locator(".hero .badge")).to_have_text("completed")
    assert await terminals.status("o-2") == ("completed", ["goods for grace", "order of grace"])
    await act(page, "Compensate", "she sent it back")
    await expect(page.locator(".hero .badge")).to_have_text("compensated")
    await page.close()
    assert await terminals.status("o-2") == ("compensated", [])


async def test_an_order_is_sold_once_however_often_it_is_sent(terminals: Terminals) -> None:
    await terminals.begin()
    for _ in range(2):
        await terminals.order("o-1", "ada")
    async with httpx.AsyncClient(base_url=terminals.address) as client:
        another = await client.post("/orders", json={"number": "o-1", "customer": "eve", "cents": 1})
        assert another.status_code == 409
        assert (await client.get("/orders/o-9")).status_code == 404
