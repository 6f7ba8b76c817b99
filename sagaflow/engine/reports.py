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
class Stranded:
    """A live saga that today's classes cannot bring on.

    Attributes:
        saga_id: which one.
        saga: the name of its class.
        step: the step that nothing here can do, undo or probe; empty if that holds for all of it.
        why: the reason, and what to write.
        created_at: when it was started, in seconds since the epoch.
    """

    saga_id: str
    saga: str
    step: str
    why: str
    created_at: float


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
