"""What a store in memory keeps of each saga, of what is left of one, and of each worker."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..core.state import SagaState
from ..ports import Signal, Tombstone


@dataclass(slots=True)
class Waiting:
    """A request, and when ``due`` finds it."""

    signal: Signal
    due_at: float


@dataclass(slots=True)
class Kept:
    """One saga with all that the store knows about it."""

    state: SagaState
    wake_at: float | None
    dispatches: int = 0
    inbox: list[Waiting] = field(default_factory=list[Waiting])

    @property
    def due_at(self) -> float | None:
        """When somebody should look at it; None if nobody needs to."""
        times = [waiting.due_at for waiting in self.inbox]
        if self.wake_at is not None:
            times.append(self.wake_at)
        return min(times, default=None)


@dataclass(slots=True)
class Buried:
    """What is left of a saga, and until when."""

    tombstone: Tombstone
    until: float


@dataclass(slots=True)
class Worker:
    """A worker's incarnation: how often it has beaten, and when it died."""

    beats: int = 0
    dead_at: float | None = None

    @property
    def is_dead(self) -> bool:
        """Whether its death is recorded."""
        return self.dead_at is not None
