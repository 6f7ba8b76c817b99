"""Who is alive: this worker's heartbeat, and its judgement of the others.

The beat comes from a thread of its own, so that a handler that blocks the event loop is seen as that, and not as the
death of the worker. Death is one recorded fact: whoever saw a beat stand still for ``death_after`` of its own
monotonic time, while its own reads succeeded all the while, records it; only then are claims taken over.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator

from ..errors import StoreUnavailable
from ..ports import Beat, Heart, Store
from ..ports.clock import Clock
from ..throttle import Throttle
from .machine import Beside, Machine
from .settings import Settings

logger: logging.Logger = logging.getLogger("sagaflow.liveness")

_LAG = 2.0  # seconds for which the event loop may be silent before its stack is logged
_FRAMES = 10  # of that stack, the innermost: what lies further out is the event loop itself


class Judge:
    """Sees who stands still. Pure but for its memory; times are monotonic seconds of the caller."""

    def __init__(self, *, death_after: float, longest_gap: float) -> None:
        self._death_after = death_after
        self._longest_gap = longest_gap
        self._seen: dict[str, tuple[int, float]] = {}
        self._last_look = float("-inf")

    def look(self, others: Beat, at: float, answered_at: float) -> list[tuple[str, int]]:
        """The workers, each with its beat count, that have stood still for too long under unbroken watch.

        ``at`` is when the store was asked. What it took to answer, frozen perhaps, nobody has watched.
        """
        since = answered_at
        if at - self._last_look > self._longest_gap:
            self._seen.clear()  # nobody was watching: in a failover all beats stand still at once
            if self._last_look > float("-inf"):
                since += self._longest_gap  # the others may see a little later that the store is back
        self._last_look = at
        self._seen = {
            worker: self._seen[worker] if self._seen.get(worker, (None,))[0] == beats else (beats, since)
            for worker, beats in others.others.items()
        }
        return [(worker, beats) for worker, (beats, since) in self._seen.items() if at - since >= self._death_after]


class Liveness:
    """One engine's life in the store, incarnation after incarnation."""

    def __init__(
        self, store: Store, clock: Clock, settings: Settings, machine: Machine, on_death: Callable[[str], None]
    ) -> None:
        """``on_death`` is called in the event loop with an incarnation that was judged dead, after the next began."""
        self._store = store
        self._clock = clock
        self._settings = settings
        self._machine = machine
        self._on_death = on_death
        self._judge = Judge(
            death_after=settings.death_after.total_seconds(),
            longest_gap=settings.death_after.total_seconds() / 2,
        )
        self._assured_for = settings.death_after.total_seconds() * 0.8
        self._throttle = Throttle(logger)
        self._halted = False
        self._beating: Beside | None = None
        self._confirmed_at = float("-inf")
        self._confirmed = asyncio.Event()
        self._asked_at: float | None = None  # when the loop was asked for a sign of life that it has not given yet
        self._lag_reported = False
        self.incarnation: str = machine.new_id()
        self.ended: asyncio.Future[None]
        """Done when the beat has ended: with an exception, if that was not asked for. Set by ``start``."""

    async def start(self) -> None:
        """Register, and begin to beat.

        Raises:
            StoreUnavailable: the first beat failed.
        """
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        registered: asyncio.Future[None] = self._loop.create_future()
        self.ended = self._loop.create_future()
        self._beating = self._machine.beside(self._beats(registered), "sagaflow-heart")
        await registered

    async def stop(self) -> None:
        """Record this worker's end, so that nobody waits to judge it; idempotent."""
        beating, self._beating = self._beating, None
        if beating is not None:
            self._halted = True
            beating.hasten()
            await beating.ended()

    @property
    def is_assured(self) -> bool:
        """Whether nobody can have judged this worker dead by now."""
        return self.age < self._assured_for

    @property
    def age(self) -> float:
        """Seconds since the beat that last succeeded began."""
        return self._clock.monotonic() - self._confirmed_at

    async def assured(self, incarnation: str) -> bool:
        """Wait until it is certain that ``incarnation`` is alive, or that it is not; a stopped worker may be dead."""
        while self.incarnation == incarnation:
            if self.is_assured:
                return True
            self._confirmed.clear()
            await self._confirmed.wait()
        return False

    # ------------------------------------------------------------------ beside the loop

    def _beats(self, registered: asyncio.Future[None]) -> Iterator[float]:
        try:
            heart = self._store.heart()
            try:
                self._beat(heart)
                self._in_loop(registered.set_result, None)
                yield from self._beat_until_halted(heart)
            finally:
                heart.close()
        except Exception as error:
            outcome = self.ended if registered.done() else registered
            self._in_loop(outcome.set_exception, error)
        else:
            self._in_loop(self.ended.set_result, None)

    def _beat_until_halted(self, heart: Heart) -> Iterator[float]:
        waited = 0.0
        while True:
            # In an outage a beat waits for the store; a pause after that would only keep work waiting when it is back.
            yield max(0.0, self._settings.beat_every.total_seconds() - waited)
            if self._halted:
                break
            self._watch_loop()
            began, waited = self._clock.monotonic(), 0.0
            try:
                self._beat(heart)
            except StoreUnavailable as error:
                self._throttle.warning("beat", "the heartbeat does not reach the store: %s", error)
                waited = self._clock.monotonic() - began
        try:
            heart.leave(self.incarnation)
        except StoreUnavailable as error:
            logger.warning("could not record this worker's end, so others will judge it: %s", error)

    def _beat(self, heart: Heart) -> None:
        incarnation = self.incarnation
        asked_at = self._clock.monotonic()
        beat = heart.beat(incarnation)
        answered_at = self._clock.monotonic()
        self._clock.observe(beat.now, asked_at, answered_at)
        if not beat.alive:
            logger.error("worker %s was judged dead; its handlers are cancelled and it begins anew", incarnation)
            self._confirmed_at = float("-inf")
            self.incarnation = self._machine.new_id()
            self._in_loop(self._died, incarnation)
            self._beat(heart)
            return
        self._confirmed_at = asked_at
        self._in_loop(self._confirmed.set)
        for worker, beats in self._judge.look(beat, asked_at, answered_at):
            if heart.declare_dead(worker, beats):
                logger.warning("worker %s is dead: its beat stood still; its work is taken over", worker)

    def _died(self, incarnation: str) -> None:
        self._confirmed.set()
        self._on_death(incarnation)

    def _watch_loop(self) -> None:
        asked_at = self._asked_at
        if asked_at is None:
            self._asked_at = self._clock.monotonic()
            self._in_loop(self._answer)
            return
        lag = self._clock.monotonic() - asked_at
        if lag >= _LAG and not self._lag_reported:
            self._lag_reported = True
            # The only way to another thread's stack; documented, if underscored.
            frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage]
            stack = "".join(traceback.format_stack(frame, _FRAMES)) if frame else "(no stack)"
            logger.warning(
                "the event loop has been blocked for %.1f s; call blocking code through asyncio.to_thread\n%s",
                lag,
                stack,
            )

    def _answer(self) -> None:
        self._asked_at = None
        self._lag_reported = False

    def _in_loop(self, call: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            self._halted = True  # the loop is closed: its engine was never stopped, and nothing is left to keep alive
