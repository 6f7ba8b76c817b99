"""Who is alive, in a SQLite store."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreUnavailable
from ..ports import Beat
from .sqlite_schema import Synchronous, connect, transaction
from .store_rules import DAY

# Seconds for which a heart waits for another process's write; a worker that cannot beat for long is judged dead.
_TIMEOUT = 2.0

_FORGET = """
    DELETE FROM workers
    WHERE dead_at < ? AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.owner = workers.id)
"""


class SQLiteHeart:
    """The ``Heart`` of a ``SQLiteStore``, with a connection that is made by the thread that beats first.

    The dead are forgotten after a day, if no saga holds a claim of theirs any more.
    """

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self._path = path
        self._synchronous: Synchronous = synchronous
        self._connection: sqlite3.Connection | None = None
        self._registered: set[str] = set()

    def beat(self, worker: str) -> Beat:
        now = time.time()
        with self._writing() as connection:
            if worker not in self._registered:
                connection.execute("INSERT OR IGNORE INTO workers (id) VALUES (?)", (worker,))
                connection.execute(_FORGET, (now - DAY,))
            counted = connection.execute(
                "UPDATE workers SET beats = beats + 1 WHERE id = ? AND dead_at IS NULL", (worker,)
            )
            others = connection.execute(
                "SELECT id, beats FROM workers WHERE dead_at IS NULL AND id <> ?", (worker,)
            ).fetchall()
        self._registered.add(worker)
        return Beat(counted.rowcount == 1, now, dict(others))

    def declare_dead(self, worker: str, beats: int) -> bool:
        with self._writing() as connection:
            killed = connection.execute(
                "UPDATE workers SET dead_at = ? WHERE id = ? AND beats = ? AND dead_at IS NULL",
                (time.time(), worker, beats),
            )
        return killed.rowcount == 1

    def leave(self, worker: str) -> None:
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO workers (id, dead_at) VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET dead_at = excluded.dead_at WHERE dead_at IS NULL",
                (worker, time.time()),
            )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        if self._connection is None:
            self._connection = connect(self._path, self._synchronous, _TIMEOUT)
        try:
            with transaction(self._connection, "IMMEDIATE"):
                yield self._connection
        except sqlite3.Error as error:
            raise StoreUnavailable(f"The store {str(self._path)!r} did not take a heartbeat: {error}") from error
