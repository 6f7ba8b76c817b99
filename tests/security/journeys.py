"""Sagas in which a customer's secret passes through every place that holds payloads, to each end that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aio_pika import connect
from aio_pika.abc import AbstractIncomingMessage
from msgspec import Struct

from sagaflow import Abort, Engine, Happened, Retry, Saga, SagaRecord, SagaStatus, StepSpec, StepStatus, step
from sagaflow.adapters.rabbitmq import Topology
from sagaflow.core.state import Direction
from sagaflow.ports import Lane
from tests.e2e.diaries import SOON, THRICE
from tests.polling import until

SECRET = "4929-s3cr3t-c4n4ry"
"""What only the customer and the handlers may know."""


class Order(Struct, frozen=True):
    ends: str
    card: str = SECRET
    cards: tuple[str, ...] = (SECRET, SECRET)


class Sent(Saga[str]):
    """A child, whose context is the secret."""

    @step
    async def send(self, card: str) -> str:
        return f"sent for {card}"


class Journey(Saga[Order]):
    """Holds the secret as context, output, element, child's context, answer, and in the messages of errors."""

    @step(compensate="put_back", retry=THRICE)
    async def take(self, order: Order) -> str:
        if self.attempt == 1:
            raise ConnectionError(f"a line about {order.card}")
        return f"taken for {order.card}"

    async def put_back(self, order: Order, taken: str | None) -> None:
        if order.ends == "failed":
            raise Abort(f"cannot be undone for {order.card}")

    @step(each="cards")
    async def stamp(self, order: Order, card: str) -> str:
        return f"stamped {card}"

    @step(saga=Sent)
    async def sent(self, order: Order) -> str:
        return order.card

    @step(waits_for=str)
    async def paid(self, order: Order) -> None: ...

    @step(retry=Retry(attempts=1), timeout=timedelta(seconds=20))
    async def thank(self, order: Order, paid: str) -> str:
        if order.ends != "completed":
            raise ValueError(f"no thanks for {paid}")
        return f"thanks for {paid}"


class Actions(Saga[Order], abstract=True):
    """What a saga of data does; its input is secret."""

    async def write(self, order: Order, card: str) -> str:
        return f"{order.card} and {card}"


SAGAS: list[type[Saga[Any]]] = [Journey, Sent]
STEPS = [StepSpec(name="write", action="write", input=SECRET)]


async def travel(engine: Engine) -> list[SagaRecord[Any]]:
    """Bring sagas to every end that there is; their records.

    The engine has ``SAGAS``, and ``Actions`` for its actions.
    """
    ends = ("completed", "compensated", "failed", "refused")
    handles = {end: await engine.start(Journey, Order(end), id=end) for end in ends}
    for end, handle in handles.items():

        async def waits(saga_id: str = end) -> bool:
            return (await engine.get(saga_id)).steps["paid"].status is StepStatus.STARTED

        await until(waits)
        if end == "refused":
            await engine.fail_step(end, Journey.paid, ValueError(f"refused {SECRET}"))
        else:
            await engine.complete_step(end, Journey.paid, f"tx of {SECRET}")
        _ = await handle.wait(timeout=SOON)
    await engine.resolve("failed", Journey.thank, Happened(f"by hand for {SECRET}"), by="ops", reason="called")
    records = [await handle.wait(timeout=SOON) for handle in handles.values()]
    assert [record.status for record in records[:3]] == [
        SagaStatus.COMPLETED,
        SagaStatus.COMPENSATED,
        SagaStatus.FAILED,
    ]
    made = await engine.start_steps("made", STEPS, Order("made"), id="made")
    return [*records, await made.result(timeout=SOON)]


@asynccontextmanager
async def overheard(url: str, topology: Topology) -> AsyncIterator[list[bytes]]:
    """All that is published in these exchanges meanwhile: bodies, and headers beside them."""
    heard: list[bytes] = []

    async def hear(message: AbstractIncomingMessage) -> None:
        heard.append(message.body + repr(message.info()).encode())

    async with await connect(url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        for direction in (Direction.FORWARD, Direction.UNDO):
            await queue.bind(topology.exchange, topology.queue(Lane("default", direction)))
        await queue.bind(topology.dead_exchange, "")
        tag = await queue.consume(hear, no_ack=True)
        yield heard
        await queue.cancel(tag)
