"""What a person should know of a RabbitMQ: whether its queues are there, as they should be, and served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from ..ports.broker import Lane
from ..ports.diagnosis import Condition, Diagnosis
from .rabbitmq_topology import Topology, declare, throwaway_channel

_LONG: Final = 10_000  # hints that wait


async def diagnose(connection: AbstractConnection, topology: Topology, lanes: Sequence[Lane]) -> list[Diagnosis]:
    """How the queues of these lanes are, and that of the dead letters. Nothing that is missing is declared."""
    found: list[Diagnosis] = []
    for lane in lanes:
        found += await _lane(connection, topology, lane)
    complaints = await declare(connection, topology, ())  # this has been declared when the broker was opened
    dead = await _counts(connection, topology.dead_queue)
    found += [_topology(complaint) for complaint in complaints]
    if dead is not None and dead[0]:
        remedy = "look at them: sagaflow dead-letters list"
        found.append(Diagnosis("dead letters", Condition.DOUBTFUL, f"{dead[0]:,} in {topology.dead_queue!r}", remedy))
    else:
        found.append(Diagnosis("dead letters", Condition.GOOD, "none"))
    return found


async def _lane(connection: AbstractConnection, topology: Topology, lane: Lane) -> list[Diagnosis]:
    name = topology.queue(lane)
    counts = await _counts(connection, name)
    what = f"queue {name}"
    if counts is None:
        remedy = "the first worker that serves it, or the first hint to it, declares it"
        return [Diagnosis(what, Condition.DOUBTFUL, "it does not exist yet", remedy)]
    # What exists is declared once more: RabbitMQ changes nothing, and says so if its properties are others.
    complaints = await declare(connection, topology, [lane])
    if complaints:
        return [_topology(complaint) for complaint in complaints]
    waiting, workers = counts
    said = f"{waiting:,} hints wait, {workers:,} consumers"
    if waiting and not workers:
        remedy = f"start workers that serve queue {lane.queue!r}"
        return [Diagnosis(what, Condition.BAD, f"{said}: nobody serves it", remedy)]
    if waiting >= _LONG:
        return [Diagnosis(what, Condition.DOUBTFUL, said, f"start more workers that serve queue {lane.queue!r}")]
    return [Diagnosis(what, Condition.GOOD, said)]


def _topology(complaint: str) -> Diagnosis:
    said, _, remedy = complaint.partition(". ")
    return Diagnosis("topology", Condition.BAD, said, remedy)


async def _counts(connection: AbstractConnection, queue: str) -> tuple[int, int] | None:
    """How many messages a queue has ready, and how many consumers; None if there is no such queue."""
    async with throwaway_channel(connection) as channel:
        try:
            found = (await channel.declare_queue(queue, passive=True)).declaration_result
        except ChannelNotFoundEntity:
            return None
    return found.message_count or 0, found.consumer_count or 0
