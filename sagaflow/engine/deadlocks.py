"""Finding sagas that wait for one another's locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..core.state import LockStatus, SagaState, StepStatus
from ..ports import Store, Ticket
from .families import child_id

_MOST: Final = 200  # sagas that are looked at


@dataclass(frozen=True, slots=True)
class Deadlock:
    """A circle of sagas, each of which waits for the next one.

    Attributes:
        circle: their ids, beginning with the one that found it.
        victim: the youngest of them that can turn back; None if none can.
    """

    circle: tuple[str, ...]
    victim: str | None

    def __str__(self) -> str:
        return " -> ".join([*self.circle, self.circle[0]])


async def find_deadlock(store: Store, state: SagaState, before: Sequence[Ticket]) -> Deadlock | None:
    """Whether one of those who stand before this saga in a line waits, directly or through others, for its family.

    Raises:
        StoreUnavailable
    """
    root = state.root or state.id
    paths: dict[str, tuple[str, ...]] = {
        ticket.saga_id: (state.id, ticket.saga_id) for ticket in before if ticket.root != root
    }
    known: dict[str, SagaState] = {state.id: state}
    waiting = list(paths)
    while waiting and len(known) < _MOST:
        found = {name: stored.state for name, stored in (await store.load(waiting)).items()}
        known |= found
        further: list[str] = []
        for name, other in found.items():
            for ticket_id, ticket_root in await _waits_for(store, other):
                path = paths[name]
                if ticket_root == root:
                    return Deadlock(path, _victim([known[one] for one in path]))
                if ticket_id not in paths:
                    paths[ticket_id] = (*path, ticket_id)
                    further.append(ticket_id)
        waiting = further
    return None


async def _waits_for(store: Store, state: SagaState) -> list[tuple[str, str]]:
    """The sagas that this one waits for, each with the root of its family."""
    root = state.root or state.id
    found = [
        (child_id(state, name), "")
        for name, step in state.steps.items()
        if step.linked and step.status in (StepStatus.STARTED, StepStatus.COMPENSATING)
    ]
    for key, lock in state.locks.items():
        if lock.status is not LockStatus.WANTED:
            continue
        for ticket in await store.queue(key):
            if ticket.root == root:
                break
            found.append((ticket.saga_id, ticket.root))
    return found


def _victim(circle: Sequence[SagaState]) -> str | None:
    able = [state for state in circle if "cancel" in state.accepts]
    return max(able, key=lambda state: (state.created_at, state.id)).id if able else None
