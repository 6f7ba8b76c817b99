"""The consumers of one connection: begun and ended together, but for queues that RabbitMQ does not serve."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from ..errors import BrokerUnavailable
from .rabbitmq_answers import ANSWER_TIMEOUT, Answers
from .rabbitmq_errors import answering

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

OnMessage = Callable[["Consumers", str, AbstractIncomingMessage], Awaitable[None]]


class Consumers:
    """One consumer for each of some queues, on a channel of its own.

    RabbitMQ does one thing at a time for a channel. One that asks for a queue without a leader hangs, and what it has
    fetched is not delivered again before it ends, even if its connection is long gone.
    """

    def __init__(self, channels: Mapping[str, AbstractChannel], sickbay: Sickbay, on_message: OnMessage) -> None:
        self._channels = channels
        self._sickbay = sickbay
        self._on_message = on_message
        self._tags: dict[str, str] = {}
        self.answers: Mapping[str, Answers] = {name: Answers() for name in channels}

    @property
    def are_complete(self) -> bool:
        """Whether each queue is consumed."""
        return len(self._tags) == len(self._channels)

    def have(self, tag: str | None) -> bool:
        """Whether it is one of these that has this tag."""
        return tag in self._tags.values()

    async def start(self) -> None:
        """Begin to consume what is not consumed yet.

        Raises:
            BrokerUnavailable: RabbitMQ does not let a queue be consumed; its channel is of no use any more.
        """
        for name, channel in self._channels.items():
            if name in self._tags or not self._sickbay.is_well(name):
                continue
            queue = await channel.get_queue(name, ensure=False)
            # Known before the answer, for RabbitMQ may end the consumer as soon as it has begun.
            tag = self._tags[name] = secrets.token_hex(8)
            try:
                async with answering(f"let queue {name!r} be consumed", ANSWER_TIMEOUT):
                    await queue.consume(partial(self._on_message, self, name), consumer_tag=tag)
            except BrokerUnavailable:
                # Or the broker itself is gone: then the short first pause does no harm.
                self._sickbay.admit(name)
                raise
            self._sickbay.discharge(name)

    async def stop(self) -> None:
        """Consume no more.

        Raises:
            BrokerUnavailable: RabbitMQ does not answer.
        """
        async with answering("end a consumer", ANSWER_TIMEOUT):
            for name, tag in list(self._tags.items()):
                queue = await self._channels[name].get_queue(name, ensure=False)
                await queue.cancel(tag)
                del self._tags[name]


class Sickbay:
    """Queues that RabbitMQ does not serve now: a quorum queue, say, most of whose nodes are away.

    To ask for one costs its connection; so the others are served meanwhile, and it is asked for again after pauses that
    double up to a minute.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pauses: dict[str, float] = {}
        self._until: dict[str, float] = {}

    def __str__(self) -> str:
        """What is wrong, or nothing."""
        return f"RabbitMQ does not serve {', '.join(sorted(self._pauses))}" if self._pauses else ""

    def is_well(self, queue: str) -> bool:
        """Whether to ask for it."""
        return time.monotonic() >= self._until.get(queue, 0.0)

    def admit(self, queue: str) -> None:
        """It was not served; ``wake`` is called when it is time to ask for it again."""
        pause = min(2 * self._pauses.get(queue, _FIRST_PAUSE / 2), _LONGEST_PAUSE)
        self._pauses[queue] = pause
        self._until[queue] = time.monotonic() + pause
        asyncio.get_running_loop().call_later(pause, self._wake)

    def discharge(self, queue: str) -> None:
        """It is served."""
        self._pauses.pop(queue, None)
        self._until.pop(queue, None)
