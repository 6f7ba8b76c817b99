"""What an engine tells of itself and of its sagas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..record import SagaRecord


@dataclass(frozen=True, slots=True)
class SagaPage:
    """One page of a listing; give ``cursor`` to the next call, until it is None."""

    sagas: tuple[SagaRecord[Any], ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """How an engine is.

    Attributes:
        ok: it is open, its parts live, and both servers answer.
        broker: ``ok``, or what is wrong, in a few words.
        beat_age: seconds since the store last confirmed a heartbeat.
        in_flight: handlers that run here.
        failures: what ended a part of the engine that should live as long as the engine; it must be restarted.
    """

    ok: bool
    broker: str
    beat_age: float
    in_flight: int
    failures: tuple[BaseException, ...]
