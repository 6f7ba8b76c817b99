"""Who waits to hear of a saga: at once if this process works on it, by asking the store otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from ..core.state import SagaState
from ..errors import NoEngine, SagaNotFound, StoreUnavailable
from ..ports import Store, Stored, Summary
from ..tasks import is_cancelled
from ..throttle import Throttle
from .reading import load_readable
from .settings import Settings

logger: logging.Logger = logging.getLogger("sagaflow.watcher")

_BATCH: Final = 500

# Most sagas end soon, and some after days. So the pause is a third of the time that somebody has waited: an end is
# heard of late by a third at most, and what takes half a second is asked for a dozen times.
_PART: Final = 3
_SOONEST: Final = 0.005


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Watch:
    """What somebody has heard of a saga.

    Args:
        for_the_end: whether only states in which the saga is at rest are news.
    """

    def __init__(self, *, for_the_end: bool) -> None:
        self._for_the_end = for_the_end
        self._since = _now()
        self.state: SagaState | None = None
        self.is_at_rest = False
        self.news = asyncio.Event()
        self.due = self._since + _SOONEST
        self._has_looked = False
        self._early: tuple[SagaState, bool] | None = None

    def look(self, state: SagaState, *, at_rest: bool) -> None:
        """What was seen by whoever watches, after beginning to."""
        self._has_looked = True
        self.tell(state, at_rest=at_rest)
        if self._early is not None:
            state, at_rest = self._early
            self.tell(state, at_rest=at_rest)

    def tell(self, state: SagaState, *, at_rest: bool) -> None:
        """What others have seen: before the look, perhaps earlier than a request that was accepted before the watch.

        So it waits for the look, and is news only if it is newer than what that has seen.
        """
        if not self._has_looked:
            if self._early is None or state.revision > self._early[0].revision:
                self._early = state, at_rest
        elif self.state is None or state.revision > self.state.revision:
            self.state = state
            self.is_at_rest = at_rest
            if at_rest or not self._for_the_end:
                self._since = _now()
                self.news.set()

    def wants(self, seen: Summary) -> bool:
        """Whether this is news."""
        is_newer = self.state is None or self.state.revision < seen.revision
        return is_newer and (seen.status.is_terminal or not self._for_the_end)

    def put_off(self, longest: float) -> None:
        """Look again when a part of the time without news has passed once more, or after ``longest`` seconds."""
        now = _now()
        self.due = now + min(longest, max(_SOONEST, (now - self._since) / _PART))


class Watcher:
    """Hands out new states of sagas to whoever watches them."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._longest = settings.poll_every.total_seconds()
        self._watches: dict[str, list[_Watch]] = {}
        self._watched = asyncio.Event()
        self._throttle = Throttle(logger)
        self._closed = False

    def close(self) -> None:
        """Whoever still waits hears that it is in vain."""
        self._closed = True
        for watches in self._watches.values():
            for watch in watches:
                watch.news.set()

    def notify(self, state: SagaState) -> None:
        """This process has committed this state, and most likely the next one too: nothing needs to be asked soon."""
        for watch in self._watches.get(state.id, ()):
            # A commit that ends a saga has taken in every request that there was.
            watch.tell(state, at_rest=state.status.is_terminal)
            watch.due = _now() + self._longest

    async def states(self, saga_id: str) -> AsyncGenerator[SagaState, None]:
        """The state as it is now, then each newer one that is seen (not each one that there was), until it is at rest.

        At rest is a saga that is terminal and has no request waiting: one that was told to compensate goes on.

        Raises:
            SagaNotFound: there is no such saga.
            NoEngine: the engine was closed.
        """
        with self._watching(saga_id) as watch:
            await self._look(watch, saga_id)
            while True:
                yield await self._news(watch, saga_id)
                if watch.is_at_rest and not watch.news.is_set():
                    return

    async def last(self, saga_id: str) -> SagaState:
        """The last of ``states``, without the others.

        Raises:
            SagaNotFound, NoEngine: as there.
        """
        with self._watching(saga_id, for_the_end=True) as watch:
            await self._look(watch, saga_id)
            while True:
                state = await self._news(watch, saga_id)
                if watch.is_at_rest:  # still
                    return state

    @contextmanager
    def _watching(self, saga_id: str, *, for_the_end: bool = False) -> Generator[_Watch]:
        watch = _Watch(for_the_end=for_the_end)
        self._watches.setdefault(saga_id, []).append(watch)
        self._watched.set()
        try:
            yield watch
        finally:
            self._watches[saga_id].remove(watch)
            if not self._watches[saga_id]:
                del self._watches[saga_id]

    async def _look(self, watch: _Watch, saga_id: str) -> None:
        """See the state as it is now: after registering, so that nothing falls in between."""
        stored = (await self._store.load([saga_id])).get(saga_id)
        if stored is None:
            raise SagaNotFound(saga_id)
        watch.look(stored.state, at_rest=_is_at_rest(stored))

    async def _news(self, watch: _Watch, saga_id: str) -> SagaState:
        await watch.news.wait()
        watch.news.clear()
        if self._closed:
            raise NoEngine(f"the engine was closed while somebody waited for saga {saga_id!r}")
        assert watch.state is not None, "news come with a state"
        return watch.state

    async def run(self) -> None:
        """Ask the store, for as long as somebody watches."""
        while not is_cancelled():
            await self._until_due()
            began = _now()
            await self._ask(list(dict.fromkeys(saga_id for saga_id, watch in self._each() if watch.due <= began)))
            # However many wait, and however slow the store is: this asks for half of the time at most.
            await asyncio.sleep(max(_SOONEST, _now() - began))

    async def _until_due(self) -> None:
        """Return when somebody's time has come, or when somebody has come."""
        self._watched.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min((watch.due for _, watch in self._each()), default=None)):
                await self._watched.wait()

    def _each(self) -> Iterator[tuple[str, _Watch]]:
        return ((saga_id, watch) for saga_id, watches in self._watches.items() for watch in watches)

    async def _ask(self, ids: list[str]) -> None:
        for start in range(0, len(ids), _BATCH):
            try:
                await self._poll(ids[start : start + _BATCH])
            except StoreUnavailable as error:
                self._throttle.warning("poll", "cannot see how awaited sagas stand: %s", error)
        for saga_id in ids:
            for watch in self._watches.get(saga_id, ()):
                watch.put_off(self._longest)

    async def _poll(self, ids: list[str]) -> None:
        summaries = await self._store.summaries(ids)
        changed = [
            saga_id
            for saga_id, summary in summaries.items()
            if any(watch.wants(summary) for watch in self._watches.get(saga_id, ()))
        ]
        if changed:
            for stored in await load_readable(self._store, changed):
                self._see(stored)

    def _see(self, stored: Stored) -> None:
        for watch in self._watches.get(stored.state.id, ()):
            watch.tell(stored.state, at_rest=_is_at_rest(stored))


def _is_at_rest(stored: Stored) -> bool:
    return stored.state.status.is_terminal and not stored.inbox
