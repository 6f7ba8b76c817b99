"""A saga that the tests of observers, metrics and traces run, and engines to run it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sagaflow import Abort, Engine, Retry, Saga, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.ports import Broker, Observer, Store
from tests.e2e.stacks import QUICK

SECRET = "4111-1111-1111-1111"


class Trip(Saga[str], name="trip", retry=Retry(attempts=2, backoff=timedelta(milliseconds=10))):
    """The context says how it goes: ``well``, ``flaky`` (the hotel at the second attempt), or ``declined``."""

    @step(compensate="cancel_flight")
    async def flight(self, how: str) -> str:
        return "LH 400"

    async def cancel_flight(self, how: str, flight: str | None) -> None: ...

    @step
    async def hotel(self, how: str, flight: str) -> None:
        if how == "flaky" and self.attempt == 1:
            raise OSError(SECRET)
        if how == "declined":
            raise Abort(SECRET)


def engine_with(
    *observers: Observer,
    store: Store | None = None,
    broker: Broker | None = None,
    sagas: Any = (Trip,),
    work: Any = "all",
) -> Engine:
    """An engine in memory that these look on."""
    return Engine(
        sagas,
        store=store or MemoryStore(),
        broker=broker or MemoryBroker(),
        settings=QUICK,
        work=work,
        observers=observers,
    )
