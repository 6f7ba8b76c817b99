"""A store in one SQLite file, which the processes of one machine can share."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..core.state import SagaState, SagaStatus
from ..errors import ConfigurationError, InboxFull, StoreUnavailable
from ..ports import (
    INBOX_LIMIT,
    Due,
    Orphan,
    Outcome,
    Page,
    Posted,
    Query,
    Signal,
    Stored,
    Summary,
    Transition,
)
from .sqlite_heart import SQLiteHeart
from .sqlite_schema import Synchronous, connect, transaction
from .store_rules import (
    check_ids,
    check_query,
    cursor_after,
    decode_signal,
    decode_state,
    encode_after,
    encode_request,
    encode_state,
)

T = TypeVar("T")

# Without the order of the tables the planner could go through all claims, live ones included.
_ORPHANS = """
    SELECT claims.saga_id, claims.owner
    FROM workers CROSS JOIN claims ON claims.owner = workers.id CROSS JOIN sagas ON sagas.id = claims.saga_id
    WHERE workers.dead_at IS NOT NULL AND {of}
    LIMIT ?
"""

_COMMIT = """
    UPDATE sagas
    SET revision = ?, status = ?, saga = ?, fingerprint = ?, due_at = ?, dispatches = 0,
        created_at = ?, updated_at = ?, body = ?
    WHERE id = ? AND revision = ?
