"""A store in which sagas have ended in every way, and a command line to look at it with."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sagaflow import Engine, SagaStatus
from sagaflow.cli.app import app
from tests.e2e.stacks import QUICK
from tests.polling import until

from .sagas import Deliver, Order, Sell

APP = "tests.cli.sagas:both"
TAGS = {"done": ("web", "vip"), "stuck": ("web",)}


@dataclass(frozen=True)
class Told:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Told]


async def stock(store: str) -> None:
    """One saga that completed, one that was undone, one that failed, and one that waits for the outside."""
    async with Engine([Sell, Deliver], store=store, broker="memory://", settings=QUICK) as engine:
        for name, order in {
            "done": Order("ada", "4111"),
            "undone": Order("eve", "declined"),
            "stuck": Order("stuck", "declined"),
        }.items():
            await (await engine.start(Sell, order, id=name, tags=TAGS.get(name, ()))).wait()
        handle = await engine.start(Deliver, Order("ada", "4111"), id="waits")

        async def is_waiting() -> bool:
            return bool((await handle.record()).waits_for)

        await until(is_waiting)


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stocked")
    asyncio.run(stock(f"sqlite:///{folder}/sagaflow.db"))
    return folder


@pytest.fixture
def folder(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a store of this test's own."""
    shutil.copytree(stocked, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for name in ("SAGAFLOW_STORE", "SAGAFLOW_BROKER", "SAGAFLOW_APP", "SAGAFLOW_REDACT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    """Runs a command as a script does: without a terminal."""

    def run(*arguments: str, text: str | None = None) -> Told:
        result = CliRunner().invoke(app, arguments, input=text)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    return run


def status_of(run: Run, saga_id: str) -> SagaStatus:
    return SagaStatus(run("show", saga_id, "--json").json["summary"]["status"])


def work_until_ended(*saga_ids: str) -> None:
    """Let a worker bring these sagas of the working directory to their end."""

    async def work() -> None:
        async with Engine([Sell, Deliver], store="sqlite:///sagaflow.db", broker="memory://", settings=QUICK) as engine:
            for saga_id in saga_ids:
                await engine.handle(Sell, saga_id).wait()

    asyncio.run(work())
