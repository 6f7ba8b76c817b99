"""A store that notes in the ledger which ends of handlers the engine knows to be recorded.

A worker that is killed right after a handler's end may not have recorded it, and a busy store takes its time. So the
moment that tells an interrupted attempt from a settled one is the one at which the reply of the commit has come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sagaflow.core.state import Direction
from sagaflow.execution import step_key
from sagaflow.ports import Outcome, Store, Transition

from .ledger import Ledger


class _Recording:
    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        outcomes = await self._store.commit(transitions)
        for transition, outcome in zip(transitions, outcomes, strict=True):
            if outcome is Outcome.COMMITTED:
                self._ledger.record(list(_ended(transition)))
        return outcomes


def recording(store: Store, ledger: Ledger) -> Store:
    """The store, with an eye on its commits."""
    return cast("Store", _Recording(store, ledger))


def _ended(transition: Transition) -> Iterator[str]:
    """The keys of the calls whose claims end with a commit."""
    for name, before in transition.before.steps.items():
        after = transition.after.steps[name]
        for direction in (Direction.FORWARD, Direction.UNDO):
            had, has = before.track(direction), after.track(direction)
            if had.claim is not None and (has.claim, has.attempt) != (had.claim, had.attempt):
                key = step_key(transition.before.id, name, before.generation)
                yield f"{key}/undo" if direction is Direction.UNDO else key
