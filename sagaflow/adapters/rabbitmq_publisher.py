"""Handing messages to RabbitMQ, each confirmed by it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractExchange

from ..errors import BrokerUnavailable, ConfigurationError, Unroutable
from ..ports.broker import Hint, Lane
from ..throttle import Throttle
from . import rabbitmq_wire as wire
from .rabbitmq_access import Access, Session
from .rabbitmq_errors import answering
from .rabbitmq_link import Link
from .rabbitmq_topology import Topology, declare

logger: logging.Logger = logging.getLogger("sagaflow.rabbitmq")

_BATCH: Final = 500
"""How many messages may wait for their confirmation at once: the timeout is each batch's, not that of all."""


class Publisher:
    """Publishes over a connection of its own: RabbitMQ may block it, and consumers must not feel that.

    A lane's queue is declared before the first message to it, so that nothing is lost when no worker was there yet.
    """

    def __init__(self, access: Access, topology: Topology, timeout: float) -> None:
        self._topology = topology
        self._timeout = timeout
        self._link = Link(access, "publishing", prepare=self._prepare, lost=self._lost)
        self._channel: AbstractChannel | None = None
        self._hints: AbstractExchange | None = None
        self._dead: AbstractExchange | None = None
        self._declared: set[Lane | None] = set()  # None stands for what all lanes share
        self._declaring = asyncio.Lock()
        self._blocked_since: float | None = None  # by the loop's clock, as far as anybody has wanted to publish
        self._complaint = ""
        self._strict = True
        self._throttle = Throttle(logger)

    async def open(self) -> None:
        """Begin to connect.

        Raises:
            ConfigurationError: RabbitMQ says at once that it will never let us publish.
        """
        self._strict, self._declaring = True, asyncio.Lock()
        await self._link.start()
        self._strict = False

    async def close(self) -> None:
        """Publish no more."""
        await self._link.close()

    @property
    def health(self) -> str:
        """``ok``, or what is wrong."""
        health = self._link.health
        return self._complaint if health == "ok" and self._complaint else health

    async def session(self) -> Session:
        """The connection, for requests of operators.

        Raises:
            BrokerUnavailable: there is none.
        """
        return await self._link.session()

    async def publish(self, hints: Sequence[Hint]) -> None:
        """Publish hints; returns when each is confirmed.

        Raises:
            BrokerUnavailable: at least one was not confirmed in time.
            Unroutable: at least one has no queue.
        """
        try:
            ready = [(hint.lane, self._topology.queue(hint.lane), wire.encode(hint)) for hint in hints]
        except ValueError as error:  # ConfigurationError is one too
            raise Unroutable(f"a hint cannot be sent: {error}") from error
        for start in range(0, len(ready), _BATCH):
            await self._publish(ready[start : start + _BATCH])

    async def bury(self, body: bytes, reason: str, queue: str) -> None:
        """Put a message that was in ``queue`` aside; it may be there twice if it was not confirmed and is tried again.

        Raises:
            BrokerUnavailable: this was not confirmed in time.
        """
        await self._publish([(None, "", wire.dead_letter(body, reason, queue))])

    async def _publish(self, messages: Sequence[tuple[Lane | None, str, Message]]) -> None:
        session = await self._link.session()
        async with answering("take a message", self._patience(session)):
            # While we are blocked RabbitMQ would not read what we send, and take it in long after we have given up.
            await session.ready()
            await self._ensure(session, {lane for lane, _, _ in messages})
            if len(messages) == 1:  # spares the task that gather would make
                await self._publish_one(*messages[0])
                return
            outcomes = await asyncio.gather(
                *(self._publish_one(lane, key, message) for lane, key, message in messages), return_exceptions=True
            )
        errors = [outcome for outcome in outcomes if outcome is not None]
        if errors:
            # Not to have a queue is the milder fault.
            raise min(errors, key=lambda error: isinstance(error, Unroutable))

    def _patience(self, session: Session) -> float:
        """Seconds that messages may take. Where RabbitMQ has us blocked all of them wait once, not each anew."""
        if not session.is_blocked:
            self._blocked_since = None
            return self._timeout
        now = asyncio.get_running_loop().time()
        if self._blocked_since is None:
            self._blocked_since = now
        left = self._blocked_since + self._timeout - now
        if left <= 0:
            raise BrokerUnavailable("RabbitMQ could not take a message: it is low on memory or disk, and blocks us")
        return left

    async def _publish_one(self, lane: Lane | None, key: str, message: Message) -> None:
        exchange = self._dead if lane is None else self._hints
        if exchange is None:
            raise BrokerUnavailable("RabbitMQ could not take a message: the connection was lost")
        try:
            async with answering("take a message", self._timeout):
                await exchange.publish(message, key, mandatory=True)
        except Unroutable:
            self._declared.discard(lane)  # it was there, and somebody has deleted it
            raise
        except BrokerUnavailable as error:
            if self._channel is not None and self._channel.is_closed:
                self._link.replace(str(error))  # whoever publishes next waits for the new one
            raise

    async def _ensure(self, session: Session, lanes: set[Lane | None]) -> None:
        if lanes <= self._declared:
            return
        async with self._declaring:
            missing = lanes - self._declared
            if missing:
                self._heed(await declare(session.connection, self._topology, [lane for lane in missing if lane]))
                self._declared |= missing

    async def _prepare(self, session: Session) -> None:
        self._declared.clear()
        self._complaint = ""
        complaints = await declare(session.connection, self._topology, ())
        if complaints and self._strict:
            raise ConfigurationError("; ".join(complaints))
        self._heed(complaints)
        self._declared.add(None)
        channel = session.connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        await session.watch(channel)
        self._channel = channel
        self._hints = await channel.get_exchange(self._topology.exchange, ensure=False)
        self._dead = await channel.get_exchange(self._topology.dead_exchange, ensure=False)

    def _heed(self, complaints: Sequence[str]) -> None:
        # What is there may well serve, so publishing goes on; if it does not, messages come back as unroutable.
        for complaint in complaints:
            self._complaint = complaint
            self._throttle.log(logging.ERROR, complaint, complaint)

    def _lost(self) -> None:
        self._channel = self._hints = self._dead = None
