"""A worker's share of some lanes of a RabbitMQ.

Hints are fetched ahead into a buffer. Two rules shape this file:

* Only the keeper, one task, talks to RabbitMQ about consuming, so that pausing, resuming, a deleted queue and a new
  connection cannot get in each other's way.
* What lies unreceived for a second is given back, *after* consuming was stopped: RabbitMQ would else send it here again
  at once. Consuming resumes when somebody waits in ``receive``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from msgspec import Struct
from pamqp.commands import Basic

from ..errors import BrokerUnavailable, ConfigurationError
from ..ports.broker import Hint, Lane
from ..tasks import end
from ..throttle import Throttle
from . import rabbitmq_wire as wire
from .rabbitmq_access import CLOSE_TIMEOUT, Access, Session
from .rabbitmq_consumers import Consumers, Sickbay
from .rabbitmq_link import Link
from .rabbitmq_publisher import Publisher
from .rabbitmq_topology import Topology, declare

logger: logging.Logger = logging.getLogger("sagaflow.rabbitmq")

SHELF_LIFE: Final = 1.0
"""Seconds that a hint may lie here without being received."""

_BURIAL_PAUSE: Final = 1.0


class Fetched(Struct, frozen=True, eq=False):
    """A message that is here, and where it came from."""

    message: AbstractIncomingMessage
    source: Consumers
    queue: str


class RabbitSubscription:
    """See ``Subscription``. It has a connection of its own; losing it gives everything back."""

    def __init__(
        self,
        access: Access,
        topology: Topology,
        publisher: Publisher,
        lanes: Sequence[Lane],
        *,
        prefetch: int,
        closed: Callable[[RabbitSubscription], None],
    ) -> None:
        self._topology = topology
        self._publisher = publisher
        self._lanes = topology.queues(lanes)
        self._prefetch = prefetch
        self._on_closed = closed
        self._link = Link(access, "consuming", prepare=self._prepare, lost=self._forget)
        self._consumers: Consumers | None = None  # of the connection that there is
        self._buffer: deque[tuple[float, Hint, Fetched]] = deque()  # with the time of arrival
        self._arrived = asyncio.Event()
        self._receivers = 0
        self._unsettled: set[RabbitDelivery] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._burials: set[asyncio.Task[None]] = set()
        self._poke = asyncio.Event()
        self._sickbay = Sickbay(self._poke.set)
        self._alarm: asyncio.TimerHandle | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._strict = True
        self._throttle = Throttle(logger)

    async def open(self) -> None:
        """Begin to connect and to declare.

        Raises:
            ConfigurationError: RabbitMQ says at once that it will never let us consume these lanes.
        """
        await self._link.start()
        self._strict = False
        self._keeper = asyncio.create_task(self._keep(), name="sagaflow: RabbitMQ, keeper")

    @property
    def health(self) -> str:
        """``ok``, or what is wrong."""
        health = self._link.health
        return str(self._sickbay) or health if health == "ok" else health

    async def receive(self) -> RabbitDelivery:
        """See ``Subscription``.

        Raises:
            BrokerUnavailable: the subscription is closed.
        """
        self._receivers += 1
        try:
            while not self._closed:
                # From here to the return nothing waits, so a cancellation cannot come between.
                if self._buffer and len(self._unsettled) < self._prefetch:
                    _, hint, fetched = self._buffer.popleft()
                    delivery = RabbitDelivery(self, fetched, hint)
                    self._unsettled.add(delivery)
                    return delivery
                if self._consumers is not None and not self._consumers.are_complete:
                    self._poke.set()
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            self._receivers -= 1
        raise BrokerUnavailable("the subscription is closed")

    async def close(self) -> None:
        """See ``Subscription``."""
        if not self._closed:
            self._closed = True
            self._arrived.set()
            self._poke.set()
            keeper = self._keeper
            if keeper is not None:
                _, left = await asyncio.wait({keeper}, timeout=CLOSE_TIMEOUT)
                await end(left, seconds=CLOSE_TIMEOUT)
        if not self._unsettled:
            await self.shut()

    async def shut(self) -> None:
        """Close it, and give back what is not yet settled too."""
        self._closed = True
        self._arrived.set()
        tasks = set(self._burials)
        if self._keeper is not None:
            tasks.add(self._keeper)
        await end(tasks, seconds=CLOSE_TIMEOUT)
        await self._link.close()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._settling:
            # Not cancelled, which their callers would take for a wish of ours: they end, for the connection has.
            await asyncio.wait(self._settling, timeout=CLOSE_TIMEOUT)
        self._on_closed(self)

    async def acknowledge(self, delivery: RabbitDelivery, fetched: Fetched) -> None:
        """The message of a delivery is done with, even if the caller is cancelled."""
        try:
            await self.answer(fetched, ack=True)
        finally:
            self._dismiss(delivery)
        if self._closed and not self._unsettled:
            await self.shut()

    async def settle(self, delivery: RabbitDelivery, act: Callable[[], Awaitable[None]]) -> None:
        """Do ``act``, which settles a delivery, to its end even if the caller is cancelled."""
        task = asyncio.create_task(self._settle(delivery, act), name="sagaflow: settling a hint")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)
        if self._closed and not self._unsettled:
            await self.shut()

    async def answer(self, fetched: Fetched, *, ack: bool) -> None:
        """Tell RabbitMQ what became of a message; nothing happens if its connection is gone."""
        if fetched.source is not self._consumers:
            return  # it is delivered again, and its number may be another message's by now
        answers = fetched.source.answers[fetched.queue]
        try:
            await (answers.ack(fetched.message) if ack else answers.give_back(fetched.message))
        except BrokerUnavailable as error:
            # Unanswered it would take up room for ever; with its connection it goes back.
            if fetched.source is self._consumers:
                self._link.replace(str(error))

    async def bury(self, fetched: Fetched, reason: str) -> None:
        """Put a message aside.

        Raises:
            BrokerUnavailable: that cannot be done now.
        """
        await self._publisher.bury(fetched.message.body, reason, fetched.queue)
        await self.answer(fetched, ack=True)

    async def _settle(self, delivery: RabbitDelivery, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        finally:
            self._dismiss(delivery)

    def _dismiss(self, delivery: RabbitDelivery) -> None:
        self._unsettled.discard(delivery)
        self._arrived.set()  # there may be room for one that waits

    async def _prepare(self, session: Session) -> None:
        complaints = await declare(session.connection, self._topology, self._lanes.values())
        if complaints and self._strict:
            raise ConfigurationError("; ".join(complaints))
        for complaint in complaints:
            self._throttle.log(logging.ERROR, complaint, complaint)
        channels = {queue: await self._channel(session) for queue in self._lanes}
        self._forget()
        self._consumers = Consumers(channels, self._sickbay, self._on_message)
        self._arrived.set()  # whoever waits in receive() asks for consumers

    async def _channel(self, session: Session) -> AbstractChannel:
        channel = session.connection.channel(publisher_confirms=False)
        await channel.initialize()
        await session.watch(channel)
        driver = await channel.get_underlay_channel()
        driver.on_consumer_cancel_callbacks.add(self._on_cancelled)
        await channel.set_qos(prefetch_count=max(1, self._prefetch // len(self._lanes)))
        return channel

    def _forget(self) -> None:
        # Of the last connection nothing here can be settled any more; RabbitMQ delivers it again.
        self._consumers = None
        self._buffer.clear()

    async def _keep(self) -> None:
        last = False
        while not last:
            await self._poke.wait()
            self._poke.clear()
            last = self._closed
            consumers = self._consumers
            if consumers is None:
                continue
            try:
                await self._serve(consumers)
            except BrokerUnavailable as error:
                if consumers is self._consumers:
                    self._link.replace(str(error))

    async def _serve(self, consumers: Consumers) -> None:
        if self._closed or self._is_stale():
            await consumers.stop()
            while self._buffer and consumers is self._consumers:
                _, _, fetched = self._buffer.popleft()
                await consumers.answers[fetched.queue].give_back(fetched.message)
        # A receiver that waits for room, and not for hints, would only make them go round.
        if not self._closed and self._receivers and len(self._unsettled) < self._prefetch:
            await consumers.start()

    def _is_stale(self) -> bool:
        return bool(self._buffer) and time.monotonic() - self._buffer[0][0] >= SHELF_LIFE

    async def _on_message(self, source: Consumers, queue: str, message: AbstractIncomingMessage) -> None:
        # This runs in a task of aio-pika, which is cancelled with the channel: nothing but bookkeeping happens here.
        if source is not self._consumers:
            return
        answers = source.answers[queue]
        answers.expect(message)
        try:
            hint = wire.decode(message.body)
            if hint.lane != self._lanes[queue]:
                raise wire.Garbage("it belongs to another lane than this queue's")
        except wire.Garbage as garbage:
            fetched = Fetched(message, source, queue)
            task = asyncio.create_task(self._dispose(fetched, f"no hint: {garbage}"), name="sagaflow: putting aside")
            self._burials.add(task)
            task.add_done_callback(self._burials.discard)
            return
        if self._closed:
            await answers.give_back(message)  # it came while consuming was being stopped
            return
        self._buffer.append((time.monotonic(), hint, Fetched(message, source, queue)))
        self._arrived.set()
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(SHELF_LIFE, self._on_alarm)

    def _on_alarm(self) -> None:
        self._alarm = None
        if not self._buffer:
            return
        left = self._buffer[0][0] + SHELF_LIFE - time.monotonic()
        if left <= 0:
            self._poke.set()
            left = SHELF_LIFE  # should one arrive while the keeper is at it
        self._alarm = asyncio.get_running_loop().call_later(left, self._on_alarm)

    def _on_cancelled(self, frame: Basic.Cancel) -> None:
        # RabbitMQ has ended a consumer: its queue was deleted, or its node is going. A new connection declares the
        # queue again; on the old channel RabbitMQ takes the new queue's messages for ones that it has delivered.
        if self._consumers is not None and self._consumers.have(frame.consumer_tag):
            self._link.replace("RabbitMQ has ended a consumer: was its queue deleted?")

    async def _dispose(self, fetched: Fetched, reason: str) -> None:
        """Put garbage aside, however long that takes: given back it would be here again at once, and go round."""
        self._throttle.log(logging.WARNING, reason, f"a message of queue {fetched.queue!r} is put aside: {reason}")
        while fetched.source is self._consumers:
            try:
                await self.bury(fetched, reason)
                return
            except BrokerUnavailable:
                await asyncio.sleep(_BURIAL_PAUSE)


class RabbitDelivery:
    """See ``Delivery``. Settled a second time, nothing happens."""

    def __init__(self, subscription: RabbitSubscription, fetched: Fetched, hint: Hint) -> None:
        self._subscription = subscription
        self._fetched = fetched
        self._hint = hint
        self._settled = False

    @property
    def hint(self) -> Hint:
        """What to look at."""
        return self._hint

    async def ack(self) -> None:
        """See ``Delivery``."""
        if not self._settled:
            self._settled = True
            await self._subscription.acknowledge(self, self._fetched)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        await self._settle(lambda: self._subscription.answer(self._fetched, ack=False))

    async def dead_letter(self, reason: str) -> None:
        """See ``Delivery``. If it cannot be put aside now, it goes back."""
        await self._settle(lambda: self._bury(reason))

    async def _bury(self, reason: str) -> None:
        try:
            await self._subscription.bury(self._fetched, reason)
        except BrokerUnavailable as error:
            logger.warning("hint %s cannot be put aside now and goes back: %s", self._hint.saga_id, error)
            await self._subscription.answer(self._fetched, ack=False)

    async def _settle(self, act: Callable[[], Awaitable[None]]) -> None:
        if not self._settled:
            self._settled = True
            await self._subscription.settle(self, act)
