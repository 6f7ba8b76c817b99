"""Hints over RabbitMQ, by aio-pika."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from ..errors import BrokerUnavailable, ConfigurationError
from ..ports.broker import Hint, Lane
from ..ports.diagnosis import Diagnosis
from . import rabbitmq_diagnosis as diagnosis
from . import rabbitmq_inspection as inspection
from .dead_letter import DeadLetter
from .rabbitmq_access import Access
from .rabbitmq_errors import answering
from .rabbitmq_publisher import Publisher
from .rabbitmq_subscription import RabbitSubscription
from .rabbitmq_topology import Topology

__all__ = ["DeadLetter", "RabbitBroker", "Topology"]

_ASK_TIMEOUT: Final = 10.0
_SETTLE_TIMEOUT: Final = 300.0  # letters go one by one, and there may be many
_DEFAULT: Final = Topology()


class RabbitBroker:
    """A ``Broker`` over RabbitMQ, 3.10 or later.

    It declares what it needs, publishes with confirms, and comes back by itself when the broker does. It uses one
    connection for publishing and one for each subscription.

    Args:
        urls: ``amqp://user:password@host:5672/vhost`` or ``amqps://…``, or several of them, which are tried in turn
            (the hosts of one cluster).
        topology: the names and properties of exchanges and queues.
        name: how the connections are called in RabbitMQ's own tools.
        heartbeat: a dead connection is noticed within about three of them; 1 to 600 seconds. A ``heartbeat`` in the
            URL comes first.
        publish_timeout: how long RabbitMQ may take to confirm, for each 500 messages.
        ssl_context: for ``amqps://``; by default servers are verified by the system's certificates.

    Raises:
        ConfigurationError: one of these makes no sense.

    Example:
        >>> RabbitBroker("amqp://ada:secret@rabbit.example/shop", topology=Topology(exchange="orders"))
        <RabbitBroker: RabbitMQ at rabbit.example:5672/shop>
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        topology: Topology = _DEFAULT,
        name: str = "sagaflow",
        heartbeat: timedelta = timedelta(seconds=15),
        publish_timeout: timedelta = timedelta(seconds=5),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if publish_timeout <= timedelta(0):
            raise ConfigurationError(f"RabbitBroker(publish_timeout={publish_timeout}): write more than nothing")
        self._access = Access.of(urls, name=name, heartbeat=heartbeat, ssl_context=ssl_context)
        self._topology = topology
        self._publisher = Publisher(self._access, topology, publish_timeout.total_seconds())
        self._subscriptions: set[RabbitSubscription] = set()
        self._is_open = False

    def __repr__(self) -> str:
        return f"<RabbitBroker: {self._access!r}>"

    async def open(self) -> None:
        """See ``Broker``. Returns within about three seconds, connected or not."""
        if self._is_open:
            return
        await self._publisher.open()
        self._is_open = True

    async def close(self) -> None:
        """See ``Broker``. What was received and not settled goes back. Takes some seconds if RabbitMQ is frozen."""
        self._is_open = False
        # Those first: they may still have to put something aside.
        await asyncio.gather(*(self._close(subscription) for subscription in list(self._subscriptions)))
        await self._publisher.close()

    async def publish(self, hints: Sequence[Hint]) -> None:
        """See ``Broker``. A short interruption is waited for, up to two seconds; a long one is told at once."""
        if not self._is_open:
            raise BrokerUnavailable("the broker is not open")
        await self._publisher.publish(hints)

    async def subscribe(self, lanes: Sequence[Lane], *, prefetch: int) -> RabbitSubscription:
        """See ``Broker``. Each lane gets an equal part of ``prefetch``, but at least one.

        Raises:
            BrokerUnavailable: this is not open.
            ConfigurationError: RabbitMQ refuses to declare the queues of these lanes. If it is away this is not an
                error but logged when it is found out, and the queues are used as they are.
            ValueError: there is no lane, or ``prefetch`` is less than one.
        """
        if not self._is_open:
            raise BrokerUnavailable("the broker is not open")
        if not lanes or prefetch < 1:
            raise ValueError(f"subscribe({lanes!r}, prefetch={prefetch}): give at least one lane and room for one hint")
        subscription = RabbitSubscription(
            self._access,
            self._topology,
            self._publisher,
            lanes,
            prefetch=prefetch,
            closed=self._subscriptions.discard,
        )
        self._subscriptions.add(subscription)
        try:
            await subscription.open()
        except BaseException:
            await subscription.shut()
            raise
        return subscription

    def reaches(self, lane: Lane) -> bool:
        """See ``Broker``. Queues are kept, whoever there is to consume them."""
        return True

    @property
    def health(self) -> str:
        """See ``Broker``."""
        if not self._is_open:
            return "closed"
        found = (self._publisher.health, *(subscription.health for subscription in self._subscriptions))
        return next((health for health in found if health != "ok"), "ok")

    async def depth(self, lane: Lane) -> int:
        """How many hints of a lane wait at the broker; those that workers have fetched are not counted.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        return await self._depth(self._topology.queue(lane))

    async def dead_letter_depth(self) -> int:
        """How many dead letters there are.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        return await self._depth(self._topology.dead_queue)

    async def purge(self, lane: Lane) -> int:
        """Throw away the waiting hints of a lane, and return how many there were. Sagas heal from that by sweepers.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        session = await self._publisher.session()
        async with answering("purge a queue", _ASK_TIMEOUT):
            return await inspection.purge(session.connection, self._topology.queue(lane))

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Up to ``limit`` dead letters. They stay, but for a moment afterwards they are neither shown nor counted.

        Raises:
            BrokerUnavailable: it does not answer.
        """
        session = await self._publisher.session()
        async with answering("show dead letters", _ASK_TIMEOUT):
            return await inspection.peek(session.connection, self._topology.dead_queue, limit)

    async def requeue_dead_letters(self, wanted: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
        """Hand the hints of dead letters to workers once more; those that are no hints stay. Returns what was requeued.

        Raises:
            BrokerUnavailable: it does not answer; what was not requeued by then stays.
        """

        async def requeue(letter: DeadLetter) -> None:
            if letter.hint is not None:
                await self._publisher.publish([letter.hint])

        return await self._settle("requeue dead letters", lambda one: one.hint is not None and wanted(one), requeue)

    async def drop_dead_letters(self, wanted: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
        """Throw dead letters away. Sagas do not need them: sweepers find in the store what is to be done.

        Raises:
            BrokerUnavailable: it does not answer; what was not dropped by then stays.
        """

        async def drop(letter: DeadLetter) -> None: ...

        return await self._settle("drop dead letters", wanted, drop)

    async def diagnose_lanes(self, lanes: Sequence[Lane]) -> list[Diagnosis]:
        """See ``BrokerDiagnosis``."""
        session = await self._publisher.session()
        async with answering("say how it is", _ASK_TIMEOUT):
            return await diagnosis.diagnose(session.connection, self._topology, lanes)

    async def _settle(
        self, what: str, wanted: Callable[[DeadLetter], bool], act: Callable[[DeadLetter], Awaitable[None]]
    ) -> list[DeadLetter]:
        session = await self._publisher.session()
        async with answering(what, _SETTLE_TIMEOUT):
            return await inspection.settle(session.connection, self._topology.dead_queue, wanted, act)

    async def _depth(self, queue: str) -> int:
        session = await self._publisher.session()
        async with answering("count messages", _ASK_TIMEOUT):
            return await inspection.depth(session.connection, queue)

    @staticmethod
    async def _close(subscription: RabbitSubscription) -> None:
        await subscription.close()
        await subscription.shut()
