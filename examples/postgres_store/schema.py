"""The tables of the store, and what its server must be like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncpg import InsufficientPrivilegeError, InvalidSchemaNameError

from sagaflow.errors import ConfigurationError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

VERSION: Final = 1
"""Of the tables; it is kept as the comment on the first of them."""

# Texts are compared by their bytes ("C"): the same order everywhere, and an index serves it.
#
# The inbox is a column, and not a table, so that one row is all that a change depends on. PostgreSQL tests the
# conditions of a statement again on a row that somebody else has changed meanwhile, but only those on that row.
#
# The row of a saga that was forgotten stays as its tombstone, without a body, if its id was chosen: so an insert finds
# the id taken, whenever it comes.
_TABLES: Final = (
    """
    CREATE TABLE sagaflow_sagas (
        id text COLLATE "C" PRIMARY KEY,
        revision bigint NOT NULL,
        status text NOT NULL,
        saga text COLLATE "C" NOT NULL,
        fingerprint text COLLATE "C" NOT NULL,
        named boolean NOT NULL,
        created_at double precision NOT NULL,
        updated_at double precision NOT NULL,
        completed_at double precision,
        expire_at double precision,
        due_at double precision,
        dispatches integer NOT NULL DEFAULT 0,
        accepts text[] NOT NULL,
        owners text[] COLLATE "C" NOT NULL,
        tags text[] COLLATE "C" NOT NULL DEFAULT '{}',
        inbox jsonb NOT NULL DEFAULT '[]',
        body text
    )
    """,
    "CREATE INDEX ON sagaflow_sagas (due_at, id) INCLUDE (dispatches, fingerprint) WHERE due_at IS NOT NULL",
    "CREATE INDEX ON sagaflow_sagas USING gin (owners) WITH (fastupdate = off) WHERE owners <> '{}'",
    "CREATE INDEX ON sagaflow_sagas USING gin (tags) WITH (fastupdate = off) WHERE tags <> '{}'",
    "CREATE INDEX ON sagaflow_sagas (expire_at, id) WHERE expire_at IS NOT NULL",
    "CREATE INDEX ON sagaflow_sagas (created_at, id) WHERE body IS NOT NULL",
    "CREATE INDEX ON sagaflow_sagas (status, created_at, id) WHERE body IS NOT NULL",
    "CREATE INDEX ON sagaflow_sagas (saga, created_at, id) INCLUDE (status) WHERE body IS NOT NULL",
    "CREATE INDEX ON sagaflow_sagas (status, completed_at) WHERE body IS NOT NULL AND completed_at IS NOT NULL",
    """
    CREATE TABLE sagaflow_workers (
        id text COLLATE "C" PRIMARY KEY,
        beats bigint NOT NULL DEFAULT 0,
        dead_at double precision
    )
    """,
    "CREATE INDEX ON sagaflow_workers (id) INCLUDE (beats) WHERE dead_at IS NULL",
    "CREATE INDEX ON sagaflow_workers (dead_at, id) WHERE dead_at IS NOT NULL",
    """
    CREATE TABLE sagaflow_lines (
        key text COLLATE "C" PRIMARY KEY,
        line jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE sagaflow_graphs (
        fingerprint text COLLATE "C" PRIMARY KEY,
        saga text COLLATE "C" NOT NULL,
        body text NOT NULL
    )
    """,
    "CREATE INDEX ON sagaflow_graphs (saga)",
    f"COMMENT ON TABLE sagaflow_sagas IS 'SagaFlow {VERSION}'",
)

# Not by to_regclass: where it has found no table, it may say so again after another process has created it.
_VERSION: Final = """
    SELECT obj_description(oid, 'pg_class') FROM pg_class
    WHERE relname = 'sagaflow_sagas' AND pg_table_is_visible(oid)
"""

# Settings of the server, the values that will do, and what is to be done about others. "off" forgets what was
# confirmed when the power goes, "local" and "remote_write" when a standby takes over.
_PROMISES: Final = (
    ("synchronous_commit", {"on", "remote_apply"}, "Set it to on: for the server, the user, or in the URL, by ?{}=on"),
    ("fsync", {"on"}, "Set it to on in postgresql.conf"),
    ("full_page_writes", {"on"}, "Set it to on in postgresql.conf"),
)

# Any number will do that other programs on this database do not lock.
_CREATING: Final = 0x5A6AF107


async def check_server(connection: PoolConnectionProxy) -> None:
    """Refuse a server that cannot give what the store promises.

    Raises:
        ConfigurationError: it may lose what it confirms, or cannot keep every text.
    """
    for name, allowed, remedy in _PROMISES:
        value = await connection.fetchval("SELECT current_setting($1)", name)
        if value not in allowed:
            raise ConfigurationError(
                f"PostgreSQL may lose what it has confirmed: {name} is {value} here. {remedy.format(name)}."
            )
    encoding = await connection.fetchval("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database has the encoding {encoding}, in which PostgreSQL cannot keep every text. Create one with: "
            f"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


async def create_tables(connection: PoolConnectionProxy) -> None:
    """Create what does not exist, once, however many processes ask for it at the same time.

    Raises:
        ConfigurationError: the user may not create tables, or they are of a later version.
    """
    if await _exist(connection):
        return
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _CREATING)
            if not await _exist(connection):
                for statement in _TABLES:
                    await connection.execute(statement)
    except (InsufficientPrivilegeError, InvalidSchemaNameError) as error:
        raise ConfigurationError(
            f"PostgreSQL does not let this user create the tables of the store: {error.args[0]}. Let it (GRANT CREATE "
            f"ON SCHEMA … TO …), or open the store once as a user who may; after that, SELECT, INSERT, UPDATE and "
            f"DELETE on these tables are enough."
        ) from error


async def _exist(connection: PoolConnectionProxy) -> bool:
    comment = await connection.fetchval(_VERSION)
    if comment is None:
        return False
    version = int(comment.removeprefix("SagaFlow "))
    if version > VERSION:
        raise ConfigurationError(
            f"The tables of this store were made by a later version of this module: theirs is {version}, and this one "
            f"knows {VERSION}. Update it here."
        )
    return True
