"""Both servers are spoken to by TLS: trusted by their certificates, and told who we are by ours."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sagaflow import ConfigurationError, Engine, Saga, StoreUnavailable, step
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from tests.conftest import RequireServer
from tests.e2e.stacks import QUICK, topology
from tests.polling import until
from tests.security.certificates import Authority
from tests.servers import MongoReplicaSet, RabbitMQNode
from tests.servers.mongodb import with_database
from tests.servers.ports import LOOPBACK, free_port

pytestmark = pytest.mark.slow  # each server takes some seconds to start

NOT_TRUSTED = "certificate is not trusted"


class Hello(Saga[str]):
    @step
    async def greet(self, name: str) -> str:
        return f"Hello {name}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that signed nothing here."""
    return Authority(tmp_path_factory.mktemp("certificates"), "others")


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Path:
    """The certificate by which the servers know us."""
    return authority.issue("worker")


@pytest.fixture(scope="module")
def mongo(require_server: RequireServer, authority: Authority, ours: Path) -> Iterator[str]:
    """The URL of a MongoDB that is spoken to by TLS alone, and only by those who have a certificate."""
    require_server(MongoReplicaSet)
    arguments = [
        *("--tlsMode", "requireTLS"),
        *("--tlsCertificateKeyFile", str(authority.issue("mongod"))),
        *("--tlsCAFile", str(authority.file)),
    ]
    options = {"tls": True, "tlsCAFile": str(authority.file), "tlsCertificateKeyFile": str(ours)}
    with MongoReplicaSet(arguments=arguments, options=options) as replica_set:
        yield with_database(replica_set.url, "secure") + "&timeoutMS=4000"


@pytest.fixture(scope="module")
def rabbit(require_server: RequireServer, authority: Authority) -> Iterator[str]:
    """As ``mongo``, of a RabbitMQ, beside the port at which it is found to be ready."""
    require_server(RabbitMQNode)
    port, file = free_port(), authority.issue("rabbitmq")
    configuration = f"""\
listeners.ssl.1 = {LOOPBACK}:{port}
ssl_options.cacertfile = {authority.file}
ssl_options.certfile = {file}
ssl_options.keyfile = {file}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
    with RabbitMQNode(configuration=configuration):
        yield f"amqps://guest:guest@{LOOPBACK}:{port}/"


def mongo_with(url: str, authority: Authority, certificate: Path | None) -> str:
    ours = f"&tlsCertificateKeyFile={quote(str(certificate), safe='')}" if certificate else ""
    return f"{url}&tls=true&tlsCAFile={quote(str(authority.file), safe='')}{ours}"


def rabbit_with(url: str, authority: Authority, certificate: Path | None) -> str:
    ours = f"&certfile={quote(str(certificate))}&keyfile={quote(str(certificate))}" if certificate else ""
    return f"{url}?cafile={quote(str(authority.file))}{ours}"


async def test_a_saga_runs_over_servers_that_speak_tls_alone(
    mongo: str, rabbit: str, authority: Authority, ours: Path
) -> None:
    store, broker = mongo_with(mongo, authority, ours), rabbit_with(rabbit, authority, ours)
    async with Engine([Hello], store=store, broker=broker, settings=QUICK) as engine:
        record = await (await Hello.start("Ada", id="tls")).result()
        assert record.output(Hello.greet) == "Hello Ada"
        await until(lambda: engine.health.broker == "ok")


async def test_a_context_for_tls_that_is_given_comes_first(
    rabbit: str, authority: Authority, stranger: Authority, ours: Path, prefix: str
) -> None:
    context = ssl.create_default_context(cafile=str(authority.file))
    context.load_cert_chain(ours)
    broker = RabbitBroker(rabbit_with(rabbit, stranger, None), ssl_context=context, topology=topology(prefix))
    await broker.open()
    try:
        assert broker.health == "ok"
    finally:
        await broker.close()


async def test_a_mongodb_of_another_authority_is_refused(mongo: str, stranger: Authority, ours: Path) -> None:
    store = MongoStore.from_url(mongo_with(mongo, stranger, ours))
    with pytest.raises(StoreUnavailable, match=NOT_TRUSTED):
        await store.open()
    await store.close()


async def test_a_rabbitmq_of_another_authority_is_refused(rabbit: str, stranger: Authority, ours: Path) -> None:
    broker = RabbitBroker(rabbit_with(rabbit, stranger, ours))
    with pytest.raises(ConfigurationError, match=NOT_TRUSTED):
        await broker.open()
    await broker.close()


async def test_a_mongodb_that_asks_for_a_certificate_refuses_those_who_have_none(
    mongo: str, authority: Authority
) -> None:
    store = MongoStore.from_url(mongo_with(mongo, authority, None))
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()


async def test_a_rabbitmq_that_asks_for_a_certificate_refuses_those_who_have_none(
    rabbit: str, authority: Authority
) -> None:
    broker = RabbitBroker(rabbit_with(rabbit, authority, None))
    await broker.open()
    try:
        assert broker.health.startswith("connecting: RabbitMQ could not be reached")
    finally:
        await broker.close()


async def test_nobody_is_spoken_to_in_clear_text_where_tls_was_asked_for(mongo_url: str, amqp_url: str) -> None:
    store = MongoStore.from_url(mongo_url + ("&" if "?" in mongo_url else "?") + "tls=true&timeoutMS=2000")
    with pytest.raises(StoreUnavailable, match="SSL"):
        await store.open()
    await store.close()
    broker = RabbitBroker(amqp_url.replace("amqp://", "amqps://"))
    await broker.open()
    try:
        assert broker.health.startswith("connecting: RabbitMQ could not be reached")
    finally:
        await broker.close()
