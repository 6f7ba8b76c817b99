"""Nothing that comes from outside is larger or deeper than it may be, and whoever sent it hears so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aio_pika import Message

from sagaflow import (
    Answer,
    ConfigurationError,
    Engine,
    Happened,
    InboxFull,
    PayloadError,
    PayloadTooLarge,
    Retry,
    Saga,
    SagaStatus,
    Settings,
    StepSpec,
    Verdict,
    step,
)
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.core.events import Signalled
from sagaflow.core.state import Direction
from sagaflow.ports import Lane, Signal
from sagaflow.testing.store_states import new_saga
from tests.contract.rabbitmq_tools import plain_channel
from tests.e2e.diaries import SOON
from tests.e2e.stacks import QUICK, topology
from tests.polling import until

SMALL = replace(QUICK, context_limit=40_000, output_limit=30_000, document_limit=64 * 1024 + 61_000)


def nested(depth: int) -> Any:
    """Lists in lists, without Python's own stack."""
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def accepted(answer: Answer) -> None:
    assert answer.verdict is Verdict.ACCEPTED, answer


class Echo(Saga[Any]):
    """Returns its context, or what it says is to be returned."""

    @step(retry=Retry(attempts=1))
    async def say(self, context: Any) -> Any:
        match context:
            case {"length": int(length)}:
                return "x" * length
            case {"depth": int(depth)}:
                return nested(depth)
            case _:
                return context


class Asking(Saga[str]):
    @step(waits_for=object, parallel="answers")
    async def one(self, context: str) -> None: ...

    @step(waits_for=object, parallel="answers")
    async def two(self, context: str) -> None: ...

    @step(waits_for=object, parallel="answers")
    async def three(self, context: str) -> None: ...


class Actions(Saga[str], abstract=True):
    async def take(self, context: str, given: Any) -> None: ...


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine(
        [Echo, Asking], actions=[Actions], store="memory://", broker="memory://", settings=SMALL
    ) as engine:
        yield engine


# ---------------------------------------------------------------------------------------- sizes


async def test_a_context_is_as_long_as_the_settings_allow(engine: Engine) -> None:
    _ = await engine.start(Echo, "x" * (40_000 - 2))
    with pytest.raises(PayloadTooLarge, match=r"The context of Echo takes 40,001 characters encoded; 40,000 are allow"):
        await engine.start(Echo, "x" * (40_001 - 2))


async def test_an_output_that_is_too_long_makes_its_step_unknown_and_says_so(engine: Engine) -> None:
    record = await (await engine.start(Echo, {"length": 30_001})).wait(timeout=SOON)
    assert record.status is SagaStatus.COMPENSATED
    error = record.steps["say"].error
    assert error is not None
    assert "The output of step 'say' takes 30,003 characters encoded; 30,000 are allowed" in error.message


async def test_an_answer_from_outside_is_as_long_as_an_output(engine: Engine) -> None:
    await engine.start(Asking, "x", id="o-1")
    for tell in (engine.complete_step, engine.signal):
        with pytest.raises(PayloadTooLarge, match=r"The output of step 'one' takes 30,001 .* 30,000 are allowed"):
            await tell("o-1", "one", "x" * (30_001 - 2))
    assert (await engine.signal("o-1", "one", "x" * (30_000 - 2))).verdict is Verdict.ACCEPTED


async def test_answers_from_outside_do_not_fill_a_saga_beyond_what_it_may_hold(engine: Engine) -> None:
    await engine.start(Asking, "x", id="o-1")
    for name in ("one", "two"):  # each counts twice: as what was said, and as the output of its step
        accepted(await engine.signal("o-1", name, "x" * 14_000))
    with pytest.raises(PayloadTooLarge, match=r"Saga 'o-1' with what it is given here takes 84,015 .* 61,000 are allo"):
        await engine.signal("o-1", "three", "x" * 14_000)
    accepted(await engine.signal("o-1", "three", "short"))
    assert (await engine.handle(Asking, "o-1").wait(timeout=SOON)).status is SagaStatus.COMPLETED


async def test_what_an_operator_says_is_as_long_as_an_output_and_fits(engine: Engine) -> None:
    await engine.start(Asking, "x", id="o-1")
    with pytest.raises(PayloadTooLarge, match="The output of step 'one'"):
        await engine.skip("o-1", "one", by="ops", reason="why", output="x" * 30_000)
    for name in ("one", "two"):
        accepted(await engine.signal("o-1", name, "x" * 14_000))

    async def waits_for_three_alone() -> bool:
        record = await engine.get("o-1")
        return "'three'" in str(record.waits_for) and "'one'" not in str(record.waits_for)

    await until(waits_for_three_alone)
    with pytest.raises(PayloadTooLarge, match="Saga 'o-1' with what it is given here"):
        await engine.skip("o-1", "three", by="ops", reason="why", output="x" * 14_000)


async def test_the_inputs_of_a_saga_made_of_data_fit_into_it(engine: Engine) -> None:
    def steps(count: int, size: int) -> list[StepSpec]:
        return [StepSpec(name=f"s{number}", action="take", input="x" * size) for number in range(count)]

    with pytest.raises(PayloadTooLarge, match="An element of step 's0'"):
        await engine.start_steps("made", steps(1, 30_000), "x")
    with pytest.raises(PayloadTooLarge, match="Saga 'o-1' with what it is given here"):
        await engine.start_steps("made", steps(3, 29_000), "x", id="o-1")
    with pytest.raises(PayloadTooLarge, match="The list of the steps of saga 'made'"):
        await engine.start_steps("made", steps(900, 1), "x")
    with pytest.raises(PayloadError, match=r"was given 1,001 steps; 1,000 are allowed"):
        await engine.start_steps("made", steps(1_001, 1), "x")
    _ = await engine.start_steps("made", steps(2, 29_000), "x", id="o-1")


