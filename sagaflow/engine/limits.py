"""What one saga may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.events import Decided, Event, Fate, Probed, Succeeded, Undecidable
from ..core.state import SagaState
from ..errors import PayloadTooLarge
from .failures import describe

if TYPE_CHECKING:
    from .worker import Worker


def within_limits(worker: Worker, state: SagaState, event: Event) -> Event:
    """An output, or a list, that would leave no room to undo the saga counts as one that cannot be recorded."""
    match event:
        case Succeeded() | Probed() if event.output is not None:
            what, more = "the output", len(event.output)
        case Decided() if event.elements is not None:
            what, more = "the list", sum(map(len, event.elements))
        case _:
            return event
    limit = worker.settings.payload_limit
    size = state.payload_size + more
    if size <= limit:
        return event
    error = PayloadTooLarge(f"Saga {state.id} with {what} of step {event.step!r}", size, limit)
    if isinstance(event, Decided):
        return Undecidable(event.step, worker.codec.encode(*describe(error)), event.at)
    return worker.runner.ended(state, event.step, event.direction, event.attempt, error, Fate.UNRECORDABLE)
