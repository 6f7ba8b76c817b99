"""Nineteen ways in which another saga engine breaks; here, each works. On RabbitMQ and MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from sagaflow import Abort, DefinitionError, Retry, Saga, SagaStatus, StepStatus, Unroutable, step
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.adapters.rabbitmq_topology import Topology
from sagaflow.core.decide import new_saga
from sagaflow.core.state import Direction
from sagaflow.errors import StoreUnavailable
from sagaflow.ports import Hint, Lane, Outcome, Stored, Transition
from tests.polling import until

from .stacks import Stack

SOON = timedelta(seconds=20)
FORWARD, UNDO = Lane("default", Direction.FORWARD), Lane("default", Direction.UNDO)
QUICK_RETRY = Retry(attempts=3, backoff=timedelta(milliseconds=1))


@dataclass
class Chain(Saga[str], retry=QUICK_RETRY, compensation_retry=QUICK_RETRY):
    """Three steps in a row. The context names the methods that abort, or raise at their first attempt (``name!``)."""

    lines: list[str] = field(default_factory=list[str])

    def did(self, name: str, context: str) -> str:
        self.lines.append(name)
        if name in context.split():
            raise Abort(name)
        if f"{name}!" in context.split() and self.attempt == 1:
            raise RuntimeError(name)
        return name

    @step(compensate="una")
    async def a(self, context: str) -> str:
        return self.did("a", context)

    async def una(self, context: str) -> None:
        self.did("una", context)

    @step(compensate="unb")
    async def b(self, context: str, a: str) -> str:
        return self.did("b", context)

    async def unb(self, context: str) -> None:
        self.did("unb", context)

    @step(compensate="unc")
    async def c(self, context: str, b: str) -> str:
        return self.did("c", context)

    async def unc(self, context: str) -> None:
        self.did("unc", context)


@pytest.fixture
def lines() -> list[str]:
    return []


class Rendezvous(Saga[str]):
    """Its step waits for another saga's compensation, and the other way round."""

    doing = asyncio.Event()
    undoing = asyncio.Event()

    @step(compensate="undo")
    async def do(self, context: str) -> None:
        if context == "do":
            self.doing.set()
            await asyncio.wait_for(self.undoing.wait(), 10)

    async def undo(self, context: str) -> None:
        self.undoing.set()
        await asyncio.wait_for(self.doing.wait(), 10)

    @step
    async def decide(self, context: str) -> None:
        if context == "undo":
            raise Abort("on purpose")


async def test_01_steps_and_compensations_are_consumed_at_the_same_time(servers: Stack) -> None:
    Rendezvous.doing, Rendezvous.undoing = asyncio.Event(), asyncio.Event()
    async with servers.engine(Rendezvous):
        undone, done = await Rendezvous.start("undo"), await Rendezvous.start("do")
        assert (await undone.wait(timeout=SOON)).is_compensated
        assert (await done.wait(timeout=SOON)).is_completed


async def test_02_custom_names_of_exchange_and_queues_are_used_end_to_end(
    servers: Stack, amqp_url: str, prefix: str, lines: list[str]
) -> None:
    topology = Topology(
        exchange=f"{prefix}-shop",
        step_queue=f"{prefix}-do-{{queue}}",
        compensation_queue=f"{prefix}-undo-{{queue}}",
        dead_letter_exchange=f"{prefix}-dead",
        dead_letter_queue=f"{prefix}-dead",
    )
    # A worker for steps and another for compensations: only what is really routed gets to either.
    brokers = [RabbitBroker(amqp_url, topology=topology) for _ in range(2)]
    async with (
        servers.engine(partial(Chain, lines), work="steps", broker=brokers[0]),
        servers.engine(partial(Chain, lines), work="compensations", broker=brokers[1]) as engine,
    ):
        record = await (await engine.start(Chain, "c")).wait(timeout=SOON)
        assert await brokers[0].depth(FORWARD) == await brokers[1].depth(UNDO) == 0
    assert record.is_compensated
    assert lines == ["a", "b", "c", "unb", "una"]


