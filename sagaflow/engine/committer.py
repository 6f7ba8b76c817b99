"""Group commit: transitions that are ready at the same moment go to the store together."""

from __future__ import annotations

import asyncio
import logging

from ..ports import Outcome, Store, Transition

logger: logging.Logger = logging.getLogger("sagaflow.committer")

_LARGEST = 200  # transitions in one batch


class Committer:
    """Hands transitions of different sagas to the store in batches; each is still its own compare-and-set.

    While one batch is under way, what comes in the meantime waits and makes up the next one. An idle store is given a
    transition at once, so waiting for company never costs time.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Transition, asyncio.Future[Outcome]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def commit(self, transition: Transition) -> Outcome:
        """What became of it; a saga has at most one transition under way."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((transition, outcome))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="sagaflow: committer")
        # A caller that is cancelled must not take the others with it.
        return await outcome

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_LARGEST], self._waiting[_LARGEST:]
                outcomes = await self._commit([transition for transition, _ in batch])
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if not future.done():
                        future.set_result(outcome)
        finally:
            self._flushing = None

    async def _commit(self, transitions: list[Transition]) -> list[Outcome]:
        try:
            return await self._store.commit(transitions)
        except Exception:
            # Against its contract; the changes may have been made all the same.
            logger.exception("the store failed to say what became of %d changes", len(transitions))
            return [Outcome.UNSURE] * len(transitions)
