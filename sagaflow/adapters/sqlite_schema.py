"""The tables of a SQLite store, and how a connection to its file is made."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from ..errors import ConfigurationError, StoreUnavailable

VERSION: Final = 1
"""Of the tables, kept as the file's ``user_version``. What is only added leaves it: older processes go on."""

# ``due_at`` is what ``due`` goes by: the earliest of the saga's own time and those of its waiting requests.
_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS sagas (
        id TEXT PRIMARY KEY NOT NULL,
        revision INTEGER NOT NULL,
        status TEXT NOT NULL,
        saga TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        due_at REAL,
        dispatches INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        body TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS sagas_due ON sagas (due_at, id, fingerprint) WHERE due_at IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS sagas_created ON sagas (created_at, id)",
    "CREATE INDEX IF NOT EXISTS sagas_status ON sagas (status, created_at, id)",
    """
    CREATE TABLE IF NOT EXISTS inbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        saga_id TEXT NOT NULL,
        token TEXT NOT NULL,
        due_at REAL NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (saga_id, token)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS claims (
        owner TEXT NOT NULL,
        saga_id TEXT NOT NULL,
        PRIMARY KEY (owner, saga_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS workers (
        id TEXT PRIMARY KEY NOT NULL,
        beats INTEGER NOT NULL DEFAULT 0,
        dead_at REAL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS workers_live ON workers (id, beats) WHERE dead_at IS NULL",
    "CREATE INDEX IF NOT EXISTS workers_dead ON workers (id, dead_at) WHERE dead_at IS NOT NULL",
    f"PRAGMA user_version = {VERSION}",
)

# Added since. Rows that an older process inserts have NULL there.
_COLUMNS: Final = {"accepts": "TEXT", "expire_at": "REAL", "completed_at": "REAL"}
_ADDED: Final = (
    "CREATE INDEX IF NOT EXISTS sagas_expire ON sagas (expire_at, id) WHERE expire_at IS NOT NULL",
    """
    CREATE TABLE IF NOT EXISTS tombstones (
        id TEXT PRIMARY KEY NOT NULL,
        saga TEXT NOT NULL,
        status TEXT NOT NULL,
        completed_at REAL,
        until REAL NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS tombstones_until ON tombstones (until, id)",
    # It keeps older processes too from starting a saga again.
    """
    CREATE TRIGGER IF NOT EXISTS sagas_buried BEFORE INSERT ON sagas
    WHEN EXISTS (SELECT 1 FROM tombstones WHERE id = NEW.id)
    BEGIN
        SELECT RAISE(IGNORE);
    END
    """,
    """
    CREATE TABLE IF NOT EXISTS locks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        saga_id TEXT NOT NULL,
        root TEXT NOT NULL,
        term INTEGER NOT NULL,
        UNIQUE (key, saga_id, root, term)
    )
    """,
    "CREATE INDEX IF NOT EXISTS locks_line ON locks (key, seq)",
    """
    CREATE TABLE IF NOT EXISTS graphs (
        fingerprint TEXT PRIMARY KEY NOT NULL,
        saga TEXT NOT NULL,
        body TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS graphs_saga ON graphs (saga)",
    # A row for each tag of each saga, in the order of listings.
    """
    CREATE TABLE IF NOT EXISTS tags (
        tag TEXT NOT NULL,
        created_at REAL NOT NULL,
        saga_id TEXT NOT NULL,
        place INTEGER NOT NULL,
        PRIMARY KEY (tag, created_at, saga_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS tags_of ON tags (saga_id, place)",
    # Tags go with their saga, and stay with it when an older process changes it, which writes a body without them.
    """
    CREATE TRIGGER IF NOT EXISTS sagas_untagged AFTER DELETE ON sagas
    BEGIN
        DELETE FROM tags WHERE saga_id = OLD.id;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS sagas_tagged AFTER UPDATE OF body ON sagas
    WHEN EXISTS (SELECT 1 FROM tags WHERE saga_id = NEW.id) AND json_type(NEW.body, '$.tags') IS NULL
    BEGIN
        UPDATE sagas SET body = json_set(NEW.body, '$.tags', json((
            SELECT json_group_array(tag) FROM (SELECT tag FROM tags WHERE saga_id = NEW.id ORDER BY place)
        ))) WHERE id = NEW.id;
    END
    """,
    # The status is there to be counted, without a look at a row.
    "CREATE INDEX IF NOT EXISTS sagas_class ON sagas (saga, created_at, id, status)",
    "DROP INDEX IF EXISTS sagas_saga",  # which had all that but the status
    "CREATE INDEX IF NOT EXISTS sagas_ended ON sagas (status, completed_at) WHERE completed_at IS NOT NULL",
)

Synchronous = Literal["FULL", "NORMAL"]

# What the operator must mend; everything else may pass by itself.
_REMEDIES: Final = {
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: may this user read and write it and its directory?",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; name another file",
    sqlite3.SQLITE_PERM: "this user may not open it",
    sqlite3.SQLITE_READONLY: "it is read-only; let this user write it and its directory",
}


def connect(path: Path, synchronous: Synchronous, timeout: float) -> sqlite3.Connection:
    """A connection for the calling thread, to a file with all tables.

    Raises:
        ConfigurationError: the file is not, and cannot be made, a store.
        StoreUnavailable: it is locked for longer than ``timeout`` seconds, or the disk is full.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"The directory {str(path.parent)!r} of the store {str(path)!r} does not exist. Create it, or name "
            f"another; a relative path begins at the directory that the process was started in."
        )
    try:
        # Without an isolation level the module begins no transactions of its own.
        connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
        try:
            _prepare(connection, path, synchronous, timeout)
        except BaseException:
            connection.close()
            raise
        return connection
    except sqlite3.Error as error:
        # The low byte is the kind of the error, the others tell more about it.
        remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if remedy is not None:
            raise ConfigurationError(f"The store {str(path)!r}: {remedy} ({error})") from error
        raise StoreUnavailable(f"The store {str(path)!r} cannot be opened now: {error}") from error


@contextmanager
def transaction(connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"]) -> Generator[None, None, None]:
    """Everything within, or nothing; once this has returned, it is on the disk."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: Synchronous, timeout: float) -> None:
    mode = _write_ahead(connection, timeout)
    if mode != "wal":
        raise ConfigurationError(
            f"The store {str(path)!r} cannot keep a write-ahead log (its journal mode stays {mode!r}), without which "
            f"processes cannot share it. Put it on a local disk."
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    with transaction(connection, "IMMEDIATE"):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise ConfigurationError(
                f"The store {str(path)!r} was made by a later version of SagaFlow: its tables have version "
                f"{version}, and this one knows {VERSION}. Update SagaFlow here, or name another file."
            )
        if version < VERSION:
            for statement in _SCHEMA:
                connection.execute(statement)
        present = {column for _, column, *_ in connection.execute("PRAGMA table_info(sagas)")}
        for column in _COLUMNS.keys() - present:
            connection.execute(f"ALTER TABLE sagas ADD COLUMN {column} {_COLUMNS[column]}")
        for statement in _ADDED:
            connection.execute(statement)


def _write_ahead(connection: sqlite3.Connection, timeout: float) -> str:
    """Switch to the write-ahead log; the journal mode that the file has then."""
    end = time.monotonic() + timeout
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite does not wait here while others switch too, whatever the timeout.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)  # in the thread of the connection
        else:
            return str(mode)