async def test_03_an_unroutable_hint_is_an_error_and_the_saga_runs_all_the_same(
    servers: Stack, lines: list[str]
) -> None:
    class Nowhere:
        """A broker whose exchange leads nowhere, for whoever publishes."""

        def __init__(self, broker: Any) -> None:
            self._broker = broker

        def __getattr__(self, name: str) -> Any:
            return getattr(self._broker, name)

        async def publish(self, hints: Sequence[Hint]) -> None:
            raise Unroutable("no queue is bound")

    async with servers.engine(partial(Chain, lines), broker=Nowhere(servers.broker())):
        await (await Chain.start("")).result(timeout=SOON)
    assert lines == ["a", "b", "c"]


async def test_04_a_crash_between_the_write_and_the_message_leaves_no_saga_stuck(
    servers: Stack, lines: list[str]
) -> None:
    store = servers.store()
    await store.open()
    context = JsonCodec().encode("", str)
    now = datetime.now(UTC).timestamp()
    assert await store.insert(new_saga(Chain.definition, "s-1", context, now), now)
    await store.close()
    async with servers.engine(partial(Chain, lines)) as engine:
        await engine.handle(Chain, "s-1").result(timeout=SOON)
    assert lines == ["a", "b", "c"]


async def test_05_a_first_step_that_fails_ends_as_compensated(servers: Stack, lines: list[str]) -> None:
    async with servers.engine(partial(Chain, lines)):
        record = await (await Chain.start("a")).wait(timeout=SOON)
    assert record.status is SagaStatus.COMPENSATED
    assert lines == ["a"]


async def test_06_a_failed_compensation_is_retried_then_visible_and_never_taken_for_done(
    servers: Stack, lines: list[str]
) -> None:
    async with servers.engine(partial(Chain, lines)):
        retried = await (await Chain.start("c unb!")).wait(timeout=SOON)
        failed = await (await Chain.start("c unb")).wait(timeout=SOON)
    assert retried.is_compensated
    assert retried.steps["b"].compensation_attempts == 2
    assert failed.is_failed
    assert failed.steps["b"].status is StepStatus.COMPENSATION_FAILED
    assert failed.steps["b"].compensation_error is not None
    assert failed.steps["a"].status is StepStatus.COMPLETED


async def test_07_the_order_of_undo_holds_with_three_workers(servers: Stack, lines: list[str]) -> None:
    async with (
        servers.engine(partial(Chain, lines)) as engine,
        servers.engine(partial(Chain, lines)),
        servers.engine(partial(Chain, lines)),
    ):
        for _ in range(5):
            lines.clear()
            completed = await engine.start(Chain, "")
            await completed.result(timeout=SOON)
            await completed.compensate()
            assert (await completed.wait(timeout=SOON)).is_compensated
            assert lines == ["a", "b", "c", "unc", "unb", "una"]


async def test_08_a_doubled_message_runs_no_step_twice(servers: Stack, lines: list[str]) -> None:
    broker = servers.broker()
    async with servers.engine(partial(Chain, lines), broker=broker) as engine:
        handle = await engine.start(Chain, "", id="s-1")
        await broker.publish([Hint("s-1", FORWARD)] * 20)
        await handle.result(timeout=SOON)
        await broker.publish([Hint("s-1", FORWARD)] * 20)
        await (await engine.start(Chain, "")).result(timeout=SOON)
    assert lines == ["a", "b", "c"] * 2


async def test_09_a_redelivery_after_the_end_changes_nothing(servers: Stack, lines: list[str]) -> None:
    broker = servers.broker()
    async with servers.engine(partial(Chain, lines), broker=broker) as engine:
        handle = await engine.start(Chain, "b", id="s-1")
        ended = await handle.wait(timeout=SOON)
        await broker.publish([Hint("s-1", lane) for lane in (FORWARD, UNDO)])
        await (await engine.start(Chain, "")).result(timeout=SOON)
        assert (await engine.get("s-1")).revision == ended.revision
    assert ended.is_compensated
    assert lines == ["a", "b", "una", "a", "b", "c"]


