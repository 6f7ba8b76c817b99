"""What operators and tests ask of the queues: how full they are, what was put aside, and to empty them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from . import rabbitmq_wire as wire
from .dead_letter import DeadLetter
from .rabbitmq_topology import throwaway_channel


async def depth(connection: AbstractConnection, queue: str) -> int:
    """How many messages a queue has ready; none if there is no such queue."""
    async with throwaway_channel(connection) as channel:
        try:
            found = await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            return 0
    return found.declaration_result.message_count or 0


async def purge(connection: AbstractConnection, queue: str) -> int:
    """Throw away the messages that a queue has ready. Returns how many they were."""
    async with throwaway_channel(connection) as channel:
        try:
            done = await (await channel.get_queue(queue, ensure=False)).purge()
        except ChannelNotFoundEntity:
            return 0
    return done.message_count or 0


async def peek(connection: AbstractConnection, queue: str, limit: int) -> list[DeadLetter]:
    """Up to ``limit`` dead letters; they stay where they are, though their order may change."""
    letters: list[DeadLetter] = []
    # What was fetched goes back after the channel was closed (a moment after), and not before: no letter comes twice.
    async with throwaway_channel(connection) as channel:
        source = await channel.get_queue(queue, ensure=False)
        try:
            while len(letters) < limit and (message := await source.get(fail=False)) is not None:
                letters.append(wire.read_dead_letter(message))
        except ChannelNotFoundEntity:
            pass
    return letters


async def settle(
    connection: AbstractConnection,
    queue: str,
    wanted: Callable[[DeadLetter], bool],
    act: Callable[[DeadLetter], Awaitable[None]],
) -> list[DeadLetter]:
    """Take the dead letters that are wanted out of their queue, each once ``act`` has returned; the others stay.

    Returns:
        those that were taken out. If ``act`` raises, what was not settled by then stays.
    """
    settled: list[DeadLetter] = []
    left = await depth(connection, queue)  # what comes meanwhile, perhaps by this, is not looked at
    # What was fetched and is not wanted goes back when the channel is closed, and not before: none comes twice.
    async with throwaway_channel(connection) as channel:
        source = await channel.get_queue(queue, ensure=False)
        while left and (message := await source.get(fail=False)) is not None:
            left -= 1
            letter = wire.read_dead_letter(message)
            if wanted(letter):
                await act(letter)
                await message.ack()
                settled.append(letter)
    return settled
