"""The port ``Store``, on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from asyncpg.pool import Pool, PoolConnectionProxy
from msgspec import Struct, json

from sagaflow.adapters.store_rules import (
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
    log_unstorable,
)
from sagaflow.core.state import SagaState, SagaStatus
from sagaflow.errors import ConfigurationError, InboxFull, PayloadError, StoreUnavailable
from sagaflow.ports import (
    INBOX_LIMIT,
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

from . import statements
from .calls import TIMEOUT, answering, check_url, connected, options, without_password
from .changes import COMMIT, DEFER, changes, deferrals
from .heart import PostgresHeart
from .schema import check_server, create_tables
from .statements import select_page

# How often a post is tried whose conditions failed and, when looked at, held again.
_POST_TRIES: Final = 5


class _Entry(Struct, frozen=True):
    """A request as a row has it in its inbox."""

    token: str
    body: str


_inboxes: Final = json.Decoder(tuple[_Entry, ...])
_lines: Final = json.Decoder(tuple[Ticket, ...])


class PostgresStore:
    """A ``Store`` in a PostgreSQL database: a row for a saga, each change of it atomic.

    The tables, ``sagaflow_…``, are made in the first schema of the user's ``search_path`` when the store is opened.
    After a loss of the connection, new ones are made as they are needed.

    Args:
        url: ``postgresql://user:password@host/database``, or ``…@first,second/database`` for a server with standbys.
        timeout: seconds for one call.
        connections: how many there may be at a time, hearts not counted.

    Raises:
        ConfigurationError: the URL is none, or names no database.

    Example:
        >>> PostgresStore("postgresql://shop:secret@localhost/shop")
        <PostgresStore localhost/shop>
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT, connections: int = 10) -> None:
        check_url(url)
        self._url = url
        self._timeout = timeout
        self._connections = connections
        self._pool: Pool | None = None

    def __repr__(self) -> str:
        return f"<PostgresStore {without_password(self._url)}>"

    async def open(self) -> None:
        if self._pool is not None:
            return
        async with answering("open the store", self._timeout):
            self._pool = await connected(
                asyncpg.create_pool(
                    self._url, min_size=1, max_size=self._connections, reset=_leave_as_it_is, **options(self._timeout)
                )
            )
        try:
            async with self._connection("open the store") as connection:
                await check_server(connection)
                await create_tables(connection)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(self._timeout):
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError):
            pool.terminate()

    # ------------------------------------------------------------------ sagas

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        body = encode_state(state)
        _check_columns(state)
        inserted = await self._rows(
            "insert a saga",
            statements.INSERT,
            *(state.id, state.revision, state.status, state.saga, state.fingerprint, state.named),
            *(state.created_at, state.updated_at, state.completed_at, state.expire_at, wake_at),
            *(state.accepts, state.owners, state.tags, body),
        )
        return bool(inserted)

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        _check_ids(saga_ids)
        rows = await self._rows("load sagas", statements.LOAD, saga_ids)
        return {
            saga_id: Stored(
                decode_state(body), tuple(decode_signal(one.token, one.body) for one in _inboxes.decode(inbox))
            )
            for saga_id, body, inbox in rows
        }

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        outcomes = [Outcome.CONFLICT] * len(transitions)
        batch: list[tuple[int, Transition, str]] = []
        for place, transition in enumerate(transitions):
            if (body := _encode_after(transition)) is not None:
                batch.append((place, transition, body))
        for place, outcome in (await self._commit(batch)).items():
            outcomes[place] = outcome
        return outcomes

    async def _commit(self, batch: Sequence[tuple[int, Transition, str]]) -> dict[int, Outcome]:
        """What became of each, by its place."""
        if not batch:
            return {}
        try:
            made = await self._rows("commit", COMMIT, changes(batch))
        except (StoreUnavailable, ConfigurationError):
            return {place: Outcome.UNSURE for place, _, _ in batch}
        except PayloadError as error:
            # It has made none of them. Alone, each shows whether it is the one that will never be taken.
            if len(batch) == 1:
                ((place, transition, _),) = batch
                log_unstorable(transition.before.id, error)
                return {place: Outcome.CONFLICT}
            outcomes: dict[int, Outcome] = {}
            for one in batch:
                outcomes |= await self._commit([one])
            return outcomes
        return {place: Outcome.COMMITTED for (place,) in made}

    async def post(self, saga_id: str, signal: Signal) -> Posted:
        _check_ids((saga_id,))
        body = encode_request(signal)
        _check_text(signal.token)
        kind = signal.request.kind
        for _ in range(_POST_TRIES):
            try:
                posted = await self._rows(
                    "post a request", statements.POST, saga_id, signal.token, body, kind, INBOX_LIMIT
                )
            except PayloadError as error:  # a value has a largest size, and an inbox is one
                raise InboxFull(saga_id, INBOX_LIMIT) from error
            for (status,) in posted:
                return Posted(accepted=True, status=SagaStatus(status))
            answer = await self._refusal(saga_id, signal.token, kind)
            if answer is not None:
                return answer
        raise StoreUnavailable(f"The saga {saga_id!r} changes too fast for a request to be posted; try again")

    async def _refusal(self, saga_id: str, token: str, kind: str) -> Posted | None:
        """Why a request was not posted; None if by now it could be."""
        for found in await self._rows("post a request", statements.REFUSAL, saga_id, token, kind):
            status = SagaStatus(found["status"])
            if found["is_there"] or not found["accepts"]:
                return Posted(accepted=found["is_there"], status=status)
            if found["size"] >= INBOX_LIMIT:
                raise InboxFull(saga_id, INBOX_LIMIT)
            return None
        return Posted(accepted=False, status=None)

    # ------------------------------------------------------------------ what keeps sagas going

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        return [Due(*row) for row in await self._rows("find due sagas", statements.DUE, now, limit, fingerprints)]

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        _check_ids([found.saga_id for found in due])
        made = {place for (place,) in await self._rows("defer sagas", DEFER, deferrals(due, until), int(counts))}
        return [place in made for place in range(len(due))]

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        return [Orphan(*row) for row in await self._rows("find orphans", statements.ORPHANS, limit, fingerprints)]

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        _check_ids((owner,))
        return [saga_id for (saga_id,) in await self._rows("find claims", statements.CLAIMED_BY, owner, limit)]

    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        await self._rows("forget ids", statements.EXPIRE_TOMBSTONES, now, limit)
        ((forgotten,),) = await self._rows("forget sagas", statements.EXPIRE_SAGAS, now, limit, now + keep_ids)
        return int(forgotten)

    async def tombstone(self, saga_id: str) -> Tombstone | None:
        _check_ids((saga_id,))
        for saga, status, completed_at in await self._rows("find a tombstone", statements.TOMBSTONE, saga_id):
            return Tombstone(saga, SagaStatus(status), completed_at)
        return None

    def heart(self) -> PostgresHeart:
        return PostgresHeart(self._url, self._timeout)

    # ------------------------------------------------------------------ what people and checks look at

    async def find(self, query: Query) -> Page:
        statement, values = select_page(query)
        states = [decode_state(body) for (body,) in await self._rows("list sagas", statement, *values)]
        page = states[: query.limit]
        return Page(tuple(page), cursor_after(page[-1]) if len(states) > len(page) else None)

    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        _check_ids(saga_ids)
        rows = await self._rows("look at sagas", statements.SUMMARIES, saga_ids)
        return {saga_id: Summary(revision, SagaStatus(status)) for saga_id, revision, status in rows}

    async def tally(self) -> list[Tally]:
        rows = await self._rows("count sagas", statements.TALLY)
        return [Tally(saga, SagaStatus(status), count) for saga, status, count in rows]

    async def ended(self, since: float, width: float, stretches: int) -> list[Ended]:
        rows = await self._rows("count sagas that have ended", statements.ENDED, since, width, stretches)
        return [Ended(stretch, SagaStatus(status), count) for stretch, status, count in rows]

    async def oldest(self, statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
        rows = await self._rows("list the oldest sagas", statements.OLDEST, [str(one) for one in statuses], limit)
        return [decode_state(body) for (body,) in rows]

    async def now(self) -> float:
        ((now,),) = await self._rows("tell the time", f"SELECT {statements.NOW}")
        return float(now)

    async def scan(self, after: str | None, limit: int) -> list[str]:
        return await self._page("scan sagas", statements.SCAN, after, limit)

    async def inspect(self, saga_ids: Sequence[str]) -> dict[str, Inspected]:
        _check_ids(saga_ids)
        rows = await self._rows("inspect sagas", statements.INSPECT, saga_ids)
        return {
            saga_id: Inspected(decode_state(body), due_at, requests, tuple(owners))
            for saga_id, body, due_at, requests, owners in rows
        }

    async def deaths(self, workers: Sequence[str]) -> dict[str, float | None]:
        _check_ids(workers)
        return dict(await self._rows("find deaths", statements.DEATHS, workers))

    # ------------------------------------------------------------------ lines for locks, and graphs

    async def queue_up(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        _check_place(key, ticket)
        ((line,),) = await self._rows("queue up", statements.QUEUE_UP, key, _entry(ticket))
        return _lines.decode(line)

    async def leave_queue(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        _check_place(key, ticket)
        for (line,) in await self._rows("leave a queue", statements.LEAVE_QUEUE, key, _entry(ticket)):
            left = _lines.decode(line)
            if not left:
                await self._rows("leave a queue", statements.DROP_EMPTY_LINE, key)
            return left
        return ()

    async def queue(self, key: str) -> tuple[Ticket, ...]:
        _check_place(key)
        for (line,) in await self._rows("look at a queue", statements.QUEUE, key):
            return _lines.decode(line)
        return ()

    async def lines(self, after: str | None, limit: int) -> list[str]:
        return await self._page("scan queues", statements.LINES, after, limit)

    async def keep_graph(self, graph: Graph) -> None:
        check_graph(graph)
        for text in (graph.fingerprint, graph.saga, graph.body):
            _check_text(text)
        await self._rows("keep a graph", statements.KEEP_GRAPH, graph.fingerprint, graph.saga, graph.body)

    async def graphs(self, sagas: Sequence[str]) -> list[Graph]:
        check_names(sagas)
        return [Graph(*row) for row in await self._rows("find graphs", statements.GRAPHS, sagas)]

    # ------------------------------------------------------------------ calls

    async def _page(self, what: str, statement: str, after: str | None, limit: int) -> list[str]:
        rows = await self._rows(what, statement.format(after=">=" if after is None else ">"), after or "", limit)
        return [value for (value,) in rows]

    async def _rows(self, what: str, statement: str, *values: object) -> list[Any]:
        async with self._connection(what) as connection:
            return await connection.fetch(statement, *values)

    @asynccontextmanager
    async def _connection(self, what: str) -> AsyncGenerator[PoolConnectionProxy, None]:
        if self._pool is None:
            raise StoreUnavailable(f"{self!r} is not open")
        async with answering(what, self._timeout), self._pool.acquire() as connection:
            try:
                yield connection
            except asyncpg.PostgresError:
                raise  # the server has answered, and goes on to serve it
            except BaseException:
                connection.terminate()  # what it still does is not known, so nobody else is given it
                raise


async def _leave_as_it_is(_: object) -> None:
    """In place of asyncpg's reset, a round trip after each call: the store leaves nothing behind in a connection."""


def _encode_after(transition: Transition) -> str | None:
    body = encode_after(transition.after)
    try:
        _check_columns(transition.after)
    except PayloadError as error:
        log_unstorable(transition.before.id, error)
        return None
    return body


def _check_columns(state: SagaState) -> None:
    for text in (state.id, state.saga, state.fingerprint, *state.owners, *state.tags):
        _check_text(text)


def _check_ids(saga_ids: Sequence[str]) -> None:
    check_ids(saga_ids)
    for saga_id in saga_ids:
        _check_text(saga_id)


def _check_place(key: str, ticket: Ticket | None = None) -> None:
    check_place(key, ticket)
    for text in (key,) if ticket is None else (key, ticket.saga_id, ticket.root):
        _check_text(text)


def _check_text(text: str) -> None:
    """Refuse the one character that PostgreSQL has no place for; in a payload, which is JSON, it may stand."""
    if "\0" in text:
        raise PayloadError("A text has the character NUL in it, which PostgreSQL cannot keep. Leave it out.")


def _entry(ticket: Ticket) -> str:
    return json.encode(ticket).decode()
