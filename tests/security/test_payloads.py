"""Payloads are for handlers and their records alone: no log, no message and no error of ours shows one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from pymongo import MongoClient

from sagaflow import Engine, PayloadError, Saga, StoreUnavailable, step
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from tests.e2e.stacks import QUICK, topology
from tests.security.journeys import SAGAS, SECRET, Actions, overheard, travel
from tests.security.leaks import has_leaked, ours, told


class Card(Struct, frozen=True):
    number: int


class Paying(Saga[Card]):
    @step
    async def pay(self, card: Card) -> str:
        return f"{card.number}"


async def test_no_log_shows_a_payload_in_memory_or_in_a_file(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    file = f"sqlite:///{tmp_path}/sagas.db"
    async with Engine(SAGAS, actions=[Actions], store=file, broker="memory://", settings=QUICK) as engine:
        records = await travel(engine)
    assert "of step take, attempt 1: ConnectionError" in ours(caplog)
    assert not has_leaked(ours(caplog), SECRET)
    assert not has_leaked(repr([(record, record.steps, record.reason) for record in records]), SECRET)


async def test_no_log_and_no_message_shows_a_payload_on_servers(
    caplog: pytest.LogCaptureFixture, mongo_url: str, amqp_url: str, prefix: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    names = topology(prefix)
    async with Engine(
        SAGAS,
        actions=[Actions],
        store=mongo_url,
        broker=RabbitBroker(amqp_url, topology=names),
        settings=QUICK,
    ) as engine:
        async with overheard(amqp_url, names) as heard:
            await travel(engine)
        assert heard
        assert not has_leaked(repr(heard), SECRET)
    assert not has_leaked(ours(caplog), SECRET)


@pytest.mark.parametrize(
    "context",
    [
        {"number": SECRET},
        {SECRET: 1},
        SECRET,
        Card(SECRET),  # type: ignore[arg-type]  # what is tested
        [SECRET],
        f"{SECRET}\ud800",
    ],
    ids=["field", "key", "text", "type", "list", "surrogate"],
)
async def test_a_context_of_another_type_is_refused_without_being_shown(context: Any) -> None:
    async with Engine([Paying], store="memory://", broker="memory://", settings=QUICK) as engine:
        with pytest.raises(PayloadError) as raised:
            await engine.start(Paying, context)
    # The traceback shows the lines of this file, in which the secret has a name.
    assert not has_leaked(told(raised.value), SECRET)


@pytest.mark.mongodb
async def test_a_document_that_a_validator_of_the_collection_refuses_is_not_shown(
    caplog: pytest.LogCaptureFixture, mongo_url: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    store = MongoStore.from_url(mongo_url, timeout=2.0)
    class_ = SAGAS[1]
    async with Engine([class_], store=store, broker="memory://", settings=QUICK) as engine:
        client: MongoClient[dict[str, Any]]
        with MongoClient(mongo_url) as client:
            client.get_default_database().command(
                "collMod",
                "sagaflow_sagas",
                validator={"$jsonSchema": {"properties": {"context": {"bsonType": "int"}}}},
            )
        with pytest.raises(StoreUnavailable, match="failed validation") as raised:
            await engine.start(class_, SECRET)
    assert not has_leaked(str(raised.value), SECRET)
    assert not has_leaked(ours(caplog), SECRET)
