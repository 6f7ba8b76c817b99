"""Hints within one process: no server, nothing durable."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from ..errors import BrokerUnavailable
from ..ports.broker import Hint, Lane
from .dead_letter import DeadLetter

HINT_LIMIT: Final = 100_000
"""Hints of one lane that wait; older ones are forgotten, and left to the sweepers.

A process that only starts sagas, and leaves the work to others, has nobody who takes them.
"""

DEAD_LETTER_LIMIT: Final = 1_000
"""Dead letters that are kept; older ones are forgotten."""


class MemoryBroker:
    """A ``Broker`` for the engines of one process and one event loop.

    Engines may share it: each opens and closes it, and it is closed with the last of them. A hint that waits already is
    not queued a second time.

    Example:
        >>> MemoryBroker()
        <MemoryBroker: 0 hints wait>
    """

    def __init__(self) -> None:
        self._queues = _Queues()
        self._subscriptions: set[MemorySubscription] = set()
        self._opened = 0

    def __repr__(self) -> str:
        return f"<MemoryBroker: {self._queues.size} hints wait>"

    def peer(self) -> MemoryBroker:
        """Another broker on the same queues, opened and closed by itself, as a second process would have it."""
        peer = MemoryBroker()
        peer._queues = self._queues
        return peer

    async def open(self) -> None:
        """See ``Broker``."""
        self._opened += 1

    async def close(self) -> None:
        """See ``Broker``. What was received and not settled goes back."""
        self._opened = max(0, self._opened - 1)
        if not self._opened:
            for subscription in list(self._subscriptions):
                subscription.shut()

    async def publish(self, hints: Sequence[Hint]) -> None:
        """See ``Broker``."""
        self._check_open()
        for hint in hints:
            self._queues.put(hint)

    async def subscribe(self, lanes: Sequence[Lane], *, prefetch: int) -> MemorySubscription:
        """See ``Broker``. Nothing is fetched ahead.

        Raises:
            BrokerUnavailable: this is not open.
            ValueError: there is no lane, or ``prefetch`` is less than one.
        """
        self._check_open()
        if not lanes or prefetch < 1:
            raise ValueError(f"subscribe({lanes!r}, prefetch={prefetch}): give at least one lane and room for one hint")
        subscription = MemorySubscription(self._queues, self._subscriptions, tuple(lanes), prefetch)
        self._subscriptions.add(subscription)
        return subscription

    def reaches(self, lane: Lane) -> bool:
        """See ``Broker``."""
        return self._queues.are_listened_to(lane)

    @property
    def health(self) -> str:
        """See ``Broker``."""
        return "ok" if self._opened else "closed"

    async def depth(self, lane: Lane) -> int:
        """How many hints of a lane wait."""
        return len(self._queues.waiting(lane))

    async def dead_letter_depth(self) -> int:
        """How many dead letters there are."""
        return len(self._queues.dead)

    async def purge(self, lane: Lane) -> int:
        """Throw away the waiting hints of a lane, and return how many there were."""
        waiting = self._queues.waiting(lane)
        count = len(waiting)
        waiting.clear()
        return count

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Up to ``limit`` dead letters, the oldest first."""
        return list(self._queues.dead)[:limit]

    def _check_open(self) -> None:
        if not self._opened:
            raise BrokerUnavailable("the broker is not open")


class _Queues:
    """What waits, by lane and without repetition, and who is to be woken when something comes."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, dict[Hint, None]] = {}  # a dict keeps the order, and each key once
        self._listeners: dict[Lane, set[asyncio.Event]] = {}
        self.dead: deque[DeadLetter] = deque(maxlen=DEAD_LETTER_LIMIT)

    @property
    def size(self) -> int:
        return sum(map(len, self._waiting.values()))

    def waiting(self, lane: Lane) -> dict[Hint, None]:
        return self._waiting.setdefault(lane, {})

    def put(self, hint: Hint) -> None:
        waiting = self.waiting(hint.lane)
        waiting[hint] = None
        if len(waiting) > HINT_LIMIT:
            del waiting[next(iter(waiting))]
        for listener in self._listeners.get(hint.lane, ()):
            listener.set()

    def take(self, lanes: Iterator[Lane]) -> Hint | None:
        for lane in lanes:
            waiting = self.waiting(lane)
            if waiting:
                hint = next(iter(waiting))
                del waiting[hint]
                return hint
        return None

    def are_listened_to(self, lane: Lane) -> bool:
        return bool(self._listeners.get(lane))

    def listen(self, lanes: Sequence[Lane], event: asyncio.Event) -> None:
        for lane in lanes:
            self._listeners.setdefault(lane, set()).add(event)

    def leave(self, lanes: Sequence[Lane], event: asyncio.Event) -> None:
        for lane in lanes:
            self._listeners.get(lane, set[asyncio.Event]()).discard(event)


class MemorySubscription:
    """See ``Subscription``."""

    def __init__(
        self, queues: _Queues, siblings: set[MemorySubscription], lanes: tuple[Lane, ...], prefetch: int
    ) -> None:
        self._queues = queues
        self._siblings = siblings
        self._lanes = deque(lanes)
        self._prefetch = prefetch
        self._unsettled: set[MemoryDelivery] = set()
        self._news = asyncio.Event()
        self._closed = False
        queues.listen(lanes, self._news)

    async def receive(self) -> MemoryDelivery:
        """See ``Subscription``.

        Raises:
            BrokerUnavailable: the subscription is closed.
        """
        while not self._closed:
            # From here to the return nothing waits, so a cancellation cannot come between.
            if len(self._unsettled) < self._prefetch and (hint := self._queues.take(iter(self._lanes))):
                self._lanes.rotate(-1)  # so that a busy lane does not starve the others
                delivery = MemoryDelivery(self, hint)
                self._unsettled.add(delivery)
                return delivery
            self._news.clear()
            await self._news.wait()
        raise BrokerUnavailable("the subscription is closed")

    async def close(self) -> None:
        """See ``Subscription``."""
        self._closed = True
        self._news.set()
        self._queues.leave(self._lanes, self._news)
        if not self._unsettled:
            self._siblings.discard(self)

    def shut(self) -> None:
        """Close it, and give back what is not yet settled too."""
        self._closed = True
        self._news.set()
        self._queues.leave(self._lanes, self._news)
        self._siblings.discard(self)
        for delivery in list(self._unsettled):
            self.settle(delivery, back=True)

    def settle(self, delivery: MemoryDelivery, *, back: bool = False, reason: str | None = None) -> None:
        """Settle a delivery; a second time, nothing happens."""
        if delivery not in self._unsettled:
            return
        self._unsettled.remove(delivery)
        self._news.set()  # there is room for one that waits
        if back:
            self._queues.put(delivery.hint)
        elif reason is not None:
            self._queues.dead.append(DeadLetter(reason, delivery.hint.lane.queue, delivery.hint, time.time()))
        if self._closed and not self._unsettled:
            self._siblings.discard(self)


class MemoryDelivery:
    """See ``Delivery``. Settled a second time, nothing happens."""

    def __init__(self, subscription: MemorySubscription, hint: Hint) -> None:
        self._subscription = subscription
        self._hint = hint

    @property
    def hint(self) -> Hint:
        """What to look at."""
        return self._hint

    async def ack(self) -> None:
        """See ``Delivery``."""
        self._subscription.settle(self)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        self._subscription.settle(self, back=True)

    async def dead_letter(self, reason: str) -> None:
        """See ``Delivery``."""
        self._subscription.settle(self, reason=reason)
