"""Who is alive, in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import asyncpg
from asyncpg import Connection, Record
from msgspec import json

from sagaflow.adapters.store_rules import DAY
from sagaflow.errors import StoreUnavailable
from sagaflow.ports import Beat

from .calls import answering, connected, options
from .statements import NOW

T = TypeVar("T")

# Seconds that one method may take; a worker that cannot beat for long is judged dead.
_TIMEOUT: Final = 4.0


def _beat(counting: str) -> str:
    return f"""
        WITH counted AS ({counting})
        SELECT EXISTS (SELECT FROM counted) AS alive, {NOW} AS now, (
            SELECT coalesce(json_object_agg(id, beats), '{{}}') FROM sagaflow_workers
            WHERE dead_at IS NULL AND id <> $1
        ) AS others
    """


# Only the first beat makes the record: a later one would resurrect a worker that was forgotten.
_FIRST_BEAT: Final = _beat("""
    INSERT INTO sagaflow_workers AS workers (id, beats) VALUES ($1, 1)
    ON CONFLICT (id) DO UPDATE SET beats = workers.beats + 1 WHERE workers.dead_at IS NULL
    RETURNING 1
""")

_NEXT_BEAT: Final = _beat("""
    UPDATE sagaflow_workers SET beats = beats + 1 WHERE id = $1 AND dead_at IS NULL RETURNING 1
""")

_FORGET: Final = f"""
    DELETE FROM sagaflow_workers AS workers
    WHERE dead_at < {NOW} - $1::double precision AND NOT EXISTS (
        SELECT FROM sagaflow_sagas WHERE owners <> '{{}}' AND owners @> ARRAY[workers.id]
    )
"""

_DECLARE_DEAD: Final = f"""
    UPDATE sagaflow_workers SET dead_at = {NOW} WHERE id = $1 AND beats = $2 AND dead_at IS NULL RETURNING 1
"""

_LEAVE: Final = f"""
    INSERT INTO sagaflow_workers AS workers (id, dead_at) VALUES ($1, {NOW})
    ON CONFLICT (id) DO UPDATE SET dead_at = excluded.dead_at WHERE workers.dead_at IS NULL
"""


class PostgresHeart:
    """The ``Heart`` of a ``PostgresStore``: a row for each worker's incarnation, live or dead.

    The port calls it from a thread, and asyncpg works in an event loop: it has one of its own, in a thread of its own,
    so that it beats whatever happens in the loop of the application. The dead are forgotten after a day, if no saga
    holds a claim of theirs any more.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = min(timeout, _TIMEOUT)
        self._thread: ThreadPoolExecutor | None = None
        self._registered: set[str] = set()
        # These belong to the thread.
        self._runner: asyncio.Runner | None = None
        self._connection: Connection | None = None

    def beat(self, worker: str) -> Beat:
        is_first = worker not in self._registered

        async def beat(connection: Connection) -> Record | None:
            if is_first:
                await connection.execute(_FORGET, DAY)
            return await connection.fetchrow(_FIRST_BEAT if is_first else _NEXT_BEAT, worker)

        row = self._run("take a heartbeat", beat)
        if row is None:
            raise StoreUnavailable("PostgreSQL has not answered a heartbeat")
        self._registered.add(worker)
        return Beat(row["alive"], row["now"], json.decode(row["others"], type=dict[str, int]))

    def declare_dead(self, worker: str, beats: int) -> bool:
        killed = self._run("record a death", lambda connection: connection.fetchval(_DECLARE_DEAD, worker, beats))
        return killed is not None

    def leave(self, worker: str) -> None:
        self._run("record a worker's end", lambda connection: connection.execute(_LEAVE, worker))

    def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._disconnect).result()
            thread.shutdown()

    def _run(self, what: str, call: Callable[[Connection], Awaitable[T]]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sagaflow-postgres-heart")
        return self._thread.submit(self._work, what, call).result()

    # ------------------------------------------------------------------ in the thread

    def _work(self, what: str, call: Callable[[Connection], Awaitable[T]]) -> T:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._answer(what, call))

    async def _answer(self, what: str, call: Callable[[Connection], Awaitable[T]]) -> T:
        async with answering(what, self._timeout):
            connection = self._connection
            if connection is None or connection.is_closed():
                made: Connection = await connected(asyncpg.connect(self._url, **options(self._timeout)))
                self._connection = connection = made
            try:
                return await call(connection)
            except BaseException:
                connection.terminate()  # what it still does is not known
                raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        if self._runner is not None:
            self._runner.close()
            self._runner = None
