"""URLs of RabbitMQ, and their secrets."""

from datetime import timedelta

import pytest

from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.adapters.rabbitmq_access import Access
from sagaflow.core.state import Direction
from sagaflow.errors import BrokerUnavailable, ConfigurationError
from sagaflow.ports.broker import Hint, Lane


@pytest.mark.parametrize(
    "url",
    [
        "http://user:canary@host/",
        "user:canary@host",
        "host",
        "",
        "amqp://",
        "amqp:///vhost",
        "amqp://user:canary@host:port/",
        "amqp://user:canary@host:99999/",
        "amqp://user:canary@host:0/",
        "amqp://user:canary@[::1/",
    ],
)
def test_urls_that_cannot_be_meant_are_refused_without_their_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError, match="amqp") as caught:
        RabbitBroker(url)

    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_at_least_one_url_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        RabbitBroker([])


def test_what_is_shown_has_no_credentials() -> None:
    broker = RabbitBroker(["amqp://ada:canary@one/shop", "amqps://ada:canary@two:5673?heartbeat=3", "amqps://three"])

    assert repr(broker) == "<RabbitBroker: RabbitMQ at one:5672/shop, two:5673, three:5671>"
    assert "canary" not in repr(vars(broker))


@pytest.mark.parametrize(("url", "heartbeat"), [("amqp://host", "15"), ("amqp://host?heartbeat=3", "3")])
def test_the_heartbeat_of_a_url_comes_first(url: str, heartbeat: str) -> None:
    access = Access.of(url, name="test", heartbeat=timedelta(seconds=15), ssl_context=None)

    assert access.urls[0].query["heartbeat"] == heartbeat


@pytest.mark.parametrize(
    "settings",
    [
        {"heartbeat": timedelta(0)},
        {"heartbeat": timedelta(hours=1)},
        {"publish_timeout": timedelta(0)},
    ],
)
def test_times_that_make_no_sense_are_refused(settings: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        RabbitBroker("amqp://host", **settings)  # type: ignore[arg-type]  # each fits its name


async def test_a_broker_that_was_not_opened_takes_nothing() -> None:
    broker = RabbitBroker("amqp://host")
    lane = Lane("default", Direction.FORWARD)

    with pytest.raises(BrokerUnavailable, match="not open"):
        await broker.publish([Hint("saga", lane)])
    with pytest.raises(BrokerUnavailable, match="not open"):
        await broker.subscribe([lane], prefetch=1)
    with pytest.raises(BrokerUnavailable, match="away"):
        await broker.depth(lane)
    await broker.close()
