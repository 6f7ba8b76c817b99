"""A process that starts sagas and ends: for those that another state of the library is to start."""

from __future__ import annotations

import asyncio
import sys

import msgspec
from msgspec import Struct

from .grounds import Place
from .sagas import SHAPES, Load, shapes


class Wanted(Struct, frozen=True):
    """``sagas``: the name of the shape of each, by its id."""

    place: Place
    sagas: dict[str, str]
    pause: float


async def start(wanted: Wanted) -> None:
    """Start them all."""
    by_name = {shape.__name__: shape for shape in SHAPES}
    ledger = wanted.place.open_ledger()
    async with wanted.place.engine(shapes(ledger), work="none") as engine:
        for saga_id, name in wanted.sagas.items():
            await engine.start(by_name[name], Load(wanted.pause), id=saga_id)
    ledger.close()


if __name__ == "__main__":
    asyncio.run(start(msgspec.json.decode(sys.stdin.read(), type=Wanted)))
