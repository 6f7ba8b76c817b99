"""What RabbitMQ is told of the messages of one channel: acknowledgements of one moment go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aio_pika.abc import AbstractIncomingMessage

from ..batching import Batches
from .rabbitmq_errors import answering

ANSWER_TIMEOUT: Final = 5.0
"""Seconds that RabbitMQ gets for one answer."""


class Answers:
    """Acknowledges messages, or gives them back."""

    def __init__(self) -> None:
        self._unanswered: dict[int, None] = {}  # delivery tags, which grow: in order
        self._acks: Batches[AbstractIncomingMessage, None] = Batches(self._ack_all, "acknowledgements")

    def expect(self, message: AbstractIncomingMessage) -> None:
        """A message is here; nothing that is said of later ones is to pass for an answer to it."""
        self._unanswered[_tag(message)] = None

    async def ack(self, message: AbstractIncomingMessage) -> None:
        """It is done with. Whoever is cancelled meanwhile has said so all the same.

        Raises:
            BrokerUnavailable: RabbitMQ does not take the answer.
        """
        await self._acks.submit(message)

    async def give_back(self, message: AbstractIncomingMessage) -> None:
        """It is to be delivered again.

        Raises:
            BrokerUnavailable: as for ``ack``.
        """
        self._unanswered.pop(_tag(message), None)
        async with answering("take a message back", ANSWER_TIMEOUT):
            await message.nack(requeue=True)

    async def _ack_all(self, messages: Sequence[AbstractIncomingMessage]) -> list[Exception | None]:
        tags = {_tag(message): message for message in messages}
        first: list[int] = []  # of all that are unanswered: one acknowledgement is enough for them
        for tag in self._unanswered:
            if tag not in tags:
                break
            first.append(tag)
        for tag in tags:
            self._unanswered.pop(tag, None)
        async with answering("take acknowledgements", ANSWER_TIMEOUT):
            if first:
                await tags[first[-1]].ack(multiple=True)
            for tag in tags.keys() - first:
                await tags[tag].ack()
        return [None] * len(messages)


def _tag(message: AbstractIncomingMessage) -> int:
    assert message.delivery_tag is not None, "it was delivered to a consumer"
    return message.delivery_tag
