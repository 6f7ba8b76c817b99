"""With ``EncryptedCodec`` neither a store nor a broker ever holds a payload in clear, and sagas run as without it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sagaflow import Engine, PayloadError, Saga, SagaExists, SagaStatus, StepStatus, Verdict, step
from sagaflow.adapters.encrypted_codec import EncryptedCodec
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.ports import Broker
from tests.e2e.diaries import SOON
from tests.e2e.stacks import QUICK, topology
from tests.polling import until
from tests.security.journeys import SAGAS, SECRET, STEPS, Actions, Journey, Order, overheard, travel
from tests.security.leaks import everything_in, has_leaked, ours, told

OLD, NEW = EncryptedCodec.new_key(), EncryptedCodec.new_key()


class Answered(Saga[dict[str, int]]):
    """Waits for the outside, and takes what it said."""

    @step(waits_for=dict[str, int])
    async def pay(self, context: dict[str, int]) -> None: ...

    @step
    async def thank(self, context: dict[str, int], pay: dict[str, int]) -> str:
        return f"thanks for {pay['cents']} of {context['cents']}"


def codec(*keys: str) -> EncryptedCodec:
    return EncryptedCodec(JsonCodec(), keys or [OLD])


def embedded(folder: Path, *keys: str, sagas: Sequence[Callable[[], Saga[Any]]] = (Answered,)) -> Engine:
    url = f"sqlite:///{folder}/sagas.db"
    return Engine(sagas, actions=[Actions], store=url, broker=MemoryBroker(), settings=QUICK, codec=codec(*keys))


def bytes_in(folder: Path) -> bytes:
    """All that SQLite keeps: the file, and the log beside it."""
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


# ---------------------------------------------------------------------------------------- nothing in clear


async def test_no_byte_of_a_file_shows_a_payload(tmp_path: Path) -> None:
    async with embedded(tmp_path, sagas=SAGAS) as engine:
        records = await travel(engine)
        assert records[0].output(Journey.thank) == f"thanks for tx of {SECRET}"
        assert SECRET in str(records[1].error and records[1].error.message)
        assert SECRET.encode() not in bytes_in(tmp_path)
    kept = bytes_in(tmp_path)
    assert b"compensated" in kept
    assert SECRET.encode() not in kept


async def test_a_file_shows_what_is_not_encrypted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sagas.db"
    async with Engine(SAGAS, actions=[Actions], store=url, broker="memory://", settings=QUICK) as engine:
        await travel(engine)
    assert SECRET.encode() in bytes_in(tmp_path)


async def test_no_document_and_no_message_shows_a_payload(
    mongo_url: str, amqp_url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    names = topology(prefix)
    broker: Broker = RabbitBroker(amqp_url, topology=names)
    async with Engine(
        SAGAS, actions=[Actions], store=mongo_url, broker=broker, settings=QUICK, codec=codec()
    ) as engine:
        async with overheard(amqp_url, names) as heard:
            await travel(engine)
        assert heard
        assert not has_leaked(repr(heard), SECRET)
        kept = everything_in(mongo_url)
        assert "compensated" in kept
        assert not has_leaked(kept, SECRET)
    assert not has_leaked(ours(caplog), SECRET)


# ---------------------------------------------------------------------------------------- as without it


async def test_the_same_id_with_an_equal_context_is_the_saga_that_exists(tmp_path: Path) -> None:
    async with embedded(tmp_path, sagas=SAGAS) as engine:
        for _ in range(2):
            await engine.start(Journey, Order("completed"), id="o-1")
            await engine.start_steps("made", STEPS, Order("completed"), id="o-2")
        with pytest.raises(SagaExists, match="another context") as raised:
            await engine.start(Journey, Order("failed"), id="o-1")
        assert not has_leaked(told(raised.value), SECRET)


async def test_the_same_answer_twice_is_one_and_another_is_refused(tmp_path: Path) -> None:
    async with embedded(tmp_path) as engine:
        handle = await engine.start(Answered, {"cents": 5}, id="o-1")
        first = await engine.complete_step("o-1", Answered.pay, {"cents": 7})
        again = await engine.complete_step("o-1", Answered.pay, {"cents": 7})
        other = await engine.complete_step("o-1", Answered.pay, {"cents": 8})
        refusal = await engine.fail_step("o-1", Answered.pay, "no money")
        assert [one.verdict for one in (first, again, other, refusal)] == [
            Verdict.ACCEPTED,
            Verdict.ALREADY,
            Verdict.REFUSED,
            Verdict.REFUSED,
        ]
        assert (await handle.result(timeout=SOON)).output(Answered.thank) == "thanks for 7 of 5"


async def test_the_same_refusal_twice_is_one(tmp_path: Path) -> None:
    async with embedded(tmp_path) as engine:
        await engine.start(Answered, {"cents": 5}, id="o-1")
        verdicts = [(await engine.fail_step("o-1", Answered.pay, why)).verdict for why in ("no", "no", "never")]
        assert verdicts == [Verdict.ACCEPTED, Verdict.ALREADY, Verdict.REFUSED]


# ---------------------------------------------------------------------------------------- keys


async def waiting(engine: Engine) -> None:
    async def waits() -> bool:
        return (await engine.get("o-1")).steps["pay"].status is StepStatus.STARTED

    await until(waits)


async def test_a_saga_goes_on_under_a_new_key_while_the_old_one_is_read(tmp_path: Path) -> None:
    async with embedded(tmp_path, OLD) as engine:
        await engine.start(Answered, {"cents": 5}, id="o-1")
        await waiting(engine)
    async with embedded(tmp_path, NEW, OLD) as engine:
        await engine.complete_step("o-1", Answered.pay, {"cents": 7})
        record = await engine.handle(Answered, "o-1").result(timeout=SOON)
        assert record.output(Answered.thank) == "thanks for 7 of 5"
    async with embedded(tmp_path, NEW) as engine:
        assert (await engine.get("o-1")).output(Answered.thank) == "thanks for 7 of 5"  # written by the new one
        with pytest.raises(PayloadError, match="another key"):
            _ = (await engine.get("o-1")).context


async def test_a_worker_that_lacks_the_key_runs_no_handler_and_an_operator_goes_on_with_the_right_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    async with embedded(tmp_path, OLD, sagas=SAGAS) as engine:
        await engine.start(Journey, Order("completed"), id="o-1")

        async def waits() -> bool:
            return (await engine.get("o-1")).steps["paid"].status is StepStatus.STARTED

        await until(waits)
    async with embedded(tmp_path, NEW, sagas=SAGAS) as engine:
        await engine.compensate("o-1")
        record = await engine.handle(Journey, "o-1").wait(timeout=SOON)
        assert record.status is SagaStatus.FAILED
        assert record.error is None or not has_leaked(record.error.message, SECRET)
    async with embedded(tmp_path, OLD, NEW, sagas=SAGAS) as engine:
        await engine.retry("o-1", by="ops", reason="the key is back")
        assert (await engine.handle(Journey, "o-1").wait(timeout=SOON)).status is SagaStatus.COMPENSATED
    assert not has_leaked(ours(caplog), SECRET)
