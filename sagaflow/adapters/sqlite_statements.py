"""The statements of a SQLite store: what each act is within a transaction that somebody else begins and ends."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from ..core.state import SagaState, SagaStatus
from ..errors import InboxFull
from ..ports import INBOX_LIMIT, Due, Inspected, Outcome, Posted, Query, Signal, Transition
from .store_rules import accepted_by_status, check_query, decode_state

# Without the order of the tables the planner could go through all claims, live ones included.
ORPHANS = """
    SELECT claims.saga_id, claims.owner
    FROM workers CROSS JOIN claims ON claims.owner = workers.id CROSS JOIN sagas ON sagas.id = claims.saga_id
    WHERE workers.dead_at IS NOT NULL AND {of}
    LIMIT ?
"""

_COMMIT = """
    UPDATE sagas
    SET revision = ?, status = ?, saga = ?, fingerprint = ?, due_at = ?, dispatches = 0,
        created_at = ?, updated_at = ?, body = ?, accepts = ?, expire_at = ?, completed_at = ?
    WHERE id = ? AND revision = ?
"""

# Along the sagas of one tag, which stand in the order of a listing; of each is asked whether it has the others too.
_TAGGED = "tags CROSS JOIN sagas ON sagas.id = tags.saga_id"
_TAGGED_TOO = """
    EXISTS (
        SELECT 1 FROM tags AS other
        WHERE other.tag = ? AND other.created_at = tags.created_at AND other.saga_id = tags.saga_id
    )
"""

# A request that waits was accepted, so it is not passed over.
_EXPIRED = """
    SELECT body FROM sagas
    WHERE expire_at <= ? AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.saga_id = sagas.id)
    ORDER BY expire_at, id
    LIMIT ?
