"""Queues that RabbitMQ does not serve are asked for less and less often."""

import asyncio

import pytest

from sagaflow.adapters.rabbitmq_consumers import Sickbay


async def test_pauses_double_up_to_a_minute_and_end_with_success(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("sagaflow.adapters.rabbitmq_consumers.time.monotonic", lambda: now)
    sickbay = Sickbay(lambda: None)

    for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        sickbay.admit("orders.steps")
        now += pause - 0.1
        assert not sickbay.is_well("orders.steps")
        assert sickbay.is_well("orders.compensations")
        now += 0.1
        assert sickbay.is_well("orders.steps")

    assert str(sickbay) == "RabbitMQ does not serve orders.steps"
    sickbay.discharge("orders.steps")
    assert str(sickbay) == ""
    sickbay.admit("orders.steps")
    now += 1.0
    assert sickbay.is_well("orders.steps")


async def test_it_says_when_it_is_time_to_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagaflow.adapters.rabbitmq_consumers._FIRST_PAUSE", 0.01)
    woken = asyncio.Event()

    Sickbay(woken.set).admit("orders.steps")

    await asyncio.wait_for(woken.wait(), 5.0)