async def test_ids_tokens_names_and_reasons_are_bounded_and_shown_in_part(engine: Engine) -> None:
    await engine.start(Asking, "x", id="x" * 200)
    long = "x" * 1_000_000
    for ask in (
        engine.get(long),
        engine.start(Asking, "x", id="x" * 201),
        engine.signal("x" * 200, "one", "y", token=long),
        engine.cancel("x" * 200, by=long),
        engine.pause("x" * 200, by=long, reason="why"),
        engine.cancel("x" * 200, reason="x" * 1_001),
        engine.pause("x" * 200, by="ops", reason=long),
        engine.start_steps(long, [StepSpec(name="one", action="take", input=1)], "x"),
    ):
        with pytest.raises(ValueError, match=r"200 characters|1,000 are allowed") as raised:
            await ask
        assert len(str(raised.value)) < 500
    accepted(await engine.signal("x" * 200, "one", "y", token="x" * 200))
    accepted(await engine.cancel("x" * 200, reason="x" * 1_000, by="x" * 200))


async def test_what_is_kept_of_an_error_from_outside_is_bounded(engine: Engine) -> None:
    handle = await engine.start(Asking, "x", id="o-1")
    accepted(await engine.fail_step("o-1", "one", "x" * 1_000_000))
    error = (await handle.wait(timeout=SOON)).steps["one"].error
    assert error is not None
    assert error.message == "x" * 1_000


def test_a_saga_may_hold_more_than_is_kept_for_undoing() -> None:
    with pytest.raises(ConfigurationError, match=r"65,536 of it are kept for undoing"):
        Settings(document_limit=64 * 1024)
    assert Settings(document_limit=64 * 1024 + 1).payload_limit == 1


@pytest.mark.mongodb
async def test_requests_that_do_not_fit_into_a_document_of_mongodb_are_refused_as_too_many(mongo_url: str) -> None:
    store = MongoStore.from_url(mongo_url)
    await store.open()
    try:
        await store.insert(new_saga("o-1"), None)

        async def fill() -> None:
            for number in range(6):
                event = Signalled("paid", f"{number}", 0.0, "x" * 3_500_000)
                await store.post("o-1", Signal(f"paid/{number}", event))

        with pytest.raises(InboxFull, match="fewer if they are large"):
            await fill()
        stored = (await store.load(["o-1"]))["o-1"]
        assert len(stored.inbox) == 4
    finally:
        await store.close()


# ---------------------------------------------------------------------------------------- depths


async def test_a_context_is_nested_up_to_64_deep(engine: Engine) -> None:
    record = await (await engine.start(Echo, nested(64))).result(timeout=SOON)
    assert record.output(Echo.say) == nested(64)
    for depth in (65, 500, 100_000):
        with pytest.raises(PayloadError, match=r"nested (more than 64|too) deep"):
            await engine.start(Echo, nested(depth))


async def test_an_output_that_is_nested_too_deep_makes_its_step_unknown(engine: Engine) -> None:
    for depth in (65, 100_000):
        record = await (await engine.start(Echo, {"depth": depth})).wait(timeout=SOON)
        error = record.steps["say"].error
        assert record.status is SagaStatus.COMPENSATED
        assert error is not None
        assert "deep" in error.message


async def test_an_answer_and_an_input_are_nested_as_deep_as_an_output(engine: Engine) -> None:
    await engine.start(Asking, "x", id="o-1")
    for depth in (65, 100_000):
        for tell in (engine.complete_step, engine.signal):
            with pytest.raises(PayloadError, match="deep"):
                await tell("o-1", "one", nested(depth))
        with pytest.raises(PayloadError, match="deep"):
            await engine.resolve("o-1", "one", Happened(nested(depth)), by="ops", reason="why")
        with pytest.raises(PayloadError, match="deep"):
            await engine.start_steps("made", [StepSpec(name="s", action="take", input=nested(depth))], "x")
    accepted(await engine.signal("o-1", "one", nested(64)))


# ---------------------------------------------------------------------------------------- messages


async def test_a_message_that_is_too_large_or_too_deep_is_put_aside_and_sagas_go_on(amqp_url: str, prefix: str) -> None:
    names = topology(prefix)
    broker = RabbitBroker(amqp_url, topology=names)
    async with Engine([Echo], store="memory://", broker=broker, settings=QUICK) as engine:
        queue = names.queue(Lane("default", Direction.FORWARD))
        async with plain_channel(amqp_url) as channel:
            exchange = await channel.get_exchange(names.exchange)

            async def publish(body: bytes) -> None:
                await exchange.publish(Message(body), queue, timeout=10)

            await until(lambda: broker.health == "ok")
            await (await engine.start(Echo, "before")).result(timeout=SOON)
            await publish(b'{"v": 1, "id": "' + b"x" * 64 * 1024 + b'"}')
            await publish(b'{"x": ' + b"[" * 60_000)

        async def is_aside() -> bool:
            return await broker.dead_letter_depth() == 2

        await until(is_aside)
        letters = await broker.dead_letters()
        assert sorted(letter.reason for letter in letters) == [
            "no hint: it has more than 65,536 bytes",
            "no hint: it is nested too deeply",
        ]
        await (await engine.start(Echo, "after")).result(timeout=SOON)
