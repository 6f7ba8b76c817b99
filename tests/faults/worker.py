"""A worker process: an engine that works until it is told to end, or is ended."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
from msgspec import Struct

from sagaflow.engine.arguments import Work
from sagaflow.ports import Broker, Store

from .grounds import Place
from .ledger import Ledger
from .recording import recording
from .sagas import Factories

READY = b"ready\n"

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG: whatever ends the scenario ends its workers, the frozen ones too


class Wiring(Struct):
    """What an engine is made of, for a scenario to put something between."""

    store: Store
    broker: Broker
    ledger: Ledger


class Orders(Struct, frozen=True):
    """What a worker process is told.

    Attributes:
        place: where it works.
        settings: of its engine, where they differ from the defaults; times in seconds.
        sagas: the function that makes them from a ledger, as ``module:name``.
        work: as for an engine.
        wiring: a function that is called with the ``Wiring`` and ``argument``, and may change it, as ``module:name``.
        argument: what it is called with.
        library: the folder of another state of the library, that it works with.
        recorded: whether the ledger notes what the store has; an earlier state of the library cannot be watched.
    """

    place: Place
    settings: dict[str, float] = {}
    sagas: str = "tests.faults.sagas:shapes"
    work: Work = "all"
    wiring: str = ""
    argument: str = ""
    library: str = ""
    recorded: bool = True


async def work(orders: Orders) -> None:
    """Work as ordered, and say when it has begun."""
    place = orders.place
    wiring = Wiring(place.store(), place.broker(), place.open_ledger())
    if orders.wiring:
        _named(orders.wiring)(wiring, orders.argument)
    make: Callable[[Ledger], Factories] = _named(orders.sagas)
    sagas = make(wiring.ledger)
    store = recording(wiring.store, wiring.ledger) if orders.recorded else wiring.store
    engine = place.engine(sagas, work=orders.work, settings=orders.settings, store=store, broker=wiring.broker)
    async with engine:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        await engine.run()


def _named(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def main() -> None:
    """Read the orders, a line on the standard input, and follow them."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    asyncio.run(work(msgspec.json.decode(sys.stdin.readline(), type=Orders)))


if __name__ == "__main__":
    main()
