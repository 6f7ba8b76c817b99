"""The books of the service that handlers call: what was tried, and what of it stands."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

_TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    number INTEGER PRIMARY KEY, key TEXT, step_key TEXT, saga_id TEXT, pid INTEGER, began REAL, ended REAL,
    recorded REAL);
CREATE INDEX IF NOT EXISTS calls ON attempts (key);
CREATE TABLE IF NOT EXISTS effects (step_key TEXT PRIMARY KEY, applied REAL, undone REAL);
"""

_PATIENCE = 20.0  # seconds that a writer waits for the others


class Undone(Exception):
    """The effect was undone, or forbidden, before this call came: it is not applied."""


class Attempt(Struct, frozen=True):
    """One call of one handler. Times are seconds since the epoch, or None if that never came.

    ``recorded`` is when its process knew that the engine's store has what came of it.
    """

    number: int
    key: str
    step_key: str
    saga_id: str
    pid: int
    began: float
    ended: float | None
    recorded: float | None

    def ended_or(self, at: float) -> float:
        """When it ended, or ``at`` if it never did."""
        return self.ended if self.ended is not None else at


class Effect(Struct, frozen=True):
    """What became of a step outside. A tombstone was undone and never applied."""

    step_key: str
    applied: float | None
    undone: float | None

    @property
    def stands(self) -> bool:
        """Whether it was applied and not undone."""
        return self.applied is not None and self.undone is None


class Ledger:
    """Appends every attempt, applies each key once, and lets nothing come to life that was undone.

    One SQLite file for all processes. Whatever a call has written outlives the SIGKILL of its process; the power of
    the machine it need not outlive, so that no event loop waits for a disk.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._book = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        self._book.execute("PRAGMA journal_mode = WAL")
        self._book.execute("PRAGMA synchronous = OFF")
        self._book.executescript(_TABLES)

    def close(self) -> None:
        """Release the file."""
        self._book.close()

    @contextmanager
    def attempt(self, key: str, step_key: str, saga_id: str) -> Iterator[None]:
        """One call of one handler: entered, and, unless it is cut off, left."""
        begun = "INSERT INTO attempts (key, step_key, saga_id, pid, began) VALUES (?, ?, ?, ?, ?)"
        number = self._book.execute(begun, (key, step_key, saga_id, os.getpid(), time.time())).lastrowid
        try:
            yield
        except Exception:
            self._end(number)  # it said no, which is an end as well
            raise
        self._end(number)

    def record(self, keys: Sequence[str]) -> None:
        """What came of this process's attempts of these calls is in the engine's store."""
        note = "UPDATE attempts SET recorded = ? WHERE key = ? AND pid = ? AND ended IS NOT NULL AND recorded IS NULL"
        self._book.executemany(note, [(time.time(), key, os.getpid()) for key in keys])

    def apply(self, step_key: str) -> None:
        """Make the effect of a step stand; once is as often.

        Raises:
            Undone: it was undone already.
        """
        once = "INSERT INTO effects (step_key, applied) VALUES (?, ?) ON CONFLICT (step_key) DO NOTHING"
        if self._book.execute(once, (step_key, time.time())).rowcount == 0:
            (undone,) = self._book.execute("SELECT undone FROM effects WHERE step_key = ?", (step_key,)).fetchone()
            if undone is not None:
                raise Undone(step_key)

    def undo(self, step_key: str) -> None:
        """Undo the effect of a step; one that has never come leaves a tombstone, so that it never will."""
        self._book.execute(
            "INSERT INTO effects (step_key, undone) VALUES (?, ?) "
            "ON CONFLICT (step_key) DO UPDATE SET undone = coalesce(undone, excluded.undone)",
            (step_key, time.time()),
        )

    def attempts(self) -> list[Attempt]:
        """All attempts, in the order in which they began."""
        rows = "SELECT number, key, step_key, saga_id, pid, began, ended, recorded FROM attempts ORDER BY number"
        return [Attempt(*row) for row in self._book.execute(rows)]

    def running(self, pid: int, *, since: float) -> int:
        """How many attempts a process has begun since then, and not ended."""
        count = "SELECT count(*) FROM attempts WHERE pid = ? AND began >= ? AND ended IS NULL"
        (found,) = self._book.execute(count, (pid, since)).fetchone()
        return int(found)

    def effects(self) -> dict[str, Effect]:
        """What became of each step, by its key."""
        return {row[0]: Effect(*row) for row in self._book.execute("SELECT step_key, applied, undone FROM effects")}

    def is_free(self) -> bool:
        """Whether others can write: a process that is frozen in the middle of a write would keep them out."""
        probe = sqlite3.connect(self.path, timeout=0.2, isolation_level=None)
        try:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
        finally:
            probe.close()
        return True

    def _end(self, number: int | None) -> None:
        self._book.execute("UPDATE attempts SET ended = ? WHERE number = ?", (time.time(), number))
