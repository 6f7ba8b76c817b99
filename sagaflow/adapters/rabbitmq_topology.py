"""What a RabbitMQ must have for SagaFlow: the names, the properties, and their declaration."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPChannelError

from ..core.state import Direction
from ..errors import ConfigurationError
from ..ports.broker import Lane

_NAME_BYTES: Final = 255  # AMQP writes the length of a name in one byte

# RabbitMQ 4 gives a quorum queue a limit of 20 unless told otherwise, and drops what reaches it. Whoever looks at the
# dead letters gives them back each time, so they need room. (RabbitMQ 3 does not know "no limit".)
_DEAD_LETTER_DELIVERIES: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The names and properties of everything that SagaFlow declares on a RabbitMQ.

    Each lane (a logical queue, in one direction) has a queue of its own, bound to one direct exchange by the queue's
    name. What cannot be delivered goes to one dead-letter queue. All of it is durable.

    Args:
        exchange: the exchange that hints are published to.
        step_queue: the queue for the steps of a logical queue; ``{queue}`` stands for its name, ``{exchange}`` for
            the exchange's.
        compensation_queue: the same for compensations.
        dead_letter_exchange: takes what is put aside; may contain ``{exchange}``.
        dead_letter_queue: keeps what is put aside; may contain ``{exchange}``.
        quorum: replicated quorum queues; False declares durable classic ones, which RabbitMQ does not replicate, and
            which have no limit of deliveries.
        delivery_limit: how often a hint is given back and delivered again until it is put aside.

    Raises:
        ConfigurationError: a name is empty, too long, or would be shared.

    Example:
        >>> from sagaflow.core.state import Direction
        >>> Topology(step_queue="orders.{queue}.do").queue(Lane("default", Direction.FORWARD))
        'orders.default.do'
    """

    exchange: str = "sagaflow"
    step_queue: str = "{exchange}.{queue}.steps"
    compensation_queue: str = "{exchange}.{queue}.compensations"
    dead_letter_exchange: str = "{exchange}.dead"
    dead_letter_queue: str = "{exchange}.dead"
    quorum: bool = True
    delivery_limit: int = 1_000

    def __post_init__(self) -> None:
        _check("exchange", self.exchange, allowed=())
        _check("step_queue", self.step_queue, allowed=("queue", "exchange"))
        _check("compensation_queue", self.compensation_queue, allowed=("queue", "exchange"))
        _check("dead_letter_exchange", self.dead_letter_exchange, allowed=("exchange",))
        _check("dead_letter_queue", self.dead_letter_queue, allowed=("exchange",))
        for field, pattern in (
            ("step_queue", self.step_queue),
            ("compensation_queue", self.compensation_queue),
        ):
            if "{queue}" not in pattern:
                raise ConfigurationError(
                    f"Topology({field}={pattern!r}): all logical queues would share it; write {{queue}} where the "
                    f"name of the logical queue goes"
                )
        if self.step_queue == self.compensation_queue:
            raise ConfigurationError(
                f"Topology(step_queue={self.step_queue!r}): compensations would share it; give them their own"
            )
        if self.dead_exchange == self.exchange:
            raise ConfigurationError(
                f"Topology(dead_letter_exchange={self.dead_letter_exchange!r}): hints would share it; give dead "
                f"letters an exchange of their own"
            )
        if self.delivery_limit < 1:
            raise ConfigurationError(f"Topology(delivery_limit={self.delivery_limit}): write at least 1")

    def queue(self, lane: Lane) -> str:
        """The name of a lane's queue.

        Raises:
            ConfigurationError: RabbitMQ can have no queue of that name, or it is the dead-letter queue's.
        """
        pattern = self.step_queue if lane.direction is Direction.FORWARD else self.compensation_queue
        name = self._filled(pattern).replace("{queue}", lane.queue)
        _check_name(f"the logical queue {lane.queue!r}", name)
        if name == self.dead_queue:
            raise ConfigurationError(
                f"the logical queue {lane.queue!r} would have the queue {name!r}, which keeps the dead letters: rename "
                f"one of them"
            )
        return name

    def queues(self, lanes: Iterable[Lane]) -> dict[str, Lane]:
        """The lanes by the names of their queues.

        Raises:
            ConfigurationError: as for ``queue``, or two lanes would share one.
        """
        found: dict[str, Lane] = {}
        for lane in lanes:
            name = self.queue(lane)
            if found.setdefault(name, lane) != lane:
                raise ConfigurationError(
                    f"the logical queues {found[name].queue!r} and {lane.queue!r} would share the queue {name!r}: "
                    f"rename one, or choose patterns in Topology that end differently"
                )
        return found

    @property
    def dead_exchange(self) -> str:
        """The name of the dead-letter exchange."""
        return self._filled(self.dead_letter_exchange)

    @property
    def dead_queue(self) -> str:
        """The name of the dead-letter queue."""
        return self._filled(self.dead_letter_queue)

    def _filled(self, pattern: str) -> str:
        return pattern.replace("{exchange}", self.exchange)


