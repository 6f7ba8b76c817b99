"""A store in one SQLite file: its processes are killed in mid-commit, and its disk is full."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from sagaflow import StoreUnavailable
from sagaflow.adapters.sqlite import SQLiteStore
from tests.polling import until

from . import grounds
from .grounds import QUICK, Ground, Place
from .kills import busy_one
from .sagas import SHAPES, Load, Sequential, shapes
from .scenarios import scenario
from .stage import Stage, staged
from .verdict import Figures
from .worker import Wiring

DEATHS = 40
"""How many processes are killed in mid-commit in one play."""

FULL = 15.0
"""Seconds for which the disk is full."""

_COMMITS = (5, 60)  # a process dies in one of its commits between these
_WITHIN = 0.004  # seconds after the beginning of that commit; writing and syncing take about as long
_DISK = "24m"  # the small disk: room for the sagas, and not for much more
_BLOCK = 64 * 1024  # bytes in which it is filled


# ---------------------------------------------------------------------------------------- killed in mid-commit


class DoomedStore(SQLiteStore):
    """A store whose process is killed somewhere within one of its commits."""

    def _connect(self) -> None:
        super()._connect()
        assert self._connection is not None, "it was just made"
        self._left = random.randint(*_COMMITS)
        self._connection.set_trace_callback(self._see)

    def _see(self, statement: str) -> None:
        if statement == "COMMIT":
            self._left -= 1
            if self._left == 0:
                # From another thread: the commit lets it run while it writes and waits for the disk.
                threading.Thread(target=_die, args=(random.uniform(0, _WITHIN),), daemon=True).start()


def _die(after: float) -> None:
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGKILL)


def doomed(wiring: Wiring, path: str) -> None:
    """Give a worker a store in which it dies."""
    wiring.store = DoomedStore(path)


@scenario("sqlite-mid-commit", grounds.sqlite)
async def sqlite_mid_commit(ground: Ground, sagas: int) -> Figures:
    """Three processes work on one file; each is killed in mid-commit soon, and another one takes its place."""
    place = ground.place()
    path = place.store_url.removeprefix("sqlite:///")
    async with staged(place, pause=0.05, settings=QUICK) as stage:
        async with stage.crowd.kept_at(sagas), asyncio.TaskGroup() as lines:
            for number in range(3):
                _ = lines.create_task(_succession(stage, path, DEATHS // 3 + (number < DEATHS % 3)))
        await stage.fleet.crew(3)
        figures = await stage.verdict()
    complaints = _complaints(path)
    return replace(figures, violations=figures.violations + complaints)


async def _succession(stage: Stage, path: str, deaths: int) -> None:
    """One process after another, each until it has died."""
    for _ in range(deaths):
        worker = await stage.fleet.launch(wiring="tests.faults.sqlite:doomed", argument=path)
        if not await worker.died(seconds=60):
            raise RuntimeError(f"worker {worker.pid} did not die in a commit\n{worker.log_end()}")
        stage.faults += 1


def _complaints(path: str) -> tuple[str, ...]:
    """What SQLite itself finds wrong with a file."""
    connection = sqlite3.connect(path)
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    finally:
        connection.close()
    return tuple(f"{path}: {line}" for line in found if line != "ok")


# ---------------------------------------------------------------------------------------- a full disk


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Ground]:
    """A folder with a small disk of its own in it, for the store; mounting it needs root."""
    disk = folder / "disk"
    disk.mkdir()
    await _do("mount", "-t", "tmpfs", "-o", f"size={_DISK}", "sagaflow", str(disk))
    try:
        yield Ground("small disk", folder)
    finally:
        await _do("umount", str(disk))


async def _do(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait() != 0:
        raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}; it needs root")


@scenario("sqlite-full-disk", small_disk)
async def sqlite_full_disk(ground: Ground, sagas: int) -> Figures:
    """The disk of the store is full for a while, and then has room again; nobody restarts anything."""
    disk = ground.folder / "disk"
    place = msgspec.structs.replace(ground.place(), store_url=f"sqlite:///{disk}/sagas.db")
    async with staged(place, pause=0.2) as stage:
        workers = await stage.fleet.crew(3)
        await stage.crowd.start(sagas)
        _ = await busy_one(stage.ledger, workers)
        async with _kept_full(disk / "ballast"):
            refused, refusals = await _refused(stage, place)
            stage.faults += 1
            await asyncio.sleep(FULL)
        emptied = time.time()
        waited = await until(lambda: _since(stage, emptied), seconds=60)
        handles = [await stage.crowd.engine.start(Sequential, Load(), id=saga_id) for saga_id in refused]
        for handle in handles:
            _ = await handle.wait()
        lines = sum(worker.log.read_text().count("disk is full") for worker in workers)
        figures = await stage.verdict(
            f"{len(refused)} sagas started on a full disk until one was refused",
            f"{lines} lines of log about it in three processes",
            f"went on {waited:.2f} s after there was room",
        )
    wrong = tuple(f"a full disk was told as {text!r}" for text in refusals if "disk is full" not in text)
    quiet = () if lines else ("no log told of the full disk",)
    return replace(figures, violations=(*figures.violations, *wrong, *quiet))


def _since(stage: Stage, at: float) -> float:
    """Seconds from then to the first attempt that has begun since; 0 if there is none yet."""
    return min((attempt.began for attempt in stage.ledger.attempts() if attempt.began > at), default=at) - at


@asynccontextmanager
async def _kept_full(ballast: Path) -> AsyncIterator[None]:
    """For the whole block all the room there is is taken, and whatever is given up later."""

    async def fill() -> None:
        with ballast.open("ab", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(_BLOCK))
                except OSError:
                    await asyncio.sleep(0.01)

    filling = asyncio.create_task(fill())
    try:
        await asyncio.sleep(0.1)
        yield
    finally:
        filling.cancel()
        _ = await asyncio.gather(filling, return_exceptions=True)
        await asyncio.to_thread(ballast.unlink)


async def _refused(stage: Stage, place: Place) -> tuple[list[str], list[str]]:
    """Start sagas until none is taken any more, and a worker; the sagas, and the refusals that were heard."""
    ids: list[str] = []
    refusals: list[str] = []
    async with asyncio.timeout(60):
        while not refusals:  # there may be room left in the files themselves
            ids.append(f"late-{len(ids)}")
            stage.crowd.expected[ids[-1]] = SHAPES[Sequential]
            refusals += await _told(stage.crowd.engine.start(Sequential, Load(), id=ids[-1]))
    engine = place.engine(shapes(stage.ledger))
    refusals += await _told(engine.open())
    await engine.close()
    return ids, refusals


async def _told(act: Awaitable[object]) -> list[str]:
    try:
        _ = await act
    except StoreUnavailable as error:
        return [str(error)]
    return []
