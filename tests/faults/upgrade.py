"""Two states of the library, or two versions of its user's sagas, on one store, while workers of both are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import Mapping
from itertools import cycle, islice
from operator import attrgetter
from pathlib import Path

import msgspec

from . import grounds
from .editions import ENDS
from .fleet import ROOT, Fleet, Worker
from .grounds import QUICK, Ground, Numbers, Place
from .mixed import FIRST, SECOND, mixed
from .sagas import SHAPES
from .scenarios import scenario
from .stage import Stage, staged
from .starter import Wanted
from .verdict import Figures

BEFORE = "7376c6b"
"""A state of the library that writes the first stored form; this one reads it, and writes the second."""

_ROUNDS = 20  # in each of them a worker of each state, or version, is killed
_PAUSE = 0.1  # seconds that a handler takes

_ALONE = 5  # workers of the second version that are killed when those of the first are gone
_SHARE = 8  # sagas that each worker of a version starts
_RESERVE = 4  # processes that are ready to take the place of one that was killed
_NARROW: Numbers = {**QUICK, "concurrency": 15}
"""So little at once that hundreds of sagas outlast the rounds."""


@scenario("rolling-upgrade", grounds.sqlite, grounds.servers)
async def rolling_upgrade(ground: Ground, sagas: int) -> Figures:
    """Old workers are killed, and new ones take their places, while both states of the library start sagas."""
    library = _old_library(ground.folder)
    async with staged(ground.place(), pause=_PAUSE, settings=QUICK) as stage:
        fleet = stage.fleet
        old = [await fleet.start(library=str(library), recorded=False) for _ in range(2)]
        await _start_by(library, stage.place, stage.crowd.expect(list(islice(cycle(SHAPES), sagas // 2))))
        new = [await fleet.start()]
        await stage.crowd.start(sagas - sagas // 2)
        for _ in range(_ROUNDS):
            for crew, changes in ((old, {"library": str(library), "recorded": False}), (new, {})):
                await crew.pop(0).kill()
                stage.faults += 1
                crew.append(await fleet.start(**changes))
        for worker in old:
            worker.terminate()
            await worker.wait()
        # What old workers had recorded is not known to the ledger.
        return await stage.verdict(excused=_in_hand(fleet))


@scenario("two-versions", grounds.sqlite, grounds.servers)
async def two_versions(ground: Ground, sagas: int) -> Figures:
    """Workers of two versions of the sagas start some and are killed; then those of the second are left alone."""
    async with staged(ground.place(), pause=_PAUSE, settings=_NARROW) as stage, mixed(stage) as crowd:
        fleet = stage.fleet
        old = [await fleet.start(**crowd.orders(FIRST, _SHARE)) for _ in range(2)]
        new = [await fleet.start(**crowd.orders(SECOND, _SHARE)) for _ in range(2)]
        await crowd.start_by(FIRST, sagas // 2)
        await crowd.start_by(SECOND, sagas - sagas // 2)
        await fleet.reserve(_RESERVE)
        for _ in range(_ROUNDS):
            await _replace(stage, old, crowd.orders(FIRST, _SHARE))
            await _replace(stage, new, crowd.orders(SECOND, _SHARE))
        for worker in filter(attrgetter("runs"), old):
            worker.terminate()
            await worker.wait()
        await crowd.start_by(FIRST, max(sagas // 10, len(ENDS)))  # one that is stuck at the least
        for _ in range(_ALONE):
            await _replace(stage, new, crowd.orders(SECOND, _SHARE))
        by_workers = await crowd.make_up()
        amiss, waiting = await crowd.stuck()
        await fleet.start(sagas=FIRST.where)
        figures = await stage.verdict(f"{by_workers:,} started by workers", f"{waiting:,} waited for the first version")
        return figures + Figures(violations=(*amiss, *await crowd.strays(stage.ledger)))


async def _replace(stage: Stage, crew: list[Worker], orders: Mapping[str, object]) -> None:
    """Kill the oldest worker of a crew, and have another one take its place."""
    await crew.pop(0).kill()
    stage.faults += 1
    crew.append(await stage.fleet.start(**orders))
    await stage.fleet.reserve(1)


def _in_hand(fleet: Fleet) -> int:
    """The most attempts that the killed workers can have had in hand."""
    return 100 * len(fleet.hits)


def _old_library(folder: Path) -> Path:
    target = folder / "library"
    target.mkdir()
    archive = subprocess.run(["git", "archive", BEFORE, "sagaflow"], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        raise RuntimeError(f"the state {BEFORE} of the library is needed: fetch the whole history with git")
    subprocess.run(["tar", "x", "-C", str(target)], input=archive.stdout, check=True)
    return target


async def _start_by(library: Path, place: Place, wanted: dict[str, str]) -> None:
    """Have the other state of the library start these."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.starter"),
        cwd=library,
        env={**os.environ, "PYTHONPATH": f"{library}{os.pathsep}{ROOT}"},
        stdin=PIPE,
    )
    await process.communicate(msgspec.json.encode(Wanted(place, wanted, _PAUSE)))
    if process.returncode:
        raise RuntimeError("the earlier state of the library could not start its sagas")
