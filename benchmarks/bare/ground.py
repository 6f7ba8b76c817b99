"""What the bare scripts on RabbitMQ and MongoDB have in common: the servers, the sagas' documents, the measurement.

A document is there before its saga is started, unless the task's option ``insert`` is ``yes``: the figures are those of
the messages and updates alone. Writes are acknowledged by a majority; messages are persistent, in a quorum queue,
published with confirms, and acknowledged when their work is stored. One process publishes, consumes and writes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.read_concern import ReadConcern

from benchmarks import figures, load
from benchmarks.task import Task, steps_of

Document = dict[str, Any]

QUEUE: Final = "steps"
# Far more than any machine does; those that are not started cost nothing but their insertion, before the clock runs.
_MOST_PER_SECOND: Final = 6_000
_CHUNK: Final = 10_000


@dataclass
class Ground:
    """The servers as one script sees them, and who waits for the ends of sagas."""

    sagas: AsyncCollection[Document]
    channel: AbstractChannel
    queue: str
    steps: list[list[str]]
    waiting: dict[str, asyncio.Future[None]] = field(default_factory=dict[str, asyncio.Future[None]])

    async def publish(self, text: str) -> None:
        """Send a message; it is confirmed when this returns."""
        message = aio_pika.Message(text.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await self.channel.default_exchange.publish(message, self.queue)

    def is_last(self, step: str) -> bool:
        """Whether the saga has ended with this step."""
        return step == self.steps[-1][-1]

    def ended(self, saga_id: str) -> None:
        """Tell whoever started the saga."""
        self.waiting.pop(saga_id).set_result(None)

    def failed(self, error: Exception) -> None:
        """Tell all who wait."""
        while self.waiting:
            self.waiting.popitem()[1].set_exception(error)


class Script(Protocol):
    """What differs from one script to the next."""

    async def start(self, ground: Ground, saga_id: str) -> None:
        """Begin a saga, whose document is there."""

    async def insert(self, ground: Ground, saga_id: str) -> None:
        """Write the document of a saga that is about to begin."""

    async def react(self, ground: Ground, text: str) -> None:
        """Do what a message asks for, up to the last write."""


async def handler(saga_id: str, step: str) -> str:
    """The trivial work of a step."""
    return f"{step} of {saga_id}"


def new_saga(saga_id: str) -> Document:
    """The document of a saga that has done nothing yet."""
    return {"_id": saga_id, "status": "started", "revision": 0, "done": [], "outputs": {}, "claims": {}}


def completion(ground: Ground, step: str, output: str) -> Document:
    """The update that says that a step is done."""
    update: Document = {"$inc": {"revision": 1}, "$push": {"done": step}, "$set": {f"outputs.{step}": output}}
    if ground.is_last(step):
        update["$set"]["status"] = "ended"
    return update


async def insert_alone(ground: Ground, saga_id: str) -> None:
    """A write of its own."""
    await ground.sagas.insert_one(new_saga(saga_id))


def main(script: Script) -> None:
    """Measure a script by the task that this process was called with."""
    asyncio.run(_measure(Task.given(), script))


async def _measure(task: Task, script: Script) -> None:
    inserts = task.options.get("insert") == "yes"
    async with _ground(task, script.react) as ground:

        def selling(prefix: str) -> Callable[[int], Awaitable[None]]:
            async def sell(number: int) -> None:
                saga_id = f"{prefix}-{number}"
                ended = ground.waiting[saga_id] = asyncio.get_running_loop().create_future()
                if inserts:
                    await script.insert(ground, saga_id)
                await script.start(ground, saga_id)
                await ended

            return sell

        if not inserts:
            most = int(task.seconds * _MOST_PER_SECOND)
            for prefix, count in (("warm", load.WARM_UP), ("alone", task.alone), ("load", most)):
                await _prepare(ground, prefix, count)
        await load.alone(selling("warm"), load.WARM_UP)
        found = figures.quantiles((await load.alone(selling("alone"), task.alone)).waits)
        meter = figures.Meter({"all": os.getpid()})
        meter.start()
        under_load = await load.at_once(selling("load"), task.in_flight, task.seconds)
        found |= figures.loaded(len(under_load.waits), under_load.seconds, meter.stop(), under_load.waits)
        found |= meter.memory()
        await _check(ground, load.WARM_UP + task.alone + len(under_load.waits))
        task.answer(found)


@asynccontextmanager
async def _ground(task: Task, react: Callable[[Ground, str], Awaitable[None]]) -> AsyncIterator[Ground]:
    client: AsyncMongoClient[Document] = AsyncMongoClient(task.mongo)
    sagas = client.get_default_database().get_collection(
        "sagas",
        write_concern=WriteConcern("majority"),
        read_concern=ReadConcern("majority"),
        read_preference=ReadPreference.PRIMARY,
    )
    connection = await aio_pika.connect(task.amqp)
    async with client, connection:
        publishing, consuming = await connection.channel(publisher_confirms=True), await connection.channel()
        await consuming.set_qos(prefetch_count=task.in_flight)
        queue = await consuming.declare_queue(
            f"{task.namespace}.{QUEUE}", durable=True, arguments={"x-queue-type": "quorum"}
        )
        ground = Ground(sagas, publishing, queue.name, steps_of(task.workload))

        async def on_message(message: AbstractIncomingMessage) -> None:
            try:
                await react(ground, message.body.decode())
                await message.ack()
            except Exception as error:  # nobody else would hear of it
                ground.failed(error)

        await queue.consume(on_message)
        yield ground


async def _prepare(ground: Ground, prefix: str, count: int) -> None:
    for start in range(0, count, _CHUNK):
        numbers = range(start, min(count, start + _CHUNK))
        await ground.sagas.insert_many([new_saga(f"{prefix}-{number}") for number in numbers], ordered=False)


async def _check(ground: Ground, sagas: int) -> None:
    """Fail unless so many sagas have ended, each with its steps done once and in order.

    Raises:
        AssertionError: one is not so.
    """
    ended = 0
    async for saga in ground.sagas.find({"status": "ended"}):
        done = iter(saga["done"])
        if [sorted(next(done) for _ in group) for group in ground.steps] != ground.steps or list(done):
            raise AssertionError(f"a saga did not end as it must: {saga}")
        ended += 1
    if ended != sagas:
        raise AssertionError(f"{ended} sagas have ended, and {sagas} were sold")