@dataclass
class Stubborn(Saga[str], retry=Retry(attempts=1)):
    """Its step does not let itself be cancelled: what it returns in the end comes late."""

    lines: list[str]
    begun: asyncio.Event
    go_on: asyncio.Event

    @step(compensate="undo")
    async def charge(self, context: str) -> str:
        self.begun.set()
        if self.attempt > 1:
            raise Abort("the bank is closed")
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.lines.append("not cancelled")
            await self.go_on.wait()
        return "transaction 7"

    async def undo(self, context: str, transaction: str | None) -> None:
        self.lines.append(f"undo {transaction}")


async def test_10_what_was_in_flight_when_compensation_began_is_undone_even_if_it_comes_late(
    servers: Stack, lines: list[str]
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    async with servers.engine(partial(Stubborn, lines, begun, go_on)) as engine:
        handle = await engine.start(Stubborn, "x")
        await begun.wait()
        await judge_all_dead(servers)
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        assert lines == ["not cancelled", "undo None"]
        go_on.set()

        async def undone_again() -> bool:
            record = await engine.get(handle.id)
            return record.is_compensated and record.steps["charge"].late_outputs == ("transaction 7",)

        await until(undone_again)
    assert lines == ["not cancelled", "undo None", "undo transaction 7"]


async def judge_all_dead(servers: Stack) -> None:
    """Record the death of every worker that lives, as a judge would that saw their beats stand still."""
    store = servers.store()
    heart = store.heart()

    def judge() -> None:
        others = heart.beat("judge").others
        while others:
            for worker, beats in others.items():
                heart.declare_dead(worker, beats)
            dead, others = others, heart.beat("judge").others
            others = {worker: beats for worker, beats in others.items() if worker in dead}
        heart.leave("judge")
        heart.close()

    await asyncio.to_thread(judge)
    await store.close()


async def test_11_a_second_compensation_undoes_nothing_twice(servers: Stack, lines: list[str]) -> None:
    async with servers.engine(partial(Chain, lines)):
        handle = await Chain.start("")
        await handle.result(timeout=SOON)
        await asyncio.gather(*(handle.compensate() for _ in range(5)))
        assert (await handle.wait(timeout=SOON)).is_compensated
        assert not (await handle.compensate()).is_accepted
    assert lines == ["a", "b", "c", "unc", "unb", "una"]


async def test_12_outputs_and_errors_survive_compensation_and_the_status_keeps_to_its_arrows(
    servers: Stack, lines: list[str]
) -> None:
    async with servers.engine(partial(Chain, lines)):
        handle = await Chain.start("c unb!")
        statuses = [record.status async for record in handle.changes()]
        record = await handle.record()
    assert statuses == sorted(statuses, key=["started", "compensating", "compensated"].index)
    assert record.outputs == {"a": "a", "b": "b"}
    assert record.steps["c"].error is not None
    assert record.steps["b"].compensation_error is not None


class Faulty(MongoStore):
    """A store that fails at every third call: before the call, or after it took effect."""

    calls = 0

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        self.calls += 1
        if self.calls % 3 == 0:
            raise StoreUnavailable("as arranged")
        return await super().load(saga_ids)

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        self.calls += 1
        if self.calls % 3 == 0:
            return [Outcome.UNSURE] * len(transitions)
        outcomes = await super().commit(transitions)
        return [Outcome.UNSURE] * len(outcomes) if self.calls % 3 == 1 else outcomes


async def test_13_a_crashing_handler_or_a_store_that_fails_leaves_no_saga_stuck_and_runs_nothing_twice(
    servers: Stack, mongo_url: str, lines: list[str]
) -> None:
    faulty = Stack("faulty", lambda: Faulty.from_url(mongo_url), servers.broker)
    sound = Stack("sound", lambda: MongoStore.from_url(mongo_url), servers.broker)
    # Whoever waits looks at a store that answers: else it would be told that it does not.
    async with sound.engine(partial(Chain, lines), work="none") as waiter, faulty.engine(partial(Chain, lines)):
        handle = await waiter.start(Chain, "b!")
        await handle.result(timeout=SOON)
    assert lines == ["a", "b", "b", "c"]


class Unhurried(Saga[str]):
    @step
    async def any_time(self, context: str) -> str:
        await asyncio.sleep(2)
        return "done"

    @step(timeout=timedelta(milliseconds=100), retry=Retry(attempts=1))
    async def in_time(self, context: str) -> str:
        await asyncio.sleep(2)
        return "never"


async def test_14_a_step_has_no_limit_by_default_and_its_timeout_is_obeyed(servers: Stack) -> None:
    assert Unhurried.definition["any_time"].timeout is None
    async with servers.engine(Unhurried):
        record = await (await Unhurried.start("")).wait(timeout=SOON)
    assert record.output(Unhurried.any_time) == "done"
    assert record.steps["in_time"].status is StepStatus.UNKNOWN


def test_15_a_saga_without_steps_is_a_definition_error() -> None:
    with pytest.raises(DefinitionError, match="declares no step"):

        class Empty(Saga[str]):
            pass


class Typed(Struct, frozen=True):
    count: int
    ratio: float
    price: Decimal
    key: UUID
    at: datetime
    tags: frozenset[str]


class TypedSaga(Saga[Typed]):
    @step
    async def echo(self, context: Typed) -> list[Typed]:
        return [context]

    @step
    async def big(self, context: Typed, echo: list[Typed]) -> int:
        assert echo == [context]
        return 2**70


async def test_16_values_come_back_as_the_types_that_were_declared(servers: Stack) -> None:
    value = Typed(7, 7.0, Decimal("0.10"), UUID(int=7), datetime(2026, 1, 2, 3, 4, 5, 6, UTC), frozenset({"a", "b"}))
    async with servers.engine(TypedSaga):
        record = await (await TypedSaga.start(value)).result(timeout=SOON)
    assert record.context == value
    assert type(record.context.ratio) is float
    assert record.output(TypedSaga.echo) == [value]
    assert record.output(TypedSaga.big) == 2**70


class Crowd(Saga[str]):
    barrier: asyncio.Barrier

    @step(parallel="all")
    async def one(self, context: str) -> None:
        await asyncio.wait_for(self.barrier.wait(), 15)

    @step(parallel="all")
    async def two(self, context: str) -> None:
        await asyncio.wait_for(self.barrier.wait(), 15)

    @step(parallel="all")
    async def three(self, context: str) -> None:
        await asyncio.wait_for(self.barrier.wait(), 15)


async def test_17_ten_sagas_of_three_parallel_steps_run_all_thirty_at_once(servers: Stack) -> None:
    Crowd.barrier = asyncio.Barrier(30)
    async with servers.engine(Crowd):
        handles = [await Crowd.start("") for _ in range(10)]
        records = await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
    assert {record.steps[name].attempts for record in records for name in ("one", "two", "three")} == {1}


async def test_18_definitions_and_records_cannot_be_changed_and_sagas_share_nothing(
    servers: Stack, lines: list[str]
) -> None:
    async with servers.engine(partial(Chain, lines)) as engine:
        first = await (await engine.start(Chain, "")).result(timeout=SOON)
        second = await (await engine.start(Chain, "b")).wait(timeout=SOON)
        assert (await engine.get(first.id)).steps["b"].status is StepStatus.COMPLETED
    assert second.steps["b"].status is StepStatus.FAILED
    with pytest.raises(FrozenInstanceError):
        Chain.definition["a"].name = "other"  # type: ignore[misc]  # that it cannot be done is the point
    with pytest.raises(TypeError):
        first.steps["a"] = second.steps["a"]  # type: ignore[index]  # likewise
    with pytest.raises(AttributeError):
        first.status = SagaStatus.FAILED  # type: ignore[misc]  # likewise


async def test_19_a_restart_finds_its_sagas_and_an_unknown_one_is_dead_lettered_with_its_reason(
    servers: Stack, lines: list[str]
) -> None:
    async with servers.engine(partial(Chain, lines), work="none") as engine:
        await engine.start(Chain, "", id="s-1")
    broker = servers.broker()
    assert isinstance(broker, RabbitBroker)
    async with servers.engine(partial(Chain, lines), broker=broker) as engine:
        await engine.handle(Chain, "s-1").result(timeout=SOON)
        await broker.publish([Hint("nobody", FORWARD)])
        letters = await until(lambda: broker.dead_letters(10))
    assert "there is no saga nobody" in letters[0].reason
    assert lines == ["a", "b", "c"]
