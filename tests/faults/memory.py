"""How much memory a process takes, and what many starts at once cost one."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
from msgspec import Struct

from .grounds import Place
from .sagas import Load, Sequential, shapes

_PAGE = resource.getpagesize()
_MIB = 2**20


def resident(pid: int) -> float:
    """The memory that a process has now, in MiB."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * _PAGE / _MIB


class Flood(Struct, frozen=True):
    """What so many starts at once came to; memory in MiB, at its most."""

    before: float
    at_most: float
    seconds: float
    started: int
    errors: dict[str, int]


async def flood(place: Place, count: int) -> Flood:
    """Start so many sagas in this process, all at once."""
    ledger = place.open_ledger()
    async with place.engine(shapes(ledger), work="none") as engine:
        _ = await engine.start(Sequential, Load(), id="first")
        before, began = _peak(), time.monotonic()
        starts = (engine.start(Sequential, Load(), id=f"flood-{number}") for number in range(count))
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        took = time.monotonic() - began
    ledger.close()
    errors = Counter(type(outcome).__name__ for outcome in outcomes if isinstance(outcome, BaseException))
    return Flood(before, _peak(), took, count - errors.total(), dict(errors))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Read a place and a number from the command line, and write what a flood came to."""
    place = msgspec.json.decode(sys.argv[1], type=Place)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(flood(place, int(sys.argv[2])))))


if __name__ == "__main__":
    main()
