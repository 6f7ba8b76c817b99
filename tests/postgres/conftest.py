"""A real PostgreSQL: this session's own, or the one that ``SAGAFLOW_TEST_POSTGRES_URL`` names, as a superuser.

``postgres`` is this session's own server, which a test may freeze and kill; ``postgres_url`` names one that works.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from postgres_store import PostgresStore

from tests.conftest import RequireServer
from tests.servers import PostgresServer

POSTGRES_URL = os.environ.get("SAGAFLOW_TEST_POSTGRES_URL")


@pytest.fixture(scope="session")
def postgres(require_server: RequireServer) -> Iterator[PostgresServer]:
    """This session's own PostgreSQL. A test may freeze, stop or kill it: the next one finds it healed."""
    if POSTGRES_URL:
        pytest.skip("needs a database that it may kill, and SAGAFLOW_TEST_POSTGRES_URL names one that is not ours")
    require_server(PostgresServer)
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def postgres_url(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[str]:
    """The URL of a PostgreSQL that answers, with a schema of this test's own, dropped later."""
    if POSTGRES_URL:
        server = POSTGRES_URL
    else:
        own: PostgresServer = request.getfixturevalue("postgres")
        own.heal()
        server = own.url
    await _execute(server, f"CREATE SCHEMA {prefix}")
    yield f"{server}{'&' if '?' in server else '?'}search_path={prefix}"
    await _execute(server, f"DROP SCHEMA {prefix} CASCADE")


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_url)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other_store(store: PostgresStore, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """As another process would have it."""
    other = PostgresStore(postgres_url)
    await other.open()
    yield other
    await other.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
