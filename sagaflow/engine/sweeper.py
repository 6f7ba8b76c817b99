"""Brings on what nobody works on: lost hints, timers, requests, and what the dead have left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ..core.work import Agenda
from ..errors import StoreUnavailable
from ..ports import Due, Hint, Lane, Observer, Store, Stored
from ..tasks import is_cancelled
from ..throttle import Throttle
from .binding import Binding
from .hints import next_look
from .reading import load_readable
from .settings import Settings
from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.sweeper")

_LIMIT = 200  # sagas a sweep
_FEW = 20  # ... while more are due than there are slots for: each of them is written to, and not for its own good
_LONGEST = 300.0  # seconds between two dispatches of a saga that nobody takes up
_LONGEST_HERE = 30.0  # ... if this worker could
_LEAVE = 10.0  # seconds without a look at a saga that this worker cannot bring on, and nobody else has
_SETTLE_EVERY = 10  # sweeps between two looks for claims of our own that we know nothing of, and to forget


@dataclass(frozen=True, slots=True)
class _Find:
    """A saga that is due.

    Attributes:
        until: when it is due again, unless something comes of this.
        rest: until when it is not looked at if nothing can be done for it here.
        lanes: whose workers are told of it.
        trace: that the saga carries.
        looks: whether this worker looks at it.
        wants: how many slots of this worker it needs.
        waits: whether there are none.
    """

    due: Due
    until: float
    rest: float = 0.0
    lanes: frozenset[Lane] = frozenset()
    trace: str | None = None
    looks: bool = False
    wants: int = 0
    waits: bool = False


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
        orphans = await self._store.orphans(_LIMIT, self._worker.bindings.fingerprints)
        for orphan in orphans:
            # Its own death its heart will tell it in a moment; what it took over until then would be lost again.
            if orphan.owner != self._worker.owner:
                self._worker.lost(orphan.saga_id, orphan.owner)
        now = self._worker.clock.now()
        finds = await self._look(now)
        if not finds:
            self._tell(0, len(orphans))
            return 0
        # What is put off is this worker's to dispatch: nobody else was quicker, and nothing has changed since.
        waiting = [find for find in finds if find.waits]
        others = [find for find in finds if not find.waits]
        dispatched, hints = 0, list[Hint]()
        for some, counts in (others, True), (waiting, False):
            won = await self._store.defer([one.due for one in some], [one.until for one in some], counts=counts)
            for find, is_ours in zip(some, won, strict=True):
                if is_ours:
                    hints += self._dispatch(find)
            dispatched += sum(won) if counts else 0
        await self._worker.hints.send_all(hints)
        self._tell(dispatched, len(orphans))
        self._limit = max(_FEW, len(others)) if waiting else _LIMIT
        return len(others)

    def _tell(self, due: int, orphans: int) -> None:
        observers = self._worker.observers
        if observers is not None and (due or orphans):
            observers.tell(Observer.swept, due, orphans)

    async def _look(self, now: float) -> list[_Find]:
        """What is due, and until when it is put off, in case that what is done for it now comes to nothing."""
        bindings = self._worker.bindings
        self._left = {due: until for due, until in self._left.items() if until > now}
        found = await self._store.due(now, self._limit + len(self._left), bindings.fingerprints)
        found = [due for due in found if due not in self._left]
        readable = {
            stored.state.id: stored for stored in await load_readable(self._store, [due.saga_id for due in found])
        }
        free = self._worker.slots.free
        finds: list[_Find] = []
        for due in found:
            stored = readable.get(due.saga_id)
            binding = await bindings.find(stored.state) if stored is not None else None
            if stored is None or binding is None:
                finds.append(_Find(due, until=now + self._pause(due)))
                continue
            find = self._find(due, stored, binding, now, is_full=not free)
            is_helpless = not (find.looks or find.wants or self._worker.hints.reach(find.lanes))
            if is_helpless or not (stored.inbox or binding.can_bring_on(stored.state, now)):
                self._left[due] = find.rest  # who can do it finds it at once
                continue
            finds.append(find)
            free = max(0, free - find.wants)
        return finds

    def _find(self, due: Due, stored: Stored, binding: Binding, now: float, *, is_full: bool) -> _Find:
        agenda = Agenda.of(binding.definition, stored.state)
        due_lanes = [Lane(work.queue, work.side) for work in agenda.works if work.due <= now]
        lanes = set(due_lanes)
        here = lanes & self._worker.lanes
        has_news = bool(stored.inbox) or (agenda.tick is not None and agenda.tick <= now)
        wants = 0 if has_news else sum(lane in here for lane in due_lanes)
        waits = wants > 0 and is_full
        if waits:
            until = now + self._next_turn()
        else:
            # Others may take the slot that is free now: that is no sign that nobody takes it up, for which pauses grow.
            pause = min(self._pause(due), _LONGEST_HERE) if here else self._pause(due)
            # Whatever comes due before a pause is over, a deadline above all, does not wait for its end.
            until = min(now + pause, next_look(agenda, now, pause))
        looks = not lanes or has_news or (bool(here) and not is_full)
        if looks or due.dispatches:
            lanes -= here  # one hint is enough for what waits for a slot
        rest = min(now + _LEAVE, next_look(agenda, now, _LEAVE))
        return _Find(due, until, rest, frozenset(lanes), stored.state.trace, looks=looks, wants=wants, waits=waits)

    def _dispatch(self, find: _Find) -> Iterator[Hint]:
        """Work on it here; the hints that tell others of it."""
        if find.looks:
            self._worker.look(find.due.saga_id)
        return (Hint(find.due.saga_id, lane, find.trace) for lane in find.lanes)

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
