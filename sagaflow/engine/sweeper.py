"""Brings on what nobody works on: lost hints, timers, requests, and what the dead have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from random import Random

from ..core.work import next_tick, open_work
from ..errors import StoreUnavailable
from ..ports import Due, Lane, Store, Stored
from ..tasks import is_cancelled
from ..throttle import Throttle
from .hints import next_look
from .reading import load_readable
from .settings import Settings
from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.sweeper")

_LIMIT = 200  # sagas a sweep
_FEW = 20  # ... while more are due than there are slots for: each of them is written to, and not for its own good
_LONGEST = 300.0  # seconds between two dispatches of a saga that nobody takes up
_LEAVE = 10.0  # seconds without a look at a saga that this worker cannot bring on, and nobody else has
_SETTLE_EVERY = 10  # sweeps between two looks for claims of our own that we know nothing of, and to forget


class Sweeper:
    """Looks for sagas that are due, and dispatches each: here if this worker can, by a hint otherwise."""

    def __init__(self, store: Store, worker: Worker, settings: Settings, random: Random) -> None:
        self._store = store
        self._worker = worker
        self._settings = settings
        self._random = random
        self._throttle = Throttle(logger)
        self._limit = _LIMIT
        self._left: dict[Due, float] = {}  # what this worker cannot bring on, as it was found, and until when

    async def run(self) -> None:
        sweeps = 0
        while not is_cancelled():
            try:
                found = await self.sweep()
                self._worker.check_wanted()
                if sweeps % _SETTLE_EVERY == 0:
                    await self._settle_own()
                    await self._worker.bindings.look()
                    await self._expire()
            except StoreUnavailable as error:
                self._throttle.warning("sweep", "cannot look for sagas that are due: %s", error)
                found = 0
            sweeps += 1
            if found < _LIMIT and not is_cancelled():
                await asyncio.sleep(self._next_turn())

    async def sweep(self) -> int:
        """One look; returns how many sagas were brought on."""
        for orphan in await self._store.orphans(_LIMIT, self._worker.bindings.fingerprints):
            # Its own death its heart will tell it in a moment; what it took over until then would be lost again.
            if orphan.owner != self._worker.owner:
                self._worker.lost(orphan.saga_id, orphan.owner)
        now = self._worker.clock.now()
        self._left = {due: until for due, until in self._left.items() if until > now}
        found = await self._store.due(now, self._limit + len(self._left), self._worker.bindings.fingerprints)
        found = await self._leave([due for due in found if due not in self._left], now)
        if not found:
            return 0
        pauses = [self._pause(due) for due in found]
        claimed = await self._store.defer(found, [now + pause for pause in pauses])
        ours = {due.saga_id: (due, pause) for due, pause, won in zip(found, pauses, claimed, strict=True) if won}
        readable = await load_readable(self._store, list(ours))
        await self._hasten(readable, ours, now)
        free = self._worker.slots.free
        waiting: list[Due] = []
        for stored in readable:
            due, pause = ours[stored.state.id]
            wants = await self._dispatch(stored, now, has_slot=free > 0, is_first=not due.dispatches)
            if wants and not free:
                waiting.append(Due(due.saga_id, now + pause, due.dispatches + 1))
            free = max(0, free - wants)
        if waiting:
            # That there are too few slots is no sign that nobody takes it up, for which pauses grow.
            await self._store.defer(waiting, [now + self._next_turn() for _ in waiting])
        brought_on = len(found) - len(waiting)
        self._limit = max(_FEW, brought_on) if waiting else _LIMIT
        return brought_on

    async def _leave(self, found: list[Due], now: float) -> list[Due]:
        """Those that this worker can bring on. The others it does not put off: who can do them finds them at once."""
        bindings = self._worker.bindings
        if not found or bindings.are_whole:
            return found
        beyond: set[str] = set()
        for stored in await load_readable(self._store, [due.saga_id for due in found]):
            binding = bindings.known(stored.state)
            if binding is not None and not stored.inbox and not binding.can_bring_on(stored.state, now):
                beyond.add(stored.state.id)
        self._left |= {due: now + _LEAVE for due in found if due.saga_id in beyond}
        return [due for due in found if due.saga_id not in beyond]

    async def _hasten(self, readable: list[Stored], ours: Mapping[str, tuple[Due, float]], now: float) -> None:
        """Whatever comes due before a pause is over, a deadline above all, does not wait for its end."""
        sooner: dict[str, tuple[Due, float]] = {}
        for stored in readable:
            binding = await self._worker.bindings.find(stored.state)
            due, pause = ours[stored.state.id]
            if binding is not None and (at := next_look(binding.definition, stored.state, now, pause)) < now + pause:
                sooner[due.saga_id] = (Due(due.saga_id, now + pause, due.dispatches + 1), at)
        if sooner:
            await self._store.defer([due for due, _ in sooner.values()], [at for _, at in sooner.values()])

    async def _dispatch(self, stored: Stored, now: float, *, has_slot: bool, is_first: bool) -> bool:
        """Work on it here, or tell others of it; whether it needs one of the slots here."""
        worker = self._worker
        binding = await worker.bindings.find(stored.state)
        if binding is None:
            return False
        lanes = {Lane(work.queue, work.side) for work in open_work(binding.definition, stored.state) if work.due <= now}
        here = lanes & worker.lanes
        tick = next_tick(stored.state)
        has_news = bool(stored.inbox) or (tick is not None and tick <= now)
        looks = not lanes or has_news or (bool(here) and has_slot)
        if looks:
            worker.look(stored.state.id)
        if looks or not is_first:
            lanes -= here  # one hint is enough for what waits for a slot
        await worker.hints.send(stored.state.id, lanes)
        return bool(here) and not has_news

    async def _expire(self) -> None:
        """Forget what has been kept for long enough."""
        keep_ids = self._settings.keep_ids.total_seconds()
        while await self._store.expire(self._worker.clock.now(), _LIMIT, keep_ids) == _LIMIT and not is_cancelled():
            pass

    async def _settle_own(self) -> None:
        """Find claims in this worker's name that it knows nothing of: the write came through long after its reply."""
        worker = self._worker
        claimed = await self._store.claimed_by(worker.owner, self._settings.concurrency + _LIMIT)
        strange = [saga_id for saga_id in claimed if not worker.is_busy_with(saga_id)]
        for stored in await load_readable(self._store, strange):
            worker.settle_orphans(stored.state)

    def _next_turn(self) -> float:
        return self._settings.sweep_every.total_seconds() * self._random.uniform(0.5, 1.5)

    def _pause(self, due: Due) -> float:
        pause = min(self._settings.patience.total_seconds() * 2.0**due.dispatches, _LONGEST)
        return pause * self._random.uniform(0.8, 1.2)
