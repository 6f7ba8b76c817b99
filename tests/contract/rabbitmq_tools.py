"""What the tests of the RabbitMQ adapter share: a plain aio-pika beside it, and waiting for what must come."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity

from sagaflow.adapters.rabbitmq import Topology
from sagaflow.adapters.rabbitmq_subscription import RabbitDelivery, RabbitSubscription
from sagaflow.core.state import Direction
from sagaflow.ports.broker import Lane

STEPS = Lane("default", Direction.FORWARD)
COMPENSATIONS = Lane("default", Direction.UNDO)


def topology(prefix: str, **changes: object) -> Topology:
    """Names that no other test uses."""
    names: dict[str, object] = {
        "exchange": prefix,
        "step_queue": "{exchange}.{queue}.steps",
        "compensation_queue": "{exchange}.{queue}.compensations",
    }
    return Topology(**(names | changes))  # type: ignore[arg-type]  # checked by the tests that give them


@asynccontextmanager
async def plain_channel(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel of an aio-pika that knows nothing of SagaFlow."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        yield channel


async def exists(url: str, queue: str) -> bool:
    """Whether RabbitMQ has a queue of that name."""
    async with plain_channel(url) as channel:
        try:
            await channel.get_queue(queue)
        except ChannelNotFoundEntity:
            return False
        return True


async def receive(subscription: RabbitSubscription, seconds: float = 20.0) -> RabbitDelivery:
    """The next delivery, which must come."""
    return await asyncio.wait_for(subscription.receive(), seconds)


async def until(what: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so, which must come about."""
    end = time.monotonic() + seconds
    while True:
        found = what()
        if await found if isinstance(found, Awaitable) else found:
            return
        assert time.monotonic() < end, f"this did not come about in {seconds:g} s"
        await asyncio.sleep(0.05)
