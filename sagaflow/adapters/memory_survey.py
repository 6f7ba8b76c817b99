"""What an overview shows of sagas that are at hand."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

from ..core.state import SagaState, SagaStatus
from ..ports import Ended, Tally


def tally(states: Iterable[SagaState]) -> list[Tally]:
    """How many of them there are, by class and status."""
    counts = Counter((state.saga, state.status) for state in states)
    return [Tally(saga, status, count) for (saga, status), count in counts.items()]


def ended(states: Iterable[SagaState], since: float, width: float, stretches: int) -> list[Ended]:
    """How many of them came to their end in each stretch of time."""
    until = since + width * stretches
    counts = Counter(
        # A division may round up to the end of the last stretch.
        (min(int((state.completed_at - since) / width), stretches - 1), state.status)
        for state in states
        if state.completed_at is not None and since <= state.completed_at < until
    )
    return [Ended(stretch, status, count) for (stretch, status), count in counts.items()]


def oldest(states: Iterable[SagaState], statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
    """Those of these statuses that were created first."""
    found = (state for state in states if state.status in statuses)
    return heapq.nsmallest(limit, found, key=lambda state: (state.created_at, state.id))
