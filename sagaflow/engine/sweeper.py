"""Brings on what nobody works on: lost hints, timers, requests, and what the dead have left."""

from __future__ import annotations

import asyncio
import logging
from random import Random

from ..core.work import open_work
from ..errors import StoreUnavailable
from ..ports import Due, Lane, Store, Stored
from ..tasks import is_cancelled
from ..throttle import Throttle
from .reading import load_readable
from .settings import Settings
from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.sweeper")

_LIMIT = 200  # sagas a sweep
_LONGEST = 300.0  # seconds between two dispatches of a saga that nobody takes up
_SETTLE_EVERY = 10  # sweeps between two looks for claims of our own that we know nothing of


class Sweeper:
    """Looks for sagas that are due, and dispatches each: here if this worker can, by a hint otherwise."""

    def __init__(self, store: Store, worker: Worker, settings: Settings, random: Random) -> None:
        self._store = store
        self._worker = worker
        self._settings = settings
        self._random = random
        self._fingerprints = tuple(binding.definition.fingerprint for binding in worker.bindings.values())
        self._throttle = Throttle(logger)

    async def run(self) -> None:
        sweeps = 0
        while not is_cancelled():
            try:
                found = await self.sweep()
                if sweeps % _SETTLE_EVERY == 0:
                    await self._settle_own()
            except StoreUnavailable as error:
                self._throttle.warning("sweep", "cannot look for sagas that are due: %s", error)
                found = 0
            sweeps += 1
            if found < _LIMIT and not is_cancelled():
                await asyncio.sleep(self._settings.sweep_every.total_seconds() * self._random.uniform(0.5, 1.5))

    async def sweep(self) -> int:
        """One look; returns how many due sagas were found."""
        for orphan in await self._store.orphans(_LIMIT, self._fingerprints):
            # Its own death its heart will tell it in a moment; what it took over until then would be lost again.
            if orphan.owner != self._worker.owner:
                self._worker.lost(orphan.saga_id, orphan.owner)
        now = self._worker.clock.now()
        found = await self._store.due(now, _LIMIT, self._fingerprints)
        if not found:
            return 0
        claimed = await self._store.defer(found, [now + self._pause(due) for due in found])
        ours = [due.saga_id for due, won in zip(found, claimed, strict=True) if won]
        for stored in await load_readable(self._store, ours):
            await self._dispatch(stored, now)
        return len(found)

    async def _dispatch(self, stored: Stored, now: float) -> None:
        worker = self._worker
        binding = worker.binding(stored.state)
        if binding is None:
            return
        lanes = {
            Lane(work.queue, work.direction) for work in open_work(binding.definition, stored.state) if work.due <= now
        }
        here = lanes & worker.lanes
        if not lanes or stored.inbox or (here and worker.slots.free):
            worker.look(stored.state.id)
            lanes -= here
        await worker.hints.send(stored.state.id, lanes)

    async def _settle_own(self) -> None:
        """Find claims in this worker's name that it knows nothing of: the write came through long after its reply."""
        worker = self._worker
        claimed = await self._store.claimed_by(worker.owner, self._settings.concurrency + _LIMIT)
        strange = [saga_id for saga_id in claimed if not worker.is_busy_with(saga_id)]
        for stored in await load_readable(self._store, strange):
            worker.settle_orphans(stored.state)

    def _pause(self, due: Due) -> float:
        pause = min(self._settings.patience.total_seconds() * 2.0**due.dispatches, _LONGEST)
        return pause * self._random.uniform(0.8, 1.2)
