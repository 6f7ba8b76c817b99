"""What the adapter makes of a RabbitMQ that is away, killed, frozen, full, emptied, or hidden behind encryption."""

import asyncio
import logging
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from aio_pika import Message
from yarl import URL

from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.errors import BrokerUnavailable, ConfigurationError
from sagaflow.ports.broker import Hint
from tests.contract.rabbitmq_tools import COMPENSATIONS, STEPS, plain_channel, receive, topology, until
from tests.servers import RabbitMQNode

BOUNDED = 10.0
"""Seconds, on a busy machine: ten batches that waited one after another would take longer, and three heartbeats 45."""

YOUTH = 2.0
"""Seconds: RabbitMQ 3.10 may never serve a queue again that is younger than that when it is killed."""


@asynccontextmanager
async def opened(
    url: str | list[str], prefix: str, **changes: timedelta | ssl.SSLContext
) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(url, topology=topology(prefix), **changes)  # type: ignore[arg-type]  # each fits its name
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def hanging(node: RabbitMQNode, queue: str) -> AsyncIterator[None]:
    """Let RabbitMQ answer nothing about a queue, as if most of its members were away."""
    member = f"{{'%2F_{queue}', node()}}"
    await asyncio.to_thread(node.ctl, "eval", f"sys:suspend({member}).")
    try:
        yield
    finally:
        await asyncio.to_thread(node.ctl, "eval", f"sys:resume({member}).")


async def test_it_opens_while_the_broker_is_away_and_works_when_it_comes(rabbitmq: RabbitMQNode, prefix: str) -> None:
    await asyncio.to_thread(rabbitmq.kill)
    began = time.monotonic()
    async with opened(rabbitmq.url, prefix) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=1)
        assert time.monotonic() - began < 2.0
        assert broker.health.startswith("connecting: ")
        await asyncio.sleep(2.0)  # so long a short interruption would be waited for
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="away"):
            await broker.publish([Hint("saga", STEPS)])
        assert time.monotonic() - began < 1.0
        receiving = asyncio.create_task(subscription.receive())

        await asyncio.to_thread(rabbitmq.start)

        await until(lambda: broker.health == "ok")
        await broker.publish([Hint("saga", STEPS)])
        assert (await asyncio.wait_for(receiving, 20)).hint == Hint("saga", STEPS)


