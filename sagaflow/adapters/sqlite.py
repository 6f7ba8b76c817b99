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

from ..batching import Batches
from ..core.state import SagaState, SagaStatus
from ..errors import ConfigurationError, StoreUnavailable
from ..ports import (
    Due,
    Ended,
    Graph,
    Inspected,
    Orphan,
    Outcome,
    Page,
    Posted,
    Query,
    Signal,
    Stored,
    Summary,
    Tally,
    Ticket,
    Tombstone,
    Transition,
)
from .sqlite_heart import SQLiteHeart
from .sqlite_schema import Synchronous, connect, transaction
from .sqlite_statements import (
    ORPHANS,
    commit,
    defer,
    expire,
    inbox_of,
    insert,
    inspect,
    line_of,
    of_fingerprints,
    post,
    select_page,
)
from .sqlite_survey import ended, oldest, tally
from .store_rules import (
    LINE_SHOWN,
    check_graph,
    check_ids,
    check_names,
    check_place,
    cursor_after,
    decode_signal,
    decode_state,
    encode_after,
    encode_request,
    encode_state,
)

T = TypeVar("T")


class SQLiteStore:
    """A ``Store`` in one file. Several processes may share it, on one machine.

    A batch of changes, or of new sagas, is one transaction. The statements run one after another in a thread of the
    store's own, so the event loop never waits for the disk. The store's clock is the machine's.

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
        self._inserts: Batches[tuple[SagaState, float | None, str], bool] = Batches(
            self._insert_all, "new sagas for SQLite"
        )

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
        return await self._inserts.submit((state, wake_at, encode_state(state)))

    async def _insert_all(self, sagas: Sequence[tuple[SagaState, float | None, str]]) -> list[bool]:
        def work(connection: sqlite3.Connection) -> list[bool]:
            with transaction(connection, "IMMEDIATE"):
                return [insert(connection, *saga) for saga in sagas]

        return await self._run(work)

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        check_ids(saga_ids)

        def work(connection: sqlite3.Connection) -> list[tuple[str, str, list[tuple[str, str]]]]:
            with transaction(connection, "DEFERRED"):  # a saga and its inbox as they were at one moment
                return [
                    (saga_id, body, inbox_of(connection, saga_id))
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
                    commit(connection, transition, body) for transition, body in zip(transitions, bodies, strict=True)
                ]

        try:
            return await self._run(work)
        except StoreUnavailable:
            return [Outcome.UNSURE] * len(transitions)

    async def post(self, saga_id: str, signal: Signal) -> Posted:
        check_ids((saga_id,))
        body = encode_request(signal)

        def work(connection: sqlite3.Connection) -> Posted:
            with transaction(connection, "IMMEDIATE"):
                return post(connection, saga_id, signal, body)

        return await self._run(work)

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        of, values = of_fingerprints(fingerprints)
        rows = await self._rows(
            f"SELECT id, due_at, dispatches FROM sagas WHERE due_at <= ? AND {of} ORDER BY due_at, id LIMIT ?",
            now,
            *values,
            limit,
        )
        return [Due(*row) for row in rows]

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        check_ids(found.saga_id for found in due)

        def work(connection: sqlite3.Connection) -> list[bool]:
            with transaction(connection, "IMMEDIATE"):
                return [defer(connection, found, at, counts) for found, at in zip(due, until, strict=True)]

        return await self._run(work)

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        of, values = of_fingerprints(fingerprints)
        return [Orphan(*row) for row in await self._rows(ORPHANS.format(of=of), *values, limit)]

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        rows = await self._rows("SELECT saga_id FROM claims WHERE owner = ? LIMIT ?", owner, limit)
        return [saga_id for (saga_id,) in rows]

    async def find(self, query: Query) -> Page:
        statement, values = select_page(query)
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

    async def queue_up(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        check_place(key, ticket)

        def work(connection: sqlite3.Connection) -> list[Any]:
            with transaction(connection, "IMMEDIATE"):
                connection.execute(
                    "INSERT OR IGNORE INTO locks (key, saga_id, root, term) VALUES (?, ?, ?, ?)",
                    (key, ticket.saga_id, ticket.root, ticket.term),
                )
                return line_of(connection, key, -1)  # all of it: the ticket may stand at its end

        return tuple(Ticket(*row) for row in await self._run(work))

    async def leave_queue(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        check_place(key, ticket)

        def work(connection: sqlite3.Connection) -> list[Any]:
            with transaction(connection, "IMMEDIATE"):
                connection.execute(
                    "DELETE FROM locks WHERE key = ? AND saga_id = ? AND root = ? AND term = ?",
                    (key, ticket.saga_id, ticket.root, ticket.term),
                )
                return line_of(connection, key, LINE_SHOWN)

        return tuple(Ticket(*row) for row in await self._run(work))

    async def queue(self, key: str) -> tuple[Ticket, ...]:
        check_place(key)
        rows = await self._run(lambda connection: line_of(connection, key, LINE_SHOWN))
        return tuple(Ticket(*row) for row in rows)

    async def keep_graph(self, graph: Graph) -> None:
        check_graph(graph)
        await self._rows(
            "INSERT OR IGNORE INTO graphs (fingerprint, saga, body) VALUES (?, ?, ?)",
            *(graph.fingerprint, graph.saga, graph.body),
        )

    async def graphs(self, sagas: Sequence[str]) -> list[Graph]:
        check_names(sagas)
        some = ", ".join("?" * len(sagas))
        rows = await self._rows(f"SELECT fingerprint, saga, body FROM graphs WHERE saga IN ({some})", *sagas)
        return [Graph(*row) for row in rows]

    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection, "IMMEDIATE"):
                return expire(connection, now, limit, keep_ids)

        return await self._run(work)

    async def tombstone(self, saga_id: str) -> Tombstone | None:
        check_ids((saga_id,))
        rows = await self._rows("SELECT saga, status, completed_at FROM tombstones WHERE id = ?", saga_id)
        for saga, status, completed_at in rows:
            return Tombstone(saga, SagaStatus(status), completed_at)
        return None

    async def now(self) -> float:
        return time.time()

    async def scan(self, after: str | None, limit: int) -> list[str]:
        return await self._page("SELECT id FROM sagas WHERE {} ORDER BY id LIMIT ?", "id", after, limit)

    async def inspect(self, saga_ids: Sequence[str]) -> dict[str, Inspected]:
        check_ids(saga_ids)

        def work(connection: sqlite3.Connection) -> dict[str, Inspected]:
            with transaction(connection, "DEFERRED"):  # all that is known of a saga as it was at one moment
                return {saga_id: found for saga_id in saga_ids if (found := inspect(connection, saga_id))}

        return await self._run(work)

    async def deaths(self, workers: Sequence[str]) -> dict[str, float | None]:
        check_ids(workers)
        some = ", ".join("?" * len(workers))
        return dict(await self._rows(f"SELECT id, dead_at FROM workers WHERE id IN ({some})", *workers))

    async def lines(self, after: str | None, limit: int) -> list[str]:
        return await self._page("SELECT DISTINCT key FROM locks WHERE {} ORDER BY key LIMIT ?", "key", after, limit)

    async def tally(self) -> list[Tally]:
        return await self._run(tally)

    async def ended(self, since: float, width: float, stretches: int) -> list[Ended]:
        return await self._run(lambda connection: ended(connection, since, width, stretches))

    async def oldest(self, statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
        bodies = await self._run(lambda connection: oldest(connection, statuses, limit))
        return [decode_state(body) for body in bodies]

    def heart(self) -> SQLiteHeart:
        return SQLiteHeart(self._path, self._synchronous)

    async def _page(self, statement: str, column: str, after: str | None, limit: int) -> list[str]:
        start = f"{column} >= ''" if after is None else f"{column} > ?"
        rows = await self._rows(statement.format(start), *([] if after is None else [after]), limit)
        return [value for (value,) in rows]

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