"""


class SQLiteStore:
    """A ``Store`` in one file. Several processes may share it, on one machine.

    Every commit of a batch is one transaction. The statements run one after another in a thread of the store's own,
    so the event loop never waits for the disk. The store's clock is the machine's.

    Args:
        path: the file; it is created if it does not exist, its directory is not.
        synchronous: ``"FULL"`` survives a loss of power; ``"NORMAL"`` is faster, and a loss of power may take back
            the last commits (the end of a process never does).
        timeout: seconds to wait for another process's transaction before ``StoreUnavailable``.

    Raises:
        ConfigurationError: ``path`` names no file.

    Example:
        >>> SQLiteStore("orders.db")
        <SQLiteStore 'orders.db'>
    """

    def __init__(
        self, path: str | os.PathLike[str], *, synchronous: Synchronous = "FULL", timeout: float = 5.0
    ) -> None:
        if str(path) in {"", ":memory:"}:
            raise ConfigurationError(
                f"SQLiteStore({str(path)!r}): a store of this kind is a file, which other connections can open. Name "
                f"one, or use MemoryStore (the URL memory://) for a store that ends with the process."
            )
        if synchronous not in ("FULL", "NORMAL"):
            raise ConfigurationError(f"SQLiteStore(synchronous={synchronous!r}): write 'FULL' or 'NORMAL'")
        self._path = Path(path)
        self._synchronous: Synchronous = synchronous
        self._timeout = timeout
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None  # belongs to the thread

    def __repr__(self) -> str:
        return f"<SQLiteStore {str(self._path)!r}>"

    async def open(self) -> None:
        if self._thread is not None:
            return
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sagaflow-sqlite")
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connect)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        closed = asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
        # It takes nothing new; what was given to it before, the closing included, is still done.
        thread.shutdown(wait=False)
        await closed

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        body = encode_state(state)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection, "IMMEDIATE"):
                inserted = connection.execute(
                    "INSERT OR IGNORE INTO sagas "
                    "(id, revision, status, saga, fingerprint, due_at, created_at, updated_at, body) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(state.id, state.revision, state.status, state.saga, state.fingerprint),
                        *(wake_at, state.created_at, state.updated_at, body),
                    ),
                )
                if inserted.rowcount == 1:
                    _claim(connection, state.id, (), state.owners)
            return inserted.rowcount == 1

        return await self._run(work)

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        check_ids(saga_ids)

        def work(connection: sqlite3.Connection) -> list[tuple[str, str, list[tuple[str, str]]]]:
            with transaction(connection, "DEFERRED"):  # a saga and its inbox as they were at one moment
                return [
                    (saga_id, body, _inbox(connection, saga_id))
                    for saga_id in saga_ids
                    for (body,) in connection.execute("SELECT body FROM sagas WHERE id = ?", (saga_id,))
                ]

        return {
            saga_id: Stored(decode_state(body), tuple(decode_signal(*row) for row in inbox))
            for saga_id, body, inbox in await self._run(work)
        }

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        bodies = [encode_after(transition.after) for transition in transitions]

        def work(connection: sqlite3.Connection) -> list[Outcome]:
            with transaction(connection, "IMMEDIATE"):
                return [
                    _commit(connection, transition, body) for transition, body in zip(transitions, bodies, strict=True)
                ]

        try:
            return await self._run(work)
        except StoreUnavailable:
            return [Outcome.UNSURE] * len(transitions)

    async def post(self, saga_id: str, signal: Signal, statuses: Sequence[SagaStatus]) -> Posted:
        check_ids((saga_id,))
        body = encode_request(signal)

        def work(connection: sqlite3.Connection) -> Posted:
            with transaction(connection, "IMMEDIATE"):
                return _post(connection, saga_id, signal.token, body, statuses)

        return await self._run(work)

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        of, values = _of(fingerprints)
        rows = await self._rows(
            f"SELECT id, due_at, dispatches FROM sagas WHERE due_at <= ? AND {of} ORDER BY due_at, id LIMIT ?",
            now,
            *values,
            limit,
        )
        return [Due(*row) for row in rows]

    async def defer(self, due: Sequence[Due], until: Sequence[float]) -> list[bool]:
        check_ids(found.saga_id for found in due)

        def work(connection: sqlite3.Connection) -> list[bool]:
            with transaction(connection, "IMMEDIATE"):
                return [_defer(connection, found, at) for found, at in zip(due, until, strict=True)]

        return await self._run(work)

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        of, values = _of(fingerprints)
        return [Orphan(*row) for row in await self._rows(_ORPHANS.format(of=of), *values, limit)]

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        rows = await self._rows("SELECT saga_id FROM claims WHERE owner = ? LIMIT ?", owner, limit)
        return [saga_id for (saga_id,) in rows]

    async def find(self, query: Query) -> Page:
        statement, values = _select(query)
        states = [decode_state(body) for (body,) in await self._rows(statement, *values)]
        page = states[: query.limit]
        return Page(tuple(page), cursor_after(page[-1]) if len(states) > len(page) else None)

    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        check_ids(saga_ids)

        def work(connection: sqlite3.Connection) -> dict[str, Summary]:
            return {
                saga_id: Summary(revision, SagaStatus(status))
                for saga_id in saga_ids
                for revision, status in connection.execute(
                    "SELECT revision, status FROM sagas WHERE id = ?", (saga_id,)
                )
            }

        return await self._run(work)

    def heart(self) -> SQLiteHeart:
        return SQLiteHeart(self._path, self._synchronous)

    async def _rows(self, statement: str, *values: object) -> list[Any]:
        return await self._run(lambda connection: connection.execute(statement, values).fetchall())

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work in the thread, after what was given to it before.

        If the awaiting task is cancelled, work that has begun goes on to its end.
        """
        if self._thread is None:
            raise StoreUnavailable(f"{self!r} is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    # ------------------------------------------------------------------ in the thread

    def _connect(self) -> None:
        self._connection = connect(self._path, self._synchronous, self._timeout)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            raise StoreUnavailable(f"{self!r} is not open")
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self!r} did not do it: {error}") from error


