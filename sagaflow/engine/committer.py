"""Group commit: transitions that are ready at the same moment go to the store together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from ..batching import Batches
from ..ports import Observer, Outcome, Store, Transition
from .observing import Observers

logger: logging.Logger = logging.getLogger("sagaflow.committer")


class Committer:
    """Hands transitions of different sagas to the store in batches; each is still its own compare-and-set."""

    def __init__(self, store: Store, observers: Observers | None = None) -> None:
        self._store = store
        self._observers = observers
        self._batches: Batches[Transition, Outcome] = Batches(self._commit, "committer", at_once=2)

    def commit(self, transition: Transition) -> asyncio.Future[Outcome]:
        """What becomes of it; a saga has at most one transition under way."""
        return self._batches.submit(transition)

    async def _commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        try:
            outcomes = await self._store.commit(transitions)
        except Exception:
            # Against its contract; the changes may have been made all the same.
            logger.exception("the store failed to say what became of %d changes", len(transitions))
            outcomes = [Outcome.UNSURE] * len(transitions)
        if self._observers is not None:
            conflicts, unsure = outcomes.count(Outcome.CONFLICT), outcomes.count(Outcome.UNSURE)
            self._observers.tell(Observer.committed, len(outcomes), conflicts, unsure)
        return outcomes
