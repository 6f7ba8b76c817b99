"""RabbitMQ keeps the contract; its names, its queues, and what others may do to them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aio_pika
import pytest
from yarl import URL

from sagaflow.adapters import rabbitmq_wire as wire
from sagaflow.adapters.rabbitmq import RabbitBroker, Topology
from sagaflow.errors import BrokerUnavailable, ConfigurationError, Unroutable
from sagaflow.ports.broker import Hint, Lane
from sagaflow.testing.broker_contract import BrokerContract
from tests.contract.rabbitmq_tools import COMPENSATIONS, STEPS, exists, plain_channel, receive, topology, until
from tests.servers import RabbitMQNode
from tests.servers.ports import free_port


@pytest.fixture
async def broker(amqp_url: str, prefix: str) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(amqp_url, topology=topology(prefix))
    await broker.open()
    yield broker
    await broker.close()


@pytest.fixture
async def other_broker(amqp_url: str, prefix: str) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(amqp_url, topology=topology(prefix))
    await broker.open()
    yield broker
    await broker.close()


class TestRabbitBroker(BrokerContract):
    """The contract, with quorum queues."""


class TestClassicQueues(BrokerContract):
    """The contract, with classic queues."""

    @pytest.fixture
    async def broker(self, amqp_url: str, prefix: str) -> AsyncIterator[RabbitBroker]:
        broker = RabbitBroker(amqp_url, topology=topology(prefix, quorum=False))
        await broker.open()
        yield broker
        await broker.close()

    other_broker = broker


# --- names


async def test_names_are_used_end_to_end(amqp_url: str, prefix: str) -> None:
    names = Topology(
        exchange=f"{prefix}-x",
        step_queue=f"{prefix}-do-{{queue}}",
        compensation_queue=f"{prefix}-undo-{{queue}}",
        dead_letter_exchange=f"{prefix}-dlx",
        dead_letter_queue=f"{prefix}-dlq",
    )
    broker = RabbitBroker(amqp_url, topology=names)
    await broker.open()
    await broker.publish(
        [Hint("saga", Lane("orders", STEPS.direction)), Hint("saga", Lane("orders", COMPENSATIONS.direction))]
    )

    async with plain_channel(amqp_url) as channel:
        for name, direction in ((f"{prefix}-do-orders", "forward"), (f"{prefix}-undo-orders", "undo")):
            message = await (await channel.get_queue(name)).get(no_ack=True)
            assert (message.exchange, message.routing_key) == (f"{prefix}-x", name)
            assert json.loads(message.body) == {"v": 1, "id": "saga", "queue": "orders", "direction": direction}
        await channel.default_exchange.publish(aio_pika.Message(b"junk"), f"{prefix}-do-orders")
        await broker.subscribe([Lane("orders", STEPS.direction)], prefetch=1)
        await broker.publish([Hint("other", Lane("orders", STEPS.direction))])
    await broker.close()


async def test_a_plain_publisher_reaches_a_worker(broker: RabbitBroker, amqp_url: str, prefix: str) -> None:
    subscription = await broker.subscribe([STEPS], prefetch=1)
    body = b'{"v": 1, "id": "saga", "queue": "default", "direction": "forward"}'

    async with plain_channel(amqp_url) as channel:
        exchange = await channel.get_exchange(prefix)
        await exchange.publish(aio_pika.Message(body), f"{prefix}.default.steps")

    assert (await receive(subscription)).hint == Hint("saga", STEPS)


async def test_hints_are_persistent_and_each_has_an_id(broker: RabbitBroker, amqp_url: str, prefix: str) -> None:
    await broker.publish([Hint("saga", STEPS)] * 2)

    async with plain_channel(amqp_url) as channel:
        queue = await channel.get_queue(f"{prefix}.default.steps")
        one, other = await queue.get(no_ack=True), await queue.get(no_ack=True)

    assert one.message_id != other.message_id
    assert (one.content_type, one.type) == ("application/json", "sagaflow.hint")
    assert one.delivery_mode is aio_pika.DeliveryMode.PERSISTENT


async def test_connections_have_names_and_a_heartbeat(broker: RabbitBroker, rabbitmq: RabbitMQNode) -> None:
    await broker.subscribe([STEPS], prefetch=1)

    found = await asyncio.to_thread(rabbitmq.ctl, "list_connections", "timeout", "client_properties")

    ours = [line for line in found.splitlines() if "sagaflow (" in line]
    assert len(ours) == 2
    assert all(line.startswith("15\t") for line in ours)
    assert any("sagaflow (publishing)" in line for line in ours)
    assert any("sagaflow (consuming)" in line for line in ours)


# --- what was put aside


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"secret", "no JSON"),
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "fields"),
        (b'{"v": 1, "id": "secret", "queue": "default", "direction": "secret"}', "fields"),
        (b'{"v": 1, "id": "secret", "queue": "default", "direction": "forward", "more": 1}', "fields"),
        (b'{"v": 2, "id": "secret"}', "version"),
        (b'{"v": 1, "id": "secret", "queue": "default", "direction": "undo"}', "another lane"),
        (b'{"v": ' + b"[" * 20_000, "fields"),
        (b'{"w": ' + b"[" * 60_000, "nested"),
        (b'{"v": 1, "id": "' + b"x" * 70_000 + b'"}', "65,536"),
    ],
)
async def test_garbage_is_put_aside_and_work_goes_on(
    broker: RabbitBroker, amqp_url: str, prefix: str, body: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    subscription = await broker.subscribe([STEPS], prefetch=1)
    async with plain_channel(amqp_url) as channel:
        message = aio_pika.Message(body, headers={"x-sagaflow-reason": "not by us"})
        await channel.default_exchange.publish(message, f"{prefix}.default.steps")

    with caplog.at_level(logging.WARNING, "sagaflow"):
        await broker.publish([Hint("saga", STEPS)])
        delivery = await receive(subscription)

    assert delivery.hint == Hint("saga", STEPS)
    await delivery.ack()
    (letter,) = await broker.dead_letters()
    assert reason in letter.reason
    assert "secret" not in letter.reason
    assert letter.queue == f"{prefix}.default.steps"
    (record,) = (record for record in caplog.records if record.name.startswith("sagaflow"))
    assert record.levelno == logging.WARNING
    assert reason in record.getMessage()
    assert "secret" not in record.getMessage()


async def test_dead_letters_keep_what_they_were_and_why(broker: RabbitBroker, prefix: str) -> None:
    subscription = await broker.subscribe([STEPS], prefetch=1)
    await broker.publish([Hint("saga", STEPS)])

    await (await receive(subscription)).dead_letter("there is no saga saga, nor a \udcff")

    async def is_there() -> bool:
        return await broker.dead_letter_depth() == 1

    for _ in range(2):  # to look at them takes nothing away
        await until(is_there)
        (letter,) = await broker.dead_letters()
        assert (letter.hint, letter.queue) == (Hint("saga", STEPS), f"{prefix}.default.steps")
        assert letter.reason == "there is no saga saga, nor a ?"
        assert letter.at is not None
    assert await broker.dead_letters(0) == []


async def test_what_is_given_back_too_often_is_put_aside_by_rabbitmq(amqp_url: str, prefix: str) -> None:
    broker = RabbitBroker(amqp_url, topology=topology(prefix, delivery_limit=2))
    await broker.open()
    subscription = await broker.subscribe([STEPS], prefetch=1)
    await broker.publish([Hint("saga", STEPS)])

    for _ in range(3):
        await (await receive(subscription)).requeue()

    async def is_there() -> bool:
        return await broker.dead_letter_depth() == 1

    await until(is_there)
    (letter,) = await broker.dead_letters()
    assert (letter.hint, letter.queue) == (Hint("saga", STEPS), f"{prefix}.default.steps")
    assert letter.reason == "delivery_limit"
    await broker.close()


async def test_a_dead_letter_that_has_no_place_goes_back_and_finds_one(
    broker: RabbitBroker, amqp_url: str, prefix: str
) -> None:
    subscription = await broker.subscribe([STEPS], prefetch=1)
    await broker.publish([Hint("saga", STEPS)])
    async with plain_channel(amqp_url) as channel:
        await channel.queue_delete(f"{prefix}.dead")

    await (await receive(subscription)).dead_letter("first try")
    await (await receive(subscription)).dead_letter("second try")

    assert [letter.reason for letter in await broker.dead_letters()] == ["second try"]


# --- consuming


async def test_an_idle_worker_gives_back_once_and_not_for_ever(
    broker: RabbitBroker, amqp_url: str, prefix: str
) -> None:
    idle = await broker.subscribe([STEPS], prefetch=10)
    await broker.publish([Hint("first", STEPS)])
    await (await receive(idle)).ack()
    await broker.publish([Hint(f"saga-{number}", STEPS) for number in range(5)])

    async def are_back() -> bool:
        return await broker.depth(STEPS) == 5

    await until(are_back, 3.0)
    await asyncio.sleep(2.0)  # twice the time after which a worker gives back

    assert await are_back()
    async with plain_channel(amqp_url) as channel:
        message = await (await channel.get_queue(f"{prefix}.default.steps")).get()
        assert message.headers["x-delivery-count"] == 1
        await message.nack(requeue=True)


async def test_lanes_share_the_prefetch(broker: RabbitBroker, rabbitmq: RabbitMQNode, prefix: str) -> None:
    subscription = await broker.subscribe([STEPS, COMPENSATIONS], prefetch=7)
    receiving = asyncio.create_task(subscription.receive())

    async def counts() -> list[str]:
        found = await asyncio.to_thread(rabbitmq.ctl, "list_consumers", "queue_name", "prefetch_count")
        return [line.rpartition("\t")[2] for line in found.splitlines() if line.startswith(prefix)]

    async def both() -> bool:
        return await counts() == ["3", "3"]

    await until(both)
    receiving.cancel()


@pytest.mark.parametrize("consuming", [True, False])
async def test_a_worker_survives_the_deletion_of_its_queue(
    broker: RabbitBroker, amqp_url: str, prefix: str, consuming: bool
) -> None:
    subscription = await broker.subscribe([STEPS, COMPENSATIONS], prefetch=10)
    name = f"{prefix}.default.steps"
    if consuming:
        await broker.publish([Hint("first", STEPS)])
        await (await receive(subscription)).ack()

    async with plain_channel(amqp_url) as channel:
        await channel.queue_delete(name)
    receiving = asyncio.create_task(subscription.receive())
    await until(lambda: exists(amqp_url, name))
    await broker.publish([Hint("undo", COMPENSATIONS)])

    assert (await receiving).hint == Hint("undo", COMPENSATIONS)
    async with plain_channel(amqp_url) as channel:
        body = wire.encode(Hint("step", STEPS)).body
        await channel.default_exchange.publish(aio_pika.Message(body), name)
    assert (await receive(subscription)).hint == Hint("step", STEPS)


async def test_channels_do_not_grow_in_number(broker: RabbitBroker, rabbitmq: RabbitMQNode) -> None:
    for number in range(30):
        subscription = await broker.subscribe([STEPS], prefetch=1)
        await broker.publish([Hint(f"saga-{number}", STEPS)])
        await (await receive(subscription)).ack()
        await subscription.close()

    found = await asyncio.to_thread(rabbitmq.ctl, "list_channels", "number")

    assert found.splitlines()[1:] == ["1"]  # the publisher's


# --- publishing


async def test_a_hint_without_a_queue_is_an_error_once(broker: RabbitBroker, amqp_url: str, prefix: str) -> None:
    await broker.publish([Hint("one", STEPS), Hint("one", COMPENSATIONS)])
    async with plain_channel(amqp_url) as channel:
        await channel.queue_delete(f"{prefix}.default.steps")

    with pytest.raises(Unroutable, match="no queue"):
        await broker.publish([Hint("lost", STEPS), *(Hint(f"kept-{number}", COMPENSATIONS) for number in range(50))])
    await broker.publish([Hint("other", STEPS)])

    assert (await broker.depth(STEPS), await broker.depth(COMPENSATIONS)) == (1, 51)


async def test_each_unroutable_hint_is_told_from_the_others(broker: RabbitBroker, amqp_url: str, prefix: str) -> None:
    await broker.publish([Hint("one", STEPS)])
    async with plain_channel(amqp_url) as channel:
        await channel.queue_delete(f"{prefix}.default.steps")

    outcomes = await asyncio.gather(
        *(broker.publish([Hint("one", lane)]) for lane in [STEPS, COMPENSATIONS] * 25), return_exceptions=True
    )

    assert await broker.depth(COMPENSATIONS) == 25
    assert outcomes[1::2] == [None] * 25
    # Whoever comes after the first that failed finds the queue declared again.
    refused = sum(isinstance(outcome, Unroutable) for outcome in outcomes[0::2])
    assert await broker.depth(STEPS) == 25 - refused < 25


async def test_publishing_heals_when_its_exchange_was_deleted(broker: RabbitBroker, amqp_url: str, prefix: str) -> None:
    await broker.publish([Hint("one", STEPS)])
    async with plain_channel(amqp_url) as channel:
        await channel.exchange_delete(prefix)

    with pytest.raises(BrokerUnavailable):
        await broker.publish([Hint("lost", STEPS)])
    await broker.publish([Hint("other", STEPS)])

    assert await broker.depth(STEPS) == 2


@pytest.mark.parametrize(
    "hint", [Hint("x" * 70_000, STEPS), Hint("\udcff", STEPS), Hint("a", Lane("q" * 300, STEPS.direction))]
)
async def test_what_cannot_be_sent_is_unroutable(broker: RabbitBroker, hint: Hint) -> None:
    with pytest.raises(Unroutable, match="cannot be sent"):
        await broker.publish([hint])


async def test_lanes_are_counted_and_emptied(broker: RabbitBroker) -> None:
    assert (await broker.depth(STEPS), await broker.purge(STEPS)) == (0, 0)
    await broker.publish([Hint("one", STEPS), Hint("other", STEPS), Hint("one", COMPENSATIONS)])

    assert await broker.depth(STEPS) == 2
    assert await broker.purge(STEPS) == 2

    assert (await broker.depth(STEPS), await broker.depth(COMPENSATIONS)) == (0, 1)


# --- what can never work


async def test_a_queue_with_other_properties_is_named_and_does_not_stop_publishing(
    broker: RabbitBroker, amqp_url: str, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{prefix}.default.steps"
    async with plain_channel(amqp_url) as channel:
        await channel.declare_queue(name, durable=True)

    with pytest.raises(ConfigurationError, match=rf"(?s)queue '{name}'.*x-.*delete it"):
        await broker.subscribe([STEPS, COMPENSATIONS], prefetch=1)
    with caplog.at_level(logging.ERROR, "sagaflow"):
        await broker.publish([Hint("one", STEPS), Hint("other", COMPENSATIONS)])

    assert (await broker.depth(STEPS), await broker.depth(COMPENSATIONS)) == (1, 1)
    assert name in caplog.text
    assert name in broker.health
    subscription = await broker.subscribe([COMPENSATIONS], prefetch=1)
    assert (await receive(subscription)).hint == Hint("other", COMPENSATIONS)


async def test_an_exchange_with_other_properties_is_named(amqp_url: str, prefix: str) -> None:
    async with plain_channel(amqp_url) as channel:
        await channel.declare_exchange(prefix, "topic")

    with pytest.raises(ConfigurationError, match=f"exchange '{prefix}'"):
        await RabbitBroker(amqp_url, topology=topology(prefix)).open()


async def test_refused_credentials_are_told_at_once_and_never_shown(
    amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    broker = RabbitBroker(str(URL(amqp_url).with_user("canary-user").with_password("canary-secret")))
    caplog.set_level(logging.DEBUG)

    with pytest.raises(ConfigurationError, match="credentials") as caught:
        await broker.open()

    assert broker.health != "ok"
    shown = [caplog.text, repr(broker), broker.health]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert not [text for text in shown if "canary-secret" in text]


async def test_a_virtual_host_that_is_not_there_is_told_at_once(amqp_url: str) -> None:
    with pytest.raises(ConfigurationError, match="virtual host"):
        await RabbitBroker(str(URL(amqp_url).with_path("/nowhere"))).open()


async def test_another_host_of_the_cluster_is_found(amqp_url: str, prefix: str) -> None:
    dead = str(URL(amqp_url).with_port(free_port()))
    broker = RabbitBroker([dead, amqp_url], topology=topology(prefix))

    await broker.open()

    assert broker.health == "ok"
    await broker.publish([Hint("saga", STEPS)])
    await broker.close()


async def test_it_can_be_opened_again(broker: RabbitBroker) -> None:
    await broker.open()  # open already
    await broker.close()
    await broker.open()

    await broker.publish([Hint("saga", STEPS)])
    assert await broker.depth(STEPS) == 1


async def test_a_subscription_without_lanes_or_room_is_a_mistake(broker: RabbitBroker) -> None:
    with pytest.raises(ValueError, match="at least one lane"):
        await broker.subscribe([], prefetch=1)
    with pytest.raises(ValueError, match="room for one"):
        await broker.subscribe([STEPS], prefetch=0)
