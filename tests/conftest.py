"""Fixtures that every test can use: real servers, names of its own, and a look at what it left behind.

``amqp_url`` and ``mongo_url`` name a server that works: this session's own, or the one that the
environment names as ``SAGAFLOW_TEST_AMQP_URL`` or ``SAGAFLOW_TEST_MONGO_URL``. ``rabbitmq`` and ``mongodb``
are this session's own servers, which a test may freeze and kill.
"""

import asyncio
import inspect
import logging
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest
from hypothesis import settings
from pymongo import MongoClient

from tests.servers import MongoReplicaSet, RabbitMQNode
from tests.servers.mongodb import with_database

AMQP_URL = os.environ.get("SAGAFLOW_TEST_AMQP_URL")
MONGO_URL = os.environ.get("SAGAFLOW_TEST_MONGO_URL")
IN_CI = bool(os.environ.get("CI"))

# How long tasks and threads that were told to end may take for it.
GRACE_SECONDS = 2.0

# An event loop ends its executor when it is closed, after all fixtures; Motor keeps one for ever.
EXECUTOR_THREADS = ("asyncio_", "ThreadPoolExecutor-")

# The time of one example says nothing on a busy machine. CI looks at new examples at every run too.
settings.register_profile("default", deadline=None, derandomize=False, print_blob=True)
settings.register_profile("long", settings.get_profile("default"), max_examples=2_000)
settings.load_profile("default")


class ServerKind(Protocol):
    """A class of servers that knows whether one can be started here."""

    @staticmethod
    def missing() -> str | None: ...


RequireServer: TypeAlias = Callable[[ServerKind], None]


@pytest.fixture(scope="session")
def require_server() -> RequireServer:
    """A function to call before a test starts a server of its own: where the program is missing, it skips the
    test on a laptop and fails it in CI, where a skipped test would go unseen.
    """

    def require(kind: ServerKind) -> None:
        if reason := kind.missing():
            if IN_CI:
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)

    return require


@pytest.fixture(scope="session")
def rabbitmq(require_server: RequireServer) -> Iterator[RabbitMQNode]:
    """This session's own RabbitMQ node. A test may freeze, stop or kill it: the next one finds it healed."""
    if AMQP_URL:
        pytest.skip("needs a broker that it may kill, and SAGAFLOW_TEST_AMQP_URL names one that is not ours")
    require_server(RabbitMQNode)
    with RabbitMQNode() as node:
        yield node


@pytest.fixture(scope="session")
def mongodb(require_server: RequireServer) -> Iterator[MongoReplicaSet]:
    """This session's own MongoDB replica set of one member. A test may freeze, stop or kill it, as above."""
    if MONGO_URL:
        pytest.skip("needs a database that it may kill, and SAGAFLOW_TEST_MONGO_URL names one that is not ours")
    require_server(MongoReplicaSet)
    with MongoReplicaSet() as replica_set:
        yield replica_set


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> str:
    """The URL of a RabbitMQ that answers; name what you declare there with ``prefix``."""
    if AMQP_URL:
        return AMQP_URL
    node: RabbitMQNode = request.getfixturevalue("rabbitmq")
    node.heal()
    return node.url


@pytest.fixture
def mongo_url(request: pytest.FixtureRequest, prefix: str) -> Iterator[str]:
    """The URL of a MongoDB that takes majority writes, with a database of this test's own, dropped later."""
    if MONGO_URL:
        server = MONGO_URL
    else:
        replica_set: MongoReplicaSet = request.getfixturevalue("mongodb")
        replica_set.heal()
        server = replica_set.url
    yield with_database(server, prefix)
    client: MongoClient[dict[str, Any]]
    with MongoClient(server, serverSelectionTimeoutMS=10_000) as client:
        client.drop_database(prefix)


@pytest.fixture
def prefix() -> str:
    """A name that no other test uses: begin the names of queues, exchanges and databases with it."""
    return f"sagaflow_{secrets.token_hex(6)}"


@pytest.fixture(autouse=True)
def logs_stay_as_they_were() -> Iterator[None]:
    """Undo what a test did to loggers: a command line sets the levels of its process, which is everybody's here."""
    loggers = [logging.getLogger(name) for name in ("sagaflow", "aio_pika", "aiormq", "pymongo", "asyncio")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Fail a test after which threads run on that would keep a process from ending."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.daemon or thread.name.startswith(EXECUTOR_THREADS):
            continue
        thread.join(GRACE_SECONDS)
        assert not thread.is_alive(), f"the test left {thread} running"


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail an async test after which tasks run on; every async test has this fixture."""
    before = asyncio.all_tasks()
    yield
    current = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() - before if task is not current}
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE_SECONDS)
    assert not left, "the test left tasks running:\n" + "\n".join(map(repr, left))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the servers they use, and watch the tasks of those that are coroutines."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        for marker, fixtures in {
            "rabbitmq": {"rabbitmq", "amqp_url"},
            "mongodb": {"mongodb", "mongo_url"},
        }.items():
            if fixtures & set(item.fixturenames):
                item.add_marker(marker)
        if inspect.iscoroutinefunction(item.function):
            # First, so that it looks last, after the test's other fixtures have cleaned up.
            item.fixturenames.insert(0, "no_task_is_left")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session if a process that a test started still runs."""
    left = _children()
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("")
            for pid, command in left.items():
                reporter.write_line(f"FAILED: the tests left process {pid} running: {command}", red=True)


def _children() -> dict[int, str]:
    """Return the command lines of this process's children by pid; nothing where there is no /proc."""
    children: dict[int, str] = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, listing.read_text().split()):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            # multiprocessing starts its tracker at the first use and keeps it until the process ends.
            if "multiprocessing.resource_tracker" not in command:
                children[pid] = command
    return children
