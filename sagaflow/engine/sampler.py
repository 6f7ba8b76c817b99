"""What the store shows of the sagas that wait, for observers that ask for it: one indexed query each time."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..errors import StoreUnavailable
from ..ports import Observer, Sample, Store
from ..ports.clock import Clock
from ..tasks import is_cancelled
from ..throttle import Throttle
from .observing import Observers

logger: logging.Logger = logging.getLogger("sagaflow.observers")

LIMIT: Final = 1_000
"""How many sagas one look sees at most; those that have been due for longest come first."""

STALE: Final = 3
"""How often a sweeper has dispatched a saga, without any change since, that nobody seems to take up."""

_LEAST: Final = 0.01  # seconds between two looks, whatever an observer asks for
_AHEAD: Final = 360.0  # seconds: a sweeper puts off what nobody takes up for as long as this, so that it is still seen


class Sampler:
    """Looks for one observer, in the background, for as long as the engine is open."""

    def __init__(self, store: Store, clock: Clock, observers: Observers, observer: Observer) -> None:
        self._store = store
        self._clock = clock
        self._observers = observers
        self._observer = observer
        self._throttle = Throttle(logger)

    async def run(self) -> None:
        while not is_cancelled() and (every := self._observer.sample_every) is not None:
            try:
                sample = await self.look()
            except StoreUnavailable as error:
                self._throttle.warning("sample", "cannot look at what waits: %s", error)
            except Exception as error:  # against the store's contract; it is no reason for this process to end
                self._throttle.warning("sample", "cannot look at what waits: %s", type(error).__name__)
            else:
                self._observers.tell_one(self._observer, Observer.sampled, sample)
            await asyncio.sleep(max(_LEAST, every.total_seconds()))

    async def look(self) -> Sample:
        """One look.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        now = self._clock.now()
        found = await self._store.due(now + _AHEAD, LIMIT)
        due = [one.wake_at for one in found if one.wake_at <= now]
        return Sample(
            oldest=now - min(due, default=now),
            due=len(due),
            stale=sum(one.dispatches >= STALE for one in found),
            is_cut=len(found) == LIMIT,
        )
