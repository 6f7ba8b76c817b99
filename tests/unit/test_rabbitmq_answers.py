"""Acknowledgements of one moment go together, and never pass for an answer to what is still being worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest
from aio_pika.abc import AbstractIncomingMessage

from sagaflow.adapters.rabbitmq_answers import Answers
from sagaflow.errors import BrokerUnavailable


class Message:
    """Writes down what RabbitMQ is told."""

    def __init__(self, tag: int, told: list[str]) -> None:
        self.delivery_tag = tag
        self._told = told

    async def ack(self, multiple: bool = False) -> None:
        if self.delivery_tag == 13:
            raise RuntimeError("the channel is closed")
        self._told.append(f"up to {self.delivery_tag}" if multiple else f"{self.delivery_tag}")

    async def nack(self, requeue: bool) -> None:
        self._told.append(f"{self.delivery_tag} back")


class Channel:
    """Messages that were delivered, and what was said of them."""

    def __init__(self, tags: Iterable[int]) -> None:
        self.told: list[str] = []
        self.answers = Answers()
        self.messages = {tag: cast("AbstractIncomingMessage", Message(tag, self.told)) for tag in tags}
        for message in self.messages.values():
            self.answers.expect(message)

    async def ack(self, *tags: int) -> list[str]:
        """What is told when these are acknowledged at the same moment."""
        self.told.clear()
        await asyncio.gather(*(self.answers.ack(self.messages[tag]) for tag in tags))
        return sorted(self.told)


async def test_the_first_of_all_that_are_unanswered_are_acknowledged_at_once() -> None:
    channel = Channel(range(1, 7))
    assert await channel.ack(3, 1, 2) == ["up to 3"]
    assert await channel.ack(4) == ["up to 4"]


async def test_what_is_still_being_worked_on_is_not_acknowledged_with_what_came_after_it() -> None:
    channel = Channel(range(1, 7))
    assert await channel.ack(1, 3, 4) == ["3", "4", "up to 1"]
    assert await channel.ack(6, 5) == ["5", "6"]
    assert await channel.ack(2) == ["up to 2"]


async def test_what_is_given_back_holds_up_nobody() -> None:
    channel = Channel(range(1, 4))
    await channel.answers.give_back(channel.messages[1])
    assert channel.told == ["1 back"]
    assert await channel.ack(2, 3) == ["up to 3"]


async def test_a_channel_that_takes_no_answer_is_told_of() -> None:
    channel = Channel([12, 13])
    with pytest.raises(BrokerUnavailable, match="take acknowledgements"):
        await channel.ack(12, 13)


async def test_whoever_is_cancelled_has_answered_all_the_same() -> None:
    channel = Channel([1, 2])
    hasty = asyncio.create_task(channel.answers.ack(channel.messages[1]))
    await asyncio.sleep(0)
    hasty.cancel()
    assert await channel.ack(2) == ["up to 1", "up to 2"]