def _of(fingerprints: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """The condition for sagas of these definitions, and the values in it."""
    if fingerprints is None:
        return "TRUE", ()
    return f"sagas.fingerprint IN ({', '.join('?' * len(fingerprints))})", fingerprints


def _commit(connection: sqlite3.Connection, transition: Transition, body: str | None) -> Outcome:
    before, after = transition.before, transition.after
    if body is None:
        return Outcome.CONFLICT
    if transition.inbox_size is not None and transition.inbox_size != _inbox_size(connection, before.id):
        return Outcome.CONFLICT
    updated = connection.execute(
        _COMMIT,
        (
            *(after.revision, after.status, after.saga, after.fingerprint, transition.wake_at),
            *(after.created_at, after.updated_at, body, before.id, before.revision),
        ),
    )
    if updated.rowcount == 0:
        return Outcome.CONFLICT
    for token in transition.consumed:
        connection.execute("DELETE FROM inbox WHERE saga_id = ? AND token = ?", (before.id, token))
    (waiting,) = connection.execute("SELECT min(due_at) FROM inbox WHERE saga_id = ?", (before.id,)).fetchone()
    if waiting is not None:
        _wake(connection, before.id, waiting)
    _claim(connection, before.id, before.owners, after.owners)
    return Outcome.COMMITTED


def _post(
    connection: sqlite3.Connection, saga_id: str, token: str, body: str, statuses: Sequence[SagaStatus]
) -> Posted:
    row = connection.execute("SELECT status FROM sagas WHERE id = ?", (saga_id,)).fetchone()
    if row is None:
        return Posted(accepted=False, status=None)
    status = SagaStatus(row[0])
    if connection.execute("SELECT 1 FROM inbox WHERE saga_id = ? AND token = ?", (saga_id, token)).fetchone():
        return Posted(accepted=True, status=status)
    if status not in statuses:
        return Posted(accepted=False, status=status)
    if _inbox_size(connection, saga_id) >= INBOX_LIMIT:
        raise InboxFull(saga_id, INBOX_LIMIT)
    now = time.time()
    connection.execute(
        "INSERT INTO inbox (saga_id, token, due_at, body) VALUES (?, ?, ?, ?)", (saga_id, token, now, body)
    )
    _wake(connection, saga_id, now)
    return Posted(accepted=True, status=status)


def _defer(connection: sqlite3.Connection, found: Due, until: float) -> bool:
    deferred = connection.execute(
        "UPDATE sagas SET due_at = ?, dispatches = dispatches + 1 WHERE id = ? AND due_at = ? AND dispatches = ?",
        (until, found.saga_id, found.wake_at, found.dispatches),
    )
    if deferred.rowcount == 0:
        return False
    connection.execute("UPDATE inbox SET due_at = ? WHERE saga_id = ?", (until, found.saga_id))
    return True


def _wake(connection: sqlite3.Connection, saga_id: str, at: float) -> None:
    """Let ``due`` find the saga no later than that."""
    connection.execute("UPDATE sagas SET due_at = min(coalesce(due_at, ?), ?) WHERE id = ?", (at, at, saga_id))


def _claim(connection: sqlite3.Connection, saga_id: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Keep the table of claims as the owners in the saga's state are."""
    for owner in set(before).difference(after):
        connection.execute("DELETE FROM claims WHERE owner = ? AND saga_id = ?", (owner, saga_id))
    for owner in set(after).difference(before):
        connection.execute("INSERT INTO claims (owner, saga_id) VALUES (?, ?)", (owner, saga_id))


def _inbox(connection: sqlite3.Connection, saga_id: str) -> list[tuple[str, str]]:
    return connection.execute("SELECT token, body FROM inbox WHERE saga_id = ? ORDER BY seq", (saga_id,)).fetchall()


def _inbox_size(connection: sqlite3.Connection, saga_id: str) -> int:
    (size,) = connection.execute("SELECT count(*) FROM inbox WHERE saga_id = ?", (saga_id,)).fetchone()
    return int(size)


def _select(query: Query) -> tuple[str, list[object]]:
    """The statement that finds a page and one saga more, which tells that there is a next page."""
    start = check_query(query)
    conditions: list[str] = []
    values: list[object] = []
    for column, allowed in (("saga", query.sagas), ("status", query.statuses)):
        if allowed:
            conditions.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values += map(str, allowed)
    for column, end in (("created_at", query.created_before), ("updated_at", query.updated_before)):
        if end is not None:
            conditions.append(f"{column} < ?")
            values.append(end)
    if start is not None:
        conditions.append("(created_at, id) < (?, ?)")
        values += start
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f"SELECT body FROM sagas {where}ORDER BY created_at DESC, id DESC LIMIT ?", [
        *values,
        query.limit + 1,
    ]
