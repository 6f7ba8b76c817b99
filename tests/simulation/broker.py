"""A broker on a server that loses, doubles, delays, reorders and forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from sagaflow.errors import BrokerUnavailable
from sagaflow.ports import Hint, Lane

from .network import Network, Unanswered
from .process import Process


class Exchange:
    """What the server has: hints that wait, and consumers that wait for them."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._world = network.world
        self._waiting: dict[Lane, list[Hint]] = {}
        self._consumers: list[RemoteSubscription] = []
        self.dead: list[tuple[Hint, str]] = []

    def put(self, hints: Sequence[Hint]) -> None:
        """Take hints in; bad weather spoils some."""
        chance, weather = self._world.random, self._network.weather.mishaps
        for hint in hints:
            if chance.random() < weather:
                fate = chance.choice(["lost", "doubled", "delayed"])
                self._world.fault("broker", f"a hint of {hint.saga_id} is {fate}")
                if fate != "lost":
                    self._world.after(chance.uniform(0, 10), partial(self._add, hint))
                if fate != "doubled":
                    continue
            self._add(hint)

    def _add(self, hint: Hint) -> None:
        waiting = self._waiting.setdefault(hint.lane, [])
        waiting.insert(self._world.random.randint(0, len(waiting)), hint)
        self.deal()

    def forget(self) -> None:
        """As when its disk is lost."""
        self._world.fault("broker", f"forgets {sum(map(len, self._waiting.values()))} hints")
        self._waiting.clear()

    def join(self, consumer: RemoteSubscription) -> None:
        self._consumers.append(consumer)

    def leave(self, consumer: RemoteSubscription) -> None:
        """A consumer is gone; what it had goes back."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            for hint in consumer.unsettled:
                self._add(hint)
            consumer.unsettled.clear()

    def deal(self) -> None:
        """Hand out what waits to those who are ready for it."""
        for consumer in [one for one in self._consumers if one.process.is_dead]:
            self.leave(consumer)
        for lane, hints in self._waiting.items():
            while hints:
                ready = [one for one in self._consumers if one.wants(lane)]
                if not ready:
                    break
                self._world.random.choice(ready).give(hints.pop(0))


class RemoteBroker:
    """The ``Broker`` of one process."""

    def __init__(self, process: Process, network: Network, exchange: Exchange) -> None:
        self._process = process
        self._network = network
        self._exchange = exchange

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def publish(self, hints: Sequence[Hint]) -> None:
        ordered = sorted(hints, key=lambda hint: (hint.saga_id, hint.lane.queue, hint.lane.direction))
        names = ", ".join(sorted({hint.saga_id for hint in ordered}))
        try:
            await self._network.call(self._process, f"publish {names}", partial(self._exchange.put, ordered))
        except Unanswered as error:
            raise BrokerUnavailable(str(error)) from None

    async def subscribe(self, lanes: Sequence[Lane], *, prefetch: int) -> RemoteSubscription:
        subscription = RemoteSubscription(self._process, self._network, self._exchange, lanes, prefetch)
        self._exchange.join(subscription)
        return subscription

    def reaches(self, lane: Lane) -> bool:
        return True

    @property
    def health(self) -> str:
        return "ok"


class RemoteSubscription:
    """See ``Subscription``: a hint is handed out only to who is asking for one."""

    def __init__(
        self, process: Process, network: Network, exchange: Exchange, lanes: Sequence[Lane], prefetch: int
    ) -> None:
        self.process = process
        self.unsettled: list[Hint] = []
        self._network = network
        self._exchange = exchange
        self._lanes = frozenset(lanes)
        self._prefetch = prefetch
        self._asked: asyncio.Future[Hint] | None = None

    def wants(self, lane: Lane) -> bool:
        is_asked = self._asked is not None and not self._asked.done()
        return is_asked and lane in self._lanes and len(self.unsettled) < self._prefetch

    def give(self, hint: Hint) -> None:
        """Send it; it arrives a little later, if the process is still there."""
        asked, self._asked = self._asked, None
        self.unsettled.append(hint)
        assert asked is not None
        arrive = partial(self.process.deliver, partial(self._take, asked, hint))
        self._network.world.after(self._network.latency(), arrive)

    def _take(self, asked: asyncio.Future[Hint], hint: Hint) -> None:
        if asked.done():
            self.settle(hint, back=True)
        else:
            asked.set_result(hint)

    def settle(self, hint: Hint, *, back: bool) -> None:
        if hint in self.unsettled:
            self.unsettled.remove(hint)
            if back:
                self._exchange.put([hint])
        self._exchange.deal()

    def bury(self, hint: Hint, reason: str) -> None:
        if hint in self.unsettled:
            self.unsettled.remove(hint)
            self._exchange.dead.append((hint, reason))

    async def receive(self) -> RemoteDelivery:
        self.process.check_alive()
        self._asked = self.process.loop.create_future()
        self._network.world.after(0, self._exchange.deal)
        return RemoteDelivery(self, await self._asked)

    async def settled(self, what: str, hint: Hint, act: Callable[[], None]) -> None:
        """Say what became of a hint; if that does not arrive, the connection breaks, and the hint comes again."""
        try:
            await self._network.call(self.process, f"{what} {hint.saga_id}", act)
        except Unanswered:
            self._network.world.after(1, partial(self.settle, hint, back=True))

    async def close(self) -> None:
        self.process.check_alive()
        self._exchange.leave(self)


class RemoteDelivery:
    """See ``Delivery``."""

    def __init__(self, subscription: RemoteSubscription, hint: Hint) -> None:
        self._subscription = subscription
        self.hint = hint

    async def ack(self) -> None:
        await self._settled("acknowledge", partial(self._subscription.settle, self.hint, back=False))

    async def requeue(self) -> None:
        await self._settled("requeue", partial(self._subscription.settle, self.hint, back=True))

    async def dead_letter(self, reason: str) -> None:
        await self._settled("dead-letter", partial(self._subscription.bury, self.hint, reason))

    async def _settled(self, what: str, act: Callable[[], None]) -> None:
        await self._subscription.settled(what, self.hint, act)