async def test_a_broker_killed_under_load_loses_nothing_that_it_confirmed(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    confirmed: set[Hint] = set()
    received: list[Hint] = []
    stop = asyncio.Event()

    async def publish(broker: RabbitBroker, publisher: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            hints = [Hint(f"saga-{publisher}-{number}-{part}", STEPS) for part in range(5)]
            try:
                await broker.publish(hints)
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
            else:
                confirmed.update(hints)

    async def work(broker: RabbitBroker) -> None:
        subscription = await broker.subscribe([STEPS, COMPENSATIONS], prefetch=50)
        while True:
            delivery = await subscription.receive()
            received.append(delivery.hint)
            await delivery.ack()

    async with opened(amqp_url, prefix) as one, opened(amqp_url, prefix) as other:
        publishers = [asyncio.create_task(publish(one, number)) for number in range(8)]
        workers = [asyncio.create_task(work(broker)) for broker in (one, other)]
        for kill in (rabbitmq.kill, rabbitmq.stop):
            await asyncio.sleep(YOUTH)
            await asyncio.to_thread(kill)
            await asyncio.to_thread(rabbitmq.start)
            before = len(confirmed)
            await until(lambda before=before: len(confirmed) > before + 500)
        stop.set()
        await asyncio.gather(*publishers)
        await until(lambda: confirmed <= set(received))
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)

    assert len(confirmed) > 1_000
    doubled = len(received) - len(set(received))
    assert doubled <= 400, f"{doubled} of {len(received)} came twice: more than can have been in work at two crashes"


async def test_what_was_received_before_a_crash_is_settled_without_an_error(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    async with opened(amqp_url, prefix) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=10)
        await broker.publish([Hint(f"saga-{number}", STEPS) for number in range(3)])
        deliveries = [await receive(subscription) for _ in range(3)]
        await asyncio.sleep(YOUTH)
        await asyncio.to_thread(rabbitmq.kill)

        await deliveries[0].ack()
        await deliveries[1].requeue()
        await deliveries[2].dead_letter("nobody hears this")

        await asyncio.to_thread(rabbitmq.start)
        again = {(await receive(subscription)).hint.saga_id for _ in range(3)}
        assert again == {"saga-0", "saga-1", "saga-2"}
        # The numbers of old deliveries mean others now.
        await deliveries[0].ack()
        await until(lambda: broker.health == "ok")
        assert await broker.dead_letter_depth() == 0


async def test_a_queue_that_is_not_served_does_not_stop_the_others(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    async with opened(amqp_url, prefix) as broker, opened(amqp_url, prefix) as other:
        await broker.publish([Hint("step", STEPS), Hint("undo", COMPENSATIONS)])
        member = f"{{'%2F_{prefix}.default.steps', node()}}"
        await asyncio.to_thread(rabbitmq.ctl, "eval", f"ra:stop_server(quorum_queues, {member}).")

        subscription = await other.subscribe([STEPS, COMPENSATIONS], prefetch=10)

        delivery = await receive(subscription)
        assert delivery.hint == Hint("undo", COMPENSATIONS)
        await delivery.ack()
        receiving = asyncio.create_task(subscription.receive())
        await until(lambda: "not serve" in other.health)
        assert other.health == f"RabbitMQ does not serve {prefix}.default.steps"
        await asyncio.to_thread(rabbitmq.ctl, "eval", f"ra:restart_server(quorum_queues, {member}).")
        assert (await asyncio.wait_for(receiving, 30)).hint == Hint("step", STEPS)
        assert other.health == "ok"


async def test_what_was_fetched_while_another_queue_hangs_comes_again(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    hints = {Hint(f"saga-{number}", STEPS) for number in range(5)}
    async with opened(amqp_url, prefix) as broker, opened(amqp_url, prefix) as other:
        await broker.publish([*hints, Hint("undo", COMPENSATIONS)])
        async with hanging(rabbitmq, f"{prefix}.default.compensations"):
            subscription = await other.subscribe([STEPS, COMPENSATIONS], prefetch=20)
            held = [await receive(subscription) for _ in hints]
            assert {delivery.hint for delivery in held} == hints

            # Asking for the other queue costs the connection, and what had come over it is here once more.
            again: set[Hint] = set()
            while again != hints:
                delivery = await receive(subscription)
                again.add(delivery.hint)
                await delivery.ack()

        while (delivery := await receive(subscription, 60)).hint != Hint("undo", COMPENSATIONS):
            await delivery.ack()  # once more one from before
        assert other.health == "ok"


async def test_a_broker_that_lost_its_disk_is_given_everything_again(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    async with opened(amqp_url, prefix) as broker, opened(amqp_url, prefix) as starter:
        subscription = await broker.subscribe([STEPS], prefetch=1)
        await starter.publish([Hint("before", STEPS), Hint("before", COMPENSATIONS)])
        await (await receive(subscription)).ack()

        await asyncio.to_thread(rabbitmq.close)
        await asyncio.to_thread(rabbitmq.start)
        await until(lambda: broker.health == starter.health == "ok")

        await starter.publish([Hint("after", STEPS), Hint("after", COMPENSATIONS)])
        delivery = await receive(subscription)
        assert delivery.hint == Hint("after", STEPS)
        await delivery.dead_letter("to see that there is a place for it")
        assert await broker.dead_letter_depth() == 1
        assert await broker.depth(COMPENSATIONS) == 1


async def test_a_frozen_broker_holds_nobody_up(rabbitmq: RabbitMQNode, amqp_url: str, prefix: str) -> None:
    async with opened(amqp_url, prefix, publish_timeout=timedelta(seconds=1)) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=10)
        await broker.publish([Hint(f"saga-{number}", STEPS) for number in range(3)])
        deliveries = [await receive(subscription) for _ in range(3)]
        rabbitmq.pause()
        try:
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="in 1 s"):
                await broker.publish([Hint("one", STEPS)])
            with pytest.raises(BrokerUnavailable):
                await broker.publish([Hint(f"saga-{number}", STEPS) for number in range(5_000)])
            assert time.monotonic() - began < BOUNDED

            began = time.monotonic()
            await deliveries[0].ack()
            await deliveries[1].requeue()
            await deliveries[2].dead_letter("nobody hears this")
            assert time.monotonic() - began < BOUNDED

            began = time.monotonic()
            await broker.close()
            assert time.monotonic() - began < BOUNDED
        finally:
            rabbitmq.resume()


async def test_nobody_waits_long_to_close_while_connecting_to_a_frozen_broker(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    rabbitmq.pause()
    try:
        began = time.monotonic()
        broker = RabbitBroker(amqp_url, topology=topology(prefix))
        await broker.open()
        assert 2.5 < time.monotonic() - began < 4.0
        assert broker.health == "connecting"
        began = time.monotonic()
        await broker.close()
        assert time.monotonic() - began < 4.0
    finally:
        rabbitmq.resume()


async def test_a_broker_that_was_frozen_for_long_is_noticed_and_found_again(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    patient = {"heartbeat": timedelta(seconds=1), "publish_timeout": timedelta(seconds=60)}
    async with opened(amqp_url, prefix, **patient) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=10)
        receiving = asyncio.create_task(subscription.receive())
        await asyncio.sleep(0.2)
        rabbitmq.pause()
        try:
            began = time.monotonic()
            # aio-pika cancels what waits for a connection that its heartbeat finds dead. We do not pass that on.
            with pytest.raises(BrokerUnavailable):
                await broker.publish([Hint("lost", STEPS)])
            assert time.monotonic() - began < 12.0
            assert broker.health.startswith("connecting: ")
        finally:
            rabbitmq.resume()

        await until(lambda: broker.health == "ok")
        await broker.publish([Hint("saga", STEPS)])
        # What was given up may have arrived all the same.
        assert (await asyncio.wait_for(receiving, 20)).hint.saga_id in {"lost", "saga"}


async def test_connections_closed_by_an_operator_come_back(rabbitmq: RabbitMQNode, amqp_url: str, prefix: str) -> None:
    async with opened(amqp_url, prefix) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=10)
        receiving = asyncio.create_task(subscription.receive())

        await asyncio.to_thread(rabbitmq.ctl, "close_all_connections", "maintenance")

        await broker.publish([Hint("saga", STEPS)])
        assert (await asyncio.wait_for(receiving, 20)).hint == Hint("saga", STEPS)


async def test_a_broker_without_memory_is_shown_and_waited_for(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    async with opened(amqp_url, prefix, publish_timeout=timedelta(seconds=1)) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=10)
        await broker.publish([Hint("before", STEPS)])
        await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.0001")
        try:
            # Consumers are not blocked, for they make room.
            await (await receive(subscription)).ack()
            for lane in (STEPS, COMPENSATIONS):
                began = time.monotonic()
                with pytest.raises(BrokerUnavailable, match=r"in [\d.]+ s"):
                    await broker.publish([Hint("during", lane)])
                assert time.monotonic() - began < 2.0
            assert broker.health == "blocked: RabbitMQ is low on memory or disk"
            # Whoever comes later does not wait as long again.
            async with asyncio.timeout(20):
                for _ in range(100):
                    with pytest.raises(BrokerUnavailable, match="low on memory or disk"):
                        await broker.publish([Hint("later", COMPENSATIONS)])
        finally:
            await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")

        await until(lambda: broker.health == "ok")
        await broker.publish([Hint("after", COMPENSATIONS)])
        # Nothing was sent while it was known to be blocked.
        assert await broker.depth(COMPENSATIONS) == 1


async def test_garbage_is_put_aside_as_soon_as_that_can_be_done(
    rabbitmq: RabbitMQNode, amqp_url: str, prefix: str
) -> None:
    async with opened(amqp_url, prefix, publish_timeout=timedelta(seconds=1)) as broker:
        subscription = await broker.subscribe([STEPS], prefetch=10)
        async with plain_channel(amqp_url) as channel:
            await channel.default_exchange.publish(Message(b"junk"), f"{prefix}.default.steps")
        await broker.publish([Hint("saga", STEPS)])
        await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.0001")
        try:
            with pytest.raises(BrokerUnavailable):
                await broker.publish([Hint("during", STEPS)])
            # Before RabbitMQ has said so, one that was not confirmed is on its way all the same, and is there twice.
            await until(lambda: broker.health.startswith("blocked"))
            assert (await receive(subscription)).hint == Hint("saga", STEPS)
            await asyncio.sleep(2.5)  # it is tried twice meanwhile
        finally:
            await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")

        async def is_aside() -> bool:
            return await broker.dead_letter_depth() >= 1

        await until(is_aside)


async def test_attempts_and_lines_stay_few_while_nothing_answers(prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    attempts: list[float] = []

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(time.monotonic())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with caplog.at_level(logging.INFO, "sagaflow"):
        async with server, opened(f"amqp://guest:guest@127.0.0.1:{port}/", prefix) as broker:
            await asyncio.sleep(7.0)
            assert broker.health.startswith("connecting: ")

    assert 4 <= len(attempts) <= 9
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert gaps[0] < 0.5
    assert max(gaps) > 1.0
    assert len([record for record in caplog.records if record.name.startswith("sagaflow")]) == 1


async def test_the_connection_can_be_encrypted(amqp_url: str, prefix: str, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    await asyncio.to_thread(
        subprocess.check_call, [*command.split(), "-keyout", key, "-out", certificate], stderr=subprocess.DEVNULL
    )
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate, key)
    target = URL(amqp_url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.host, target.port)
        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=theirs)
    url = str(target.with_scheme("amqps").with_host("localhost").with_port(server.sockets[0].getsockname()[1]))
    async with server:
        # Nobody vouches for this certificate ...
        stranger = RabbitBroker(url, topology=topology(prefix))
        with pytest.raises(ConfigurationError, match="not trusted"):
            await stranger.open()
        await stranger.close()
        # ... unless we do.
        async with opened(url, prefix, ssl_context=ssl.create_default_context(cafile=certificate)) as broker:
            subscription = await broker.subscribe([STEPS], prefetch=1)
            await broker.publish([Hint("saga", STEPS)])
            assert (await receive(subscription)).hint == Hint("saga", STEPS)
