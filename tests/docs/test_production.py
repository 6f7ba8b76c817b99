"""What the production guide tells its readers to do can be done, and does what it says."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from sagaflow import Abort, Engine, Happened, NotHappened, Retry, Saga, Settings, step
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.cli.app import app
from sagaflow.core.state import Direction
from sagaflow.ports import Lane
from sagaflow.ports.diagnosis import Condition
from tests.docs.documents import ROOT, blocks_of
from tests.e2e.stacks import QUICK, connected
from tests.servers import RabbitMQNode

DOCUMENT = ROOT / "docs" / "production.md"
RULES = ROOT / "examples" / "prometheus" / "sagaflow.rules.yml"


class Charge(Saga[str]):
    """Turns back, and cannot be undone."""

    @step(compensate="refund")
    async def charge(self, customer: str) -> str:
        return f"charged {customer}"

    async def refund(self, customer: str, payment: str | None) -> None:
        raise Abort("the ledger is locked")

    @step
    async def send(self, customer: str) -> None:
        raise Abort("no van")


class Capture(Saga[str], retry=Retry(attempts=1), compensation_retry=Retry(attempts=1)):
    """Nobody can tell whether the money of eve was captured; what ada has paid for is not sent."""

    @step(pivot=True, probe="look")
    async def capture(self, customer: str) -> str:
        if customer == "eve":
            raise ConnectionError("the reply was lost")
        return "tx"

    async def look(self, customer: str) -> Happened[str] | NotHappened:
        raise ConnectionError("the bank's search is down")

    @step
    async def send(self, customer: str) -> str:
        if customer == "ada":
            raise Abort("no van")
        return "sent"


SAGAS = [Charge, Capture]
FAILED = {"o-1": Charge, "o-2": Charge, "o-3": Charge, "o-4": Capture, "o-5": Capture, "o-6": Capture}


def commands(program: str) -> Iterator[list[str]]:
    """The arguments of each line that the guide shows of this program."""
    for block in blocks_of(DOCUMENT):
        if block.language == "shell":
            yield from (shlex.split(line)[1:] for line in block.text.splitlines() if line.startswith(f"{program} "))


async def work() -> list[str]:
    """Let a worker bring all of them to their ends, as often as it takes; how they stand then."""
    async with Engine(SAGAS, store="sqlite:///sagaflow.db", broker="memory://", settings=QUICK) as engine:
        handles = [
            await engine.start(saga, "ada" if name == "o-6" else "eve", id=name) for name, saga in FAILED.items()
        ]
        return [(await handle.wait()).status for handle in handles]


def test_the_runbook_brings_what_has_failed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SAGAFLOW_STORE", "SAGAFLOW_BROKER", "SAGAFLOW_REDACT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SAGAFLOW_APP", f"{__name__}:SAGAS")
    assert asyncio.run(work()) == ["failed"] * 6

    shown = [arguments for arguments in commands("sagaflow") if arguments[0] != "dead-letters"]
    assert shown[-1][:3] == ["retry", "--status", "failed"]
    for arguments in shown[:-1]:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, f"{arguments}: {done.output}"
    assert asyncio.run(work()) == ["failed", "compensated", "compensated", "completed", "compensated", "completed"]
    assert CliRunner().invoke(app, shown[-1]).stdout == "1 accepted\n"


@pytest.mark.slow
async def test_a_user_with_these_permissions_declares_publishes_and_consumes(rabbitmq: RabbitMQNode) -> None:
    lines = list(commands("rabbitmqctl"))
    assert [line[0] for line in lines] == ["add_vhost", "add_user", "set_permissions"]
    try:
        for line in lines:
            await asyncio.to_thread(rabbitmq.ctl, *line)
        url = rabbitmq.url.replace("guest:guest", ":".join(lines[1][1:])) + lines[0][1]
        store, broker = MemoryStore(), RabbitBroker(url)
        async with (
            Engine(SAGAS, store=store, broker=broker, settings=QUICK) as worker,
            Engine(SAGAS, store=store, broker=RabbitBroker(url), work="none") as starter,
        ):
            await connected(worker)
            assert (await (await starter.start(Charge, "ada")).wait()).is_failed
            lanes = [Lane("default", direction) for direction in (Direction.FORWARD, Direction.UNDO)]
            found = await broker.diagnose_lanes(lanes)
        assert {one.condition for one in found} == {Condition.GOOD}, found
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "delete_user", lines[1][1])
        await asyncio.to_thread(rabbitmq.ctl, "delete_vhost", lines[0][1])


def test_the_deployment_waits_for_running_handlers_and_asks_where_the_worker_answers() -> None:
    blocks = blocks_of(DOCUMENT)
    deployment: dict[str, Any] = yaml.safe_load(next(block.text for block in blocks if block.language == "yaml"))
    worker = next(block.text for block in blocks if block.name == "worker.py")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] >= Settings().grace.total_seconds() + 15
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    ports = {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
    assert ports == {int(port) for port in re.findall(r"port=(\d+)", worker)}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels


def test_every_alert_is_explained() -> None:
    rules = yaml.safe_load(RULES.read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)[-len(alerts) :] == alerts
