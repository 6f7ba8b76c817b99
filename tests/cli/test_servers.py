"""The command line on a real RabbitMQ and a real MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sagaflow import Engine
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.core.state import Direction
from sagaflow.ports import Hint, Lane

from .conftest import Run
from .sagas import Deliver, Order, Sell

LANE = Lane("letters", Direction.FORWARD)  # in which no other hint gets in the way


def done(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def sell(store: str, broker: str) -> None:
    async with Engine([Sell, Deliver], store=store, broker=broker) as engine:
        await (await engine.start(Sell, Order("ada", "4111"), id="done")).result()
        await engine.start(Deliver, Order("ada", "4111"), id="waits")


async def put_aside(broker_url: str, *saga_ids: str) -> None:
    broker = RabbitBroker(broker_url)
    await broker.open()
    subscription = await broker.subscribe([LANE], prefetch=10)
    await broker.publish([Hint(saga_id, LANE) for saga_id in saga_ids])
    for _ in saga_ids:
        delivery = await subscription.receive()
        await delivery.dead_letter(f"poison: {delivery.hint.saga_id}")
    await broker.close()


async def empty(broker_url: str) -> None:
    broker = RabbitBroker(broker_url)
    await broker.open()
    await broker.drop_dead_letters(lambda _: True)
    await broker.purge(LANE)
    await broker.close()


@pytest.fixture
def on_servers(run: Run, mongo_url: str, amqp_url: str) -> Run:
    """As ``run``, on servers in which one saga is done and one waits; the dead letters of others are thrown away."""
    done(sell(mongo_url, amqp_url))
    done(empty(amqp_url))
    return lambda *arguments, **options: run(*arguments, "--store", mongo_url, "--broker", amqp_url, **options)


def test_acts_and_filters_are_the_same_on_servers(on_servers: Run) -> None:
    assert on_servers("cancel", "--saga", "Deliver", "--yes", "-r", "x").code == 0
    found = on_servers("list", "--json", "--older-than", "0s", "--limit", "1").json
    assert [saga["id"] for saga in found["sagas"]] == ["waits"]
    assert on_servers("show", "done").code == 0


def test_the_doctor_looks_at_the_servers_themselves(on_servers: Run) -> None:
    found = {one["what"]: one for one in on_servers("doctor", "--json").json}
    assert found["replica set"]["condition"] == "doubtful", "one member can lose what it has confirmed"
    for what in ("write concern", "indexes", "store", "clocks", "broker", "dead letters"):
        assert found[what]["condition"] == "good"
    assert "queue sagaflow.default.steps" in found
    assert "@" not in on_servers("doctor").out


def test_dead_letters_are_looked_at_given_back_and_thrown_away(on_servers: Run, amqp_url: str) -> None:
    assert "No dead letters." in on_servers("dead-letters", "list").err
    done(put_aside(amqp_url, "one", "two", "three"))
    letters = on_servers("dead-letters", "list", "--json").json
    assert {letter["saga_id"] for letter in letters} == {"one", "two", "three"}
    assert "poison: two" in on_servers("dead-letters", "list").out
    one = next(letter["id"] for letter in letters if letter["saga_id"] == "one")

    assert "poison: one" in on_servers("dead-letters", "show", one[:12]).out
    assert on_servers("dead-letters", "show", "nothing").code == 3
    assert on_servers("dead-letters", "requeue").code == 2, "which?"
    assert on_servers("dead-letters", "requeue", one[:12]).out == "1 dead letter requeued\n"
    assert on_servers("dead-letters", "drop", "--reason", "TWO").code == 2, "without a yes"
    assert on_servers("dead-letters", "drop", "--reason", "TWO", "--yes").out == "1 dead letter dropped\n"
    left = on_servers("dead-letters", "list", "--json").json
    assert [letter["saga_id"] for letter in left] == ["three"]
    assert on_servers("dead-letters", "drop", "--all", "--yes").code == 0