async def declare(connection: AbstractConnection, topology: Topology, lanes: Iterable[Lane]) -> list[str]:
    """Declare what all lanes share, and these lanes. Returns what RabbitMQ refused, as texts that say what to do.

    A refusal (the thing exists with other properties, or the user may not declare it) does not keep the rest from being
    declared, and the thing may well serve as it is.
    """
    complaints: list[str] = []
    todo = list(_declarations(topology, lanes))
    while todo:
        # A refusal closes the channel that it came on, and everything else that is under way there.
        async with throwaway_channel(connection) as channel:
            while todo:
                what, act = todo.pop(0)
                try:
                    await act(channel)
                except AMQPChannelError as error:
                    complaints.append(
                        f"RabbitMQ refuses to declare {what}: {error}. If it exists with other properties, delete it "
                        f"(a queue once it is empty) or choose another name in Topology; if permissions are missing, "
                        f"grant this user configure, write and read on it"
                    )
                    break
    return complaints


@asynccontextmanager
async def throwaway_channel(connection: AbstractConnection) -> AsyncGenerator[AbstractChannel]:
    """A channel that nothing else uses, for requests that RabbitMQ may answer by closing it."""
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize()
    try:
        yield channel
    finally:
        await channel.close()


_Act = Callable[[AbstractChannel], Awaitable[object]]


def _declarations(topology: Topology, lanes: Iterable[Lane]) -> Iterator[tuple[str, _Act]]:
    exchange, dead_exchange, dead_queue = topology.exchange, topology.dead_exchange, topology.dead_queue
    yield (
        f"the exchange {exchange!r}",
        lambda channel: channel.declare_exchange(exchange, "direct", durable=True),
    )
    yield (
        f"the exchange {dead_exchange!r}",
        # A fanout: what RabbitMQ itself puts aside keeps the routing key that it had, which says where it was.
        lambda channel: channel.declare_exchange(dead_exchange, "fanout", durable=True),
    )
    yield from _queue(dead_queue, dead_exchange, _dead_letter_arguments(topology))
    for lane in lanes:
        yield from _queue(topology.queue(lane), exchange, _lane_arguments(topology))


def _queue(name: str, exchange: str, arguments: dict[str, str | int]) -> Iterator[tuple[str, _Act]]:
    async def declare_queue(channel: AbstractChannel) -> None:
        await channel.declare_queue(name, durable=True, arguments={**arguments})

    async def bind(channel: AbstractChannel) -> None:
        await (await channel.get_queue(name, ensure=False)).bind(exchange, name)

    yield f"the queue {name!r}", declare_queue
    yield f"the binding of queue {name!r} to exchange {exchange!r}", bind


def _lane_arguments(topology: Topology) -> dict[str, str | int]:
    if not topology.quorum:
        return {"x-dead-letter-exchange": topology.dead_exchange}
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": topology.delivery_limit,
        # At least once: a hint leaves its queue when the dead-letter queue has it. That asks for reject-publish.
        "x-dead-letter-exchange": topology.dead_exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _dead_letter_arguments(topology: Topology) -> dict[str, str | int]:
    return {"x-queue-type": "quorum", "x-delivery-limit": _DEAD_LETTER_DELIVERIES} if topology.quorum else {}


def _check(field: str, pattern: str, *, allowed: tuple[str, ...]) -> None:
    for placeholder in re.findall(r"\{(.*?)\}", pattern):
        if placeholder not in allowed:
            can = " or ".join(f"{{{name}}}" for name in allowed) or "no placeholder"
            raise ConfigurationError(
                f"Topology({field}={pattern!r}): {{{placeholder}}} has no meaning here; write {can}"
            )
    _check_name(f"Topology({field})", pattern)


def _check_name(whose: str, name: str) -> None:
    if not name or name.startswith("amq."):
        raise ConfigurationError(f"{whose}: {name!r} is no name that RabbitMQ gives away; choose another")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"{whose}: {name!r} is no text that can be sent; choose another name") from None
    if size > _NAME_BYTES:
        raise ConfigurationError(f"{whose}: {name!r} has {size} bytes; RabbitMQ allows {_NAME_BYTES}")
