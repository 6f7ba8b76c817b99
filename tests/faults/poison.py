"""What a worker is given that no worker can do, or that ends it; the others' sagas go on unharmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aio_pika
from msgspec.structs import replace as changed
from ulid import ULID

from sagaflow import Engine, SagaRecord, SagaStatus, StepRecord, StepStatus
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.core.decide import new_saga
from sagaflow.core.state import Direction
from sagaflow.ports import Hint, Lane
from tests.e2e.stacks import topology
from tests.polling import until

from . import grounds
from .grounds import QUICK, Ground, Numbers, Place
from .kills import busy_one
from .pests import PESTS, Blocking, Lethal, LethalUndo, Megabyte, TwentyMegabytes, TwiceNine, Unknown, all_of_them
from .sagas import LedgerSaga, Load, Sequential
from .scenarios import scenario
from .stage import Stage, staged
from .verdict import Figures

MANY = 20
"""How many of each pest there are, where they kill nobody."""

BLOCKED = 30.0
"""Seconds for which a handler blocks the event loop."""

_KILLERS = 2  # sagas of each kind that kill their process five times
_FORWARD = Lane("default", Direction.FORWARD)
_GARBAGE = (b"", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"v":1}', b'{"v":99,"id":"a","queue":"b"}', bytes(1_000_000))
_PESTS = "tests.faults.pests:pests"


# ---------------------------------------------------------------------------------------- messages and documents


@scenario("poison-messages", grounds.sqlite, grounds.servers)
async def poison_messages(ground: Ground, sagas: int) -> Figures:
    """Garbage in the queue, hints for sagas that are not, contexts that cannot be read, a class that nobody has."""
    async with staged(ground.place(), pause=0.05) as stage, infesting(stage) as engine:
        workers = await stage.fleet.crew(3)
        begun = asyncio.create_task(stage.crowd.start(sagas))
        _ = await busy_one(stage.ledger, workers)
        letters = 0
        if stage.place.amqp_url:
            letters = await _poison_queue(stage.place)
        unread = await _undecodable(stage)
        strange = [(await engine.start(Unknown, Load())).id for _ in range(MANY)]
        stage.faults += letters + len(unread) + len(strange)
        _ = await begun
        records = await _ended(engine, unread)
        figures = await stage.verdict()
        left = [await engine.get(saga_id) for saga_id in strange]
        dead = await until(lambda: _letters(stage.place, letters)) if letters else 0
        told = sum(worker.log.read_text().count("this engine does not have saga Unknown") for worker in workers)
    return replace(
        figures,
        words=(*figures.words, f"{dead} dead letters", f"{told} lines of log about a class that is not there"),
        violations=(
            *figures.violations,
            *_unlike(records, SagaStatus.COMPENSATED),
            *_unlike(left, SagaStatus.STARTED),
            *((f"{dead} dead letters, not {letters}",) if dead != letters else ()),
            *(() if told or not letters else ("no log told of the class that is not there",)),
        ),
    )


async def _poison_queue(place: Place) -> int:
    """Put garbage and hints for unknown sagas into the queue; how many messages."""
    connection = await aio_pika.connect(place.amqp_url)
    async with connection:
        channel = await connection.channel()
        for body in _GARBAGE:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, topology(place.prefix).queue(_FORWARD))
    broker = RabbitBroker(place.amqp_url, topology=topology(place.prefix))
    await broker.open()
    try:
        await broker.publish([Hint(f"nobody-{number}", _FORWARD) for number in range(MANY)])
    finally:
        await broker.close()
    return len(_GARBAGE) + MANY


async def _letters(place: Place, count: int) -> int:
    """How many dead letters there are, once there are so many."""
    broker = RabbitBroker(place.amqp_url, topology=topology(place.prefix))
    await broker.open()
    try:
        depth = await broker.dead_letter_depth()
    finally:
        await broker.close()
    return depth if depth >= count else 0


async def _undecodable(stage: Stage) -> list[str]:
    """Sagas whose contexts are no JSON, or of another type; they begin nothing, and so have nothing to undo."""
    store, definition = stage.place.store(), Sequential.definition
    await store.open()
    ids: list[str] = []
    try:
        for context in ('{"pause":', '{"pause":"long"}', "", "\x00") * (MANY // 4):
            saga_id = str(ULID())
            state = new_saga(definition, saga_id, "{}", 0.0)
            await store.insert(changed(state, context=context), 0.0)
            ids.append(saga_id)
    finally:
        await store.close()
    return ids


# ---------------------------------------------------------------------------------------- handlers that kill


@scenario("poison-handlers", grounds.sqlite, grounds.servers)
async def poison_handlers(ground: Ground, sagas: int) -> Figures:
    """Steps and compensations kill their process, each time; a supervisor starts another one in its place."""
    async with staged(ground.place(), pause=0.2, settings=QUICK) as stage, infesting(stage) as engine:
        async with supervised(stage, 3):
            await stage.crowd.start(sagas)
            ids = [await _infest(stage, engine, pest) for pest in (Lethal, LethalUndo) for _ in range(_KILLERS)]
            records = await _ended(engine, ids)
            await stage.crowd.ended(seconds=300)
        figures = await stage.verdict()
    reasons = [str(_reason(record)) for record in records]
    wrong = tuple(f"a step that kills its process ended for the reason {why!r}" for why in reasons if why != "poison")
    return replace(figures, violations=(*figures.violations, *wrong))


def _reason(record: SagaRecord[Any]) -> str | None:
    """Why the step, or the compensation, that kills came to its end."""
    steps = record.steps
    return steps["killing"].reason if "killing" in steps else steps["first"].compensation_reason


@asynccontextmanager
async def supervised(stage: Stage, count: int) -> AsyncIterator[None]:
    """So many workers for the whole block: for each that dies another one is started."""

    async def succession() -> None:
        while True:
            worker = await stage.fleet.launch(sagas=_PESTS)
            _ = await worker.process.wait()
            # It died in the attempt that it began last; it is noticed a little later.
            begun = [attempt.began for attempt in stage.ledger.attempts() if attempt.pid == worker.pid]
            stage.fleet.hits.setdefault(worker.pid, []).append(max(begun, default=0.0))
            stage.faults += 1

    lines = [asyncio.create_task(succession()) for _ in range(count)]
    try:
        yield
    finally:
        for line in lines:
            line.cancel()
        _ = await asyncio.gather(*lines, return_exceptions=True)


# ---------------------------------------------------------------------------------------- outputs


@scenario("poison-outputs", grounds.sqlite, grounds.servers)
async def poison_outputs(ground: Ground, sagas: int) -> Figures:
    """Outputs of 1 and of 20 MB, with the settings as they are by default."""
    return await _bulk(ground, sagas, (Megabyte, TwentyMegabytes), {})


@scenario("poison-large-limits", grounds.sqlite, grounds.servers)
async def poison_large_limits(ground: Ground, sagas: int) -> Figures:
    """Outputs of 20 MB, and two of 9 MB in one saga, with settings that allow as much as they can."""
    limit = 3_900_000
    return await _bulk(ground, sagas, (TwentyMegabytes, TwiceNine), {"output_limit": limit, "document_limit": limit})


async def _bulk(ground: Ground, sagas: int, kinds: Sequence[type[LedgerSaga]], settings: Numbers) -> Figures:
    async with staged(ground.place(), pause=0.05, settings=settings) as stage, infesting(stage) as engine:
        await asyncio.gather(*(stage.fleet.start(sagas=_PESTS) for _ in range(3)))
        begun = asyncio.create_task(stage.crowd.start(sagas))
        ids = [await _infest(stage, engine, kind) for kind in kinds for _ in range(MANY)]
        stage.faults += len(ids)
        _ = await begun
        records = await _ended(engine, ids)
        figures = await stage.verdict()
    steps = [record.steps["one"] for record in records]
    texts = sorted({str(step.error and step.error.message) for step in steps})
    wrong = [f"{step!r} after {step.attempts} attempts" for step in steps if not _is_refused(step)]
    return replace(figures, words=(*figures.words, *texts), violations=(*figures.violations, *wrong))


def _is_refused(step: StepRecord) -> bool:
    """Whether its output was too large, and it was undone without another attempt."""
    error = step.error
    is_told = error is not None and error.type.endswith(".PayloadTooLarge")
    return is_told and step.attempts == 1 and step.status is StepStatus.COMPENSATED


# ---------------------------------------------------------------------------------------- a blocked event loop


@scenario("poison-blocked-loop", grounds.sqlite, grounds.servers)
async def poison_blocked_loop(ground: Ground, sagas: int) -> Figures:
    """With default settings, a handler blocks the event loop of one of three workers for half a minute."""
    async with staged(ground.place(), pause=0.2) as stage, infesting(stage) as engine:
        workers = list(await asyncio.gather(*(stage.fleet.start(sagas=_PESTS) for _ in range(3))))
        async with stage.crowd.kept_at(sagas):
            ids = [await _infest(stage, engine, Blocking, Load(BLOCKED))]
            stage.faults += 1
            _ = await _ended(engine, ids, seconds=BLOCKED + 30)
        figures = await stage.verdict()
        logs = [worker.log.read_text() for worker in workers]
    told = [log for log in logs if "the event loop has been blocked" in log and "in blocks_the_loop" in log]
    deaths = sum(log.count("is dead: its beat stood still") + log.count("was judged dead") for log in logs)
    return replace(
        figures,
        words=(*figures.words, f"{len(told)} log shows its stack", f"{deaths} workers were held to be dead"),
        violations=(
            *figures.violations,
            *(() if len(told) == 1 else (f"{len(told)} logs show the stack of one blocked loop",)),
            *((f"{deaths} workers were held to be dead",) if deaths else ()),
        ),
    )


# ---------------------------------------------------------------------------------------- what they share


@asynccontextmanager
async def infesting(stage: Stage) -> AsyncIterator[Engine]:
    """An engine that starts pests and does not work."""
    async with stage.place.engine(all_of_them(stage.ledger), work="none") as engine:
        yield engine


async def _infest(stage: Stage, engine: Engine, pest: type[LedgerSaga], load: Load | None = None) -> str:
    """Start a pest, among those that the verdict is about."""
    handle = await engine.start(pest, load or Load())
    stage.crowd.expected[handle.id] = PESTS[pest]
    return handle.id


async def _ended(engine: Engine, ids: Iterable[str], *, seconds: float = 300.0) -> list[SagaRecord[Any]]:
    """The records of sagas, once all have ended."""
    async with asyncio.timeout(seconds):
        return list(await asyncio.gather(*(engine.handle(Sequential, saga_id).wait() for saga_id in ids)))


def _unlike(records: Iterable[SagaRecord[Any]], status: SagaStatus) -> list[str]:
    return [f"{record.id}: is {record.status}, not {status}" for record in records if record.status is not status]
