"""Two states of the library, side by side on one store, while workers of both are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from itertools import cycle, islice
from pathlib import Path

import msgspec

from . import grounds
from .fleet import ROOT, Fleet
from .grounds import QUICK, Ground, Place
from .sagas import SHAPES
from .scenarios import scenario
from .stage import staged
from .starter import Wanted
from .verdict import Figures

BEFORE = "7376c6b"
"""A state of the library that writes the first stored form; this one reads it, and writes the second."""

_ROUNDS = 20  # in each of them a worker of each state is killed
_PAUSE = 0.1  # seconds that a handler takes


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