"""


def insert(connection: sqlite3.Connection, state: SagaState, wake_at: float | None, body: str) -> bool:
    """Whether the saga is there by this."""
    inserted = connection.execute(
        "INSERT OR IGNORE INTO sagas "
        "(id, revision, status, saga, fingerprint, due_at, created_at, updated_at, body, accepts, expire_at, "
        "completed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(state.id, state.revision, state.status, state.saga, state.fingerprint, wake_at),
            *(state.created_at, state.updated_at, body, _accepts(state), state.expire_at, state.completed_at),
        ),
    )
    if inserted.rowcount == 1:
        _claim(connection, state.id, (), state.owners)
        for place, tag in enumerate(state.tags):
            connection.execute(
                "INSERT INTO tags (tag, created_at, saga_id, place) VALUES (?, ?, ?, ?)",
                (tag, state.created_at, state.id, place),
            )
    return inserted.rowcount == 1


def of_fingerprints(fingerprints: Sequence[str] | None) -> tuple[str, Sequence[str]]:
    """The condition for sagas of these definitions, and the values in it."""
    if fingerprints is None:
        return "TRUE", ()
    return f"sagas.fingerprint IN ({', '.join('?' * len(fingerprints))})", fingerprints


def commit(connection: sqlite3.Connection, transition: Transition, body: str | None) -> Outcome:
    """Make the transition, if its conditions hold. ``body`` is None for a state that cannot be stored."""
    before, after = transition.before, transition.after
    if body is None:
        return Outcome.CONFLICT
    if transition.inbox_size is not None and transition.inbox_size != _inbox_size(connection, before.id):
        return Outcome.CONFLICT
    updated = connection.execute(
        _COMMIT,
        (
            *(after.revision, after.status, after.saga, after.fingerprint, transition.wake_at),
            *(after.created_at, after.updated_at, body, _accepts(after), after.expire_at, after.completed_at),
            *(before.id, before.revision),
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


def post(connection: sqlite3.Connection, saga_id: str, signal: Signal, body: str) -> Posted:
    """Append the request, whose text is ``body``, if the saga accepts it."""
    row = connection.execute("SELECT status, accepts FROM sagas WHERE id = ?", (saga_id,)).fetchone()
    if row is None:
        return Posted(accepted=False, status=None)
    status = SagaStatus(row[0])
    if connection.execute("SELECT 1 FROM inbox WHERE saga_id = ? AND token = ?", (saga_id, signal.token)).fetchone():
        return Posted(accepted=True, status=status)
    accepts = accepted_by_status(status) if row[1] is None else row[1].split()
    if signal.request.kind not in accepts:
        return Posted(accepted=False, status=status)
    if _inbox_size(connection, saga_id) >= INBOX_LIMIT:
        raise InboxFull(saga_id, INBOX_LIMIT)
    now = time.time()
    connection.execute(
        "INSERT INTO inbox (saga_id, token, due_at, body) VALUES (?, ?, ?, ?)", (saga_id, signal.token, now, body)
    )
    _wake(connection, saga_id, now)
    return Posted(accepted=True, status=status)


def defer(connection: sqlite3.Connection, found: Due, until: float, counts: bool) -> bool:
    """Whether the saga was as it was found, and is put off now."""
    deferred = connection.execute(
        "UPDATE sagas SET due_at = ?, dispatches = dispatches + ? WHERE id = ? AND due_at = ? AND dispatches = ?",
        (until, counts, found.saga_id, found.wake_at, found.dispatches),
    )
    if deferred.rowcount == 0:
        return False
    connection.execute("UPDATE inbox SET due_at = ? WHERE saga_id = ?", (until, found.saga_id))
    return True


def expire(connection: sqlite3.Connection, now: float, limit: int, keep_ids: float) -> int:
    """Forget what is due to be forgotten; how many sagas that were."""
    connection.execute(
        "DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE until <= ? ORDER BY until, id LIMIT ?)",
        (now, limit),
    )
    expired = [decode_state(body) for (body,) in connection.execute(_EXPIRED, (now, limit)).fetchall()]
    for state in expired:
        connection.execute("DELETE FROM sagas WHERE id = ?", (state.id,))
        _claim(connection, state.id, state.owners, ())
        if state.named:
            connection.execute(
                "INSERT INTO tombstones (id, saga, status, completed_at, until) VALUES (?, ?, ?, ?, ?)",
                (state.id, state.saga, state.status, state.completed_at, now + keep_ids),
            )
    return len(expired)


def inspect(connection: sqlite3.Connection, saga_id: str) -> Inspected | None:
    """A saga with what is kept beside it."""
    row = connection.execute("SELECT body, due_at FROM sagas WHERE id = ?", (saga_id,)).fetchone()
    if row is None:
        return None
    state = decode_state(row[0])
    claim = "SELECT 1 FROM claims WHERE owner = ? AND saga_id = ?"
    owners = (owner for owner in state.owners if connection.execute(claim, (owner, saga_id)).fetchone())
    return Inspected(state, row[1], _inbox_size(connection, saga_id), tuple(owners))


def line_of(connection: sqlite3.Connection, key: str, limit: int) -> list[Any]:
    """The line for a lock, as rows; all of it if the limit is negative."""
    return connection.execute(
        "SELECT saga_id, root, term FROM locks WHERE key = ? ORDER BY seq LIMIT ?", (key, limit)
    ).fetchall()


def _accepts(state: SagaState) -> str:
    return " ".join(state.accepts)


def _wake(connection: sqlite3.Connection, saga_id: str, at: float) -> None:
    """Let ``due`` find the saga no later than that."""
    connection.execute("UPDATE sagas SET due_at = min(coalesce(due_at, ?), ?) WHERE id = ?", (at, at, saga_id))


def _claim(connection: sqlite3.Connection, saga_id: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Keep the table of claims as the owners in the saga's state are."""
    for owner in set(before).difference(after):
        connection.execute("DELETE FROM claims WHERE owner = ? AND saga_id = ?", (owner, saga_id))
    for owner in set(after).difference(before):
        connection.execute("INSERT INTO claims (owner, saga_id) VALUES (?, ?)", (owner, saga_id))


def inbox_of(connection: sqlite3.Connection, saga_id: str) -> list[tuple[str, str]]:
    """The tokens and texts of the requests that wait, oldest first."""
    return connection.execute("SELECT token, body FROM inbox WHERE saga_id = ? ORDER BY seq", (saga_id,)).fetchall()


def _inbox_size(connection: sqlite3.Connection, saga_id: str) -> int:
    (size,) = connection.execute("SELECT count(*) FROM inbox WHERE saga_id = ?", (saga_id,)).fetchone()
    return int(size)


def select_page(query: Query) -> tuple[str, list[object]]:
    """The statement that finds a page and one saga more, which tells that there is a next page."""
    start = check_query(query)
    source, created_at, saga_id = "sagas", "created_at", "id"
    conditions: list[str] = []
    values: list[object] = []
    if query.tags:
        source, created_at, saga_id = _TAGGED, "tags.created_at", "tags.saga_id"
        conditions += ["tags.tag = ?", *[_TAGGED_TOO] * (len(query.tags) - 1)]
        values += query.tags
    for column, allowed in (("saga", query.sagas), ("status", query.statuses)):
        if allowed:
            conditions.append(f"{column} IN ({', '.join('?' * len(allowed))})")
            values += map(str, allowed)
    for column, end in ((created_at, query.created_before), ("updated_at", query.updated_before)):
        if end is not None:
            conditions.append(f"{column} < ?")
            values.append(end)
    if start is not None:
        conditions.append(f"({created_at}, {saga_id}) < (?, ?)")
        values += start
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return f"SELECT body FROM {source} {where}ORDER BY {created_at} DESC, {saga_id} DESC LIMIT ?", [
        *values,
        query.limit + 1,
    ]
