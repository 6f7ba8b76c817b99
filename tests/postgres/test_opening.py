"""The example of a store in PostgreSQL refuses what it could not keep its promises on, and shows no password."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import asyncpg
import pytest
from postgres_store import PostgresStore

from sagaflow.errors import ConfigurationError, StoreUnavailable
from sagaflow.testing.store_states import new_saga
from tests.conftest import RequireServer
from tests.servers import PostgresServer
from tests.servers.ports import free_port

pytestmark = pytest.mark.postgres

SECRET = "swordfish"


def changed_url(url: str, *, user: str = "", database: str = "", **settings: str) -> str:
    """The URL with another user (``name:password``), database, or settings."""
    parts = urlsplit(url)
    netloc = f"{user}@{parts.netloc.rpartition('@')[2]}" if user else parts.netloc
    query = "&".join([parts.query, *(f"{name}={value}" for name, value in settings.items())])
    return parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path, query=query).geturl()


async def refusal(url: str) -> str:
    """What the error says with which such a store cannot be opened."""
    store = PostgresStore(url, timeout=2)
    with pytest.raises((ConfigurationError, StoreUnavailable)) as raised:
        await store.open()
    await store.close()
    assert SECRET not in repr(store)
    shown: BaseException | None = raised.value
    while shown is not None:  # what a log would print
        assert SECRET not in f"{shown!r} {shown}"
        shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)
    return f"{type(raised.value).__name__}: {raised.value}"


@pytest.fixture
async def administrator(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection: asyncpg.Connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("level", ["off", "local", "remote_write"])
async def test_a_server_that_could_lose_what_it_confirms_is_refused(postgres_url: str, level: str) -> None:
    said = await refusal(changed_url(postgres_url, synchronous_commit=level))
    assert said.startswith("ConfigurationError: PostgreSQL may lose what it has confirmed")
    assert f"synchronous_commit is {level} here" in said
    assert "?synchronous_commit=on" in said


async def test_a_server_that_does_not_wait_for_its_disk_is_refused(require_server: RequireServer) -> None:
    require_server(PostgresServer)
    with PostgresServer({"fsync": "off"}) as server:
        assert "fsync is off here. Set it to on in postgresql.conf" in await refusal(server.url)


async def test_a_database_that_cannot_keep_every_text_is_refused(
    postgres_url: str, administrator: asyncpg.Connection, prefix: str
) -> None:
    await administrator.execute(f"CREATE DATABASE {prefix} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        said = await refusal(changed_url(postgres_url, database=prefix))
    finally:
        await administrator.execute(f"DROP DATABASE {prefix}")
    assert "has the encoding LATIN1" in said
    assert "CREATE DATABASE … ENCODING 'UTF8'" in said


async def test_a_wrong_password_and_a_wrong_database_are_said_to_be_so(postgres_url: str) -> None:
    said = await refusal(changed_url(postgres_url, user=f"sagaflow:{SECRET}"))
    assert "ConfigurationError: PostgreSQL does not let this user open the store: password authentication" in said
    said = await refusal(changed_url(postgres_url, database="nowhere"))
    assert "ConfigurationError" in said
    assert 'database "nowhere" does not exist' in said


async def test_a_search_path_without_a_schema_is_refused(postgres_url: str) -> None:
    said = await refusal(changed_url(postgres_url).replace("search_path=", "search_path=no_"))
    assert "ConfigurationError: PostgreSQL does not let this user create the tables" in said
    assert "no schema has been selected" in said


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    said = await refusal(f"postgresql://shop:{SECRET}@127.0.0.1:{free_port()}/shop")
    assert said.startswith("StoreUnavailable: PostgreSQL could not open the store")


@pytest.mark.parametrize(
    "url",
    [
        "shop",
        "postgresql:///",
        f"mysql://shop:{SECRET}@localhost/shop",
        f"postgresql://shop:{SECRET}@localhost",
        *(f"postgresql://shop:a{special}{SECRET}@localhost/shop" for special in "/?#"),
    ],
)
def test_what_is_no_url_of_a_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is written postgresql://user:password@host/database") as raised:
        PostgresStore(url)
    assert "percent-encoded" in str(raised.value)
    assert SECRET not in str(raised.value)


async def test_a_url_that_only_the_driver_finds_fault_with_is_not_shown_either() -> None:
    said = await refusal(f"postgresql://shop:{SECRET}@localhost:a@port/shop")
    assert said.startswith("ConfigurationError: The URL of a PostgreSQL store is written postgresql://")


async def test_a_password_of_any_characters_can_be_written(
    postgres_url: str, administrator: asyncpg.Connection, prefix: str
) -> None:
    password = "a/b@c:d#e?f%g ☂"
    await administrator.execute(f"CREATE ROLE {prefix} SUPERUSER LOGIN PASSWORD '{password}'")
    store = PostgresStore(changed_url(postgres_url, user=f"{prefix}:{quote(password, safe='')}"))
    await store.open()
    await store.close()
    await administrator.execute(f"DROP OWNED BY {prefix} CASCADE")
    await administrator.execute(f"DROP ROLE {prefix}")


async def test_a_user_without_rights_is_told_which_it_lacks_and_needs_none_to_create(
    postgres_url: str, administrator: asyncpg.Connection, prefix: str
) -> None:
    password = secrets.token_hex(8)
    await administrator.execute(f"CREATE ROLE {prefix} LOGIN PASSWORD '{password}'")
    await administrator.execute(f"GRANT USAGE ON SCHEMA {prefix} TO {prefix}")
    url = changed_url(postgres_url, user=f"{prefix}:{password}")
    assert "permission denied for schema" in (said := await refusal(url))
    assert "GRANT CREATE ON SCHEMA" in said
    owners = PostgresStore(postgres_url)
    await owners.open()
    await owners.close()
    store = PostgresStore(url)
    await store.open()
    with pytest.raises(ConfigurationError, match="permission denied for table"):
        await store.insert(new_saga("a"), None)
    await administrator.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {prefix} TO {prefix}")
    assert await store.insert(new_saga("a"), None)
    heart = store.heart()
    assert heart.beat("worker").alive
    heart.close()
    await store.close()
    await administrator.execute(f"DROP OWNED BY {prefix} CASCADE")
    await administrator.execute(f"DROP ROLE {prefix}")


async def test_many_processes_can_open_an_empty_database_at_once(postgres_url: str) -> None:
    stores = [PostgresStore(postgres_url, connections=2) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    inserted = await asyncio.gather(*(store.insert(new_saga("a"), None) for store in stores))
    assert inserted.count(True) == 1
    await asyncio.gather(*(store.close() for store in stores))


async def test_tables_of_a_later_version_are_refused(store: PostgresStore, postgres_url: str) -> None:
    administrator = await asyncpg.connect(postgres_url)
    await administrator.execute("COMMENT ON TABLE sagaflow_sagas IS 'SagaFlow 99'")
    await administrator.close()
    assert "made by a later version" in await refusal(postgres_url)
