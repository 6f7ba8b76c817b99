"""Workers as processes: they work until they are told to end, and are started anew when the code changes."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sagaflow import Engine
from sagaflow.cli.reloading import changes, snapshot
from tests.docs.documents import environment

from .sagas import Order, Sell

SELLING = """
from sagaflow import Saga, step

class Quick(Saga[str]):
    @step
    async def only(self, what: str) -> str:
        return "{said}"
"""


@asynccontextmanager
async def worker(folder: Path, *arguments: str) -> AsyncIterator[Process]:
    process = await create_subprocess_exec(
        sys.executable, "-m", "sagaflow", "worker", *arguments, cwd=folder, env=environment(), stderr=-1
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sagaflow.db"


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_does_what_is_started_and_ends_in_good_order_when_told(
    tmp_path: Path, store: str, told: signal.Signals
) -> None:
    async with (
        worker(tmp_path, "tests.cli.sagas:Sell", "--concurrency", "3") as process,
        Engine([Sell], store=store, broker="memory://", work="none") as engine,
    ):
        saga = await (await engine.start(Sell, Order("ada", "4111"))).result()
        assert saga.is_completed
        process.send_signal(told)
        _, said = await process.communicate()
    assert process.returncode == 0
    assert said.decode().splitlines()[0].startswith("Sell  SQLiteStore 'sagaflow.db'")
    assert said.decode().splitlines()[-1] == "ended in good order"


async def test_a_worker_for_steps_alone_undoes_nothing(tmp_path: Path, store: str) -> None:
    async with (
        worker(tmp_path, "tests.cli.sagas:Sell", "--steps-only"),
        Engine([Sell], store=store, broker="memory://", work="none") as engine,
    ):
        handle = await engine.start(Sell, Order("eve", "declined"))
        async for record in handle.changes():
            if record.is_compensating:
                break
        later = await engine.start(Sell, Order("ada", "4111"))
        await later.result()
        assert (await handle.record()).is_compensating


async def test_a_worker_is_started_anew_when_its_code_changes(tmp_path: Path, store: str) -> None:
    code = tmp_path / "quick.py"
    code.write_text(SELLING.format(said="old"))
    async with (
        worker(tmp_path, "quick:Quick", "--reload") as process,
        Engine(store=store, broker="memory://", work="none") as engine,
    ):
        said = process.stderr
        assert said is not None
        while b"working" not in await said.readline():
            pass
        code.write_text(SELLING.format(said="another"))
        while b"quick.py changed: starting anew" not in await said.readline():
            pass
        while b"working" not in await said.readline():
            pass
        start = await create_subprocess_exec(
            sys.executable, "-m", "sagaflow", "start", "quick:Quick", '"it"', "--id", "q", "--wait",
            cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await start.wait() == 0
        assert (await engine.get("q")).outputs["only"] == "another"
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def test_changes_are_new_files_changed_ones_and_those_that_are_gone(tmp_path: Path) -> None:
    for name in ("kept", "changed", "gone"):
        (tmp_path / f"{name}.py").write_text("1")
    (tmp_path / ".hidden").mkdir()
    before = snapshot(tmp_path)
    (tmp_path / "changed.py").write_text("22")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "new.py").write_text("3")
    (tmp_path / "notes.txt").write_text("4")
    (tmp_path / ".hidden" / "secret.py").write_text("5")
    assert changes(before, snapshot(tmp_path)) == ["changed.py", "gone.py", "new.py"]
