"""Acts on many sagas at once: one statement, in which each saga has conditions of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from sagaflow.ports import Due, Transition

# The sagas are locked in the order of their ids, so that two batches never wait for each other in a circle. The
# conditions are those of the lock: they are tested on the row as it is when the lock is had, and from then on it stays.
_HELD: Final = """
    held AS MATERIALIZED (
        SELECT wanted.*, sagas.inbox FROM wanted JOIN sagaflow_sagas AS sagas USING (id)
        WHERE sagas.body IS NOT NULL AND {conditions}
        ORDER BY sagas.id FOR UPDATE OF sagas
    )
"""

_AS_DECIDED: Final = """
    sagas.revision = wanted.before
    AND (wanted.inbox_size IS NULL OR wanted.inbox_size = jsonb_array_length(sagas.inbox))
"""

_AS_FOUND: Final = "sagas.due_at = wanted.wake_at AND sagas.dispatches = wanted.dispatches"

COMMIT: Final = f"""
    WITH wanted AS (
        SELECT * FROM json_to_recordset($1::json) AS change (
            place integer, id text, before bigint, inbox_size integer, consumed text[], wake_at double precision,
            revision bigint, status text, saga text, fingerprint text, named boolean, created_at double precision,
            updated_at double precision, completed_at double precision, expire_at double precision,
            accepts text[], owners text[], body text
        )
    ), {_HELD.format(conditions=_AS_DECIDED)}, changed AS (
        SELECT held.*, rest.requests, rest.due_at FROM held, LATERAL (
            SELECT coalesce(jsonb_agg(entry ORDER BY place), '[]') AS requests,
                min((entry ->> 'at')::double precision) AS due_at
            FROM jsonb_array_elements(held.inbox) WITH ORDINALITY AS entries (entry, place)
            WHERE entry ->> 'token' <> ALL(held.consumed)
        ) AS rest
    )
    UPDATE sagaflow_sagas AS sagas SET
        revision = changed.revision, status = changed.status, saga = changed.saga, fingerprint = changed.fingerprint,
        named = changed.named, created_at = changed.created_at, updated_at = changed.updated_at,
        completed_at = changed.completed_at, expire_at = changed.expire_at,
        due_at = least(changed.wake_at, changed.due_at), dispatches = 0,
        accepts = changed.accepts, owners = changed.owners, inbox = changed.requests, body = changed.body
    FROM changed WHERE sagas.id = changed.id
    RETURNING changed.place
"""

DEFER: Final = f"""
    WITH wanted AS (
        SELECT * FROM json_to_recordset($1::json) AS found (
            place integer, id text, wake_at double precision, dispatches integer, until double precision
        )
    ), {_HELD.format(conditions=_AS_FOUND)}
    UPDATE sagaflow_sagas AS sagas SET
        due_at = held.until,
        dispatches = sagas.dispatches + $2,
        inbox = (
            SELECT coalesce(jsonb_agg(entry || jsonb_build_object('at', held.until) ORDER BY place), '[]')
            FROM jsonb_array_elements(held.inbox) WITH ORDINALITY AS entries (entry, place)
        )
    FROM held WHERE sagas.id = held.id
    RETURNING held.place
"""


def changes(transitions: Sequence[tuple[int, Transition, str]]) -> str:
    """The first value of ``COMMIT``, from each transition, its place in the batch, and the text of its new state."""
    return _as_text(
        [
            {
                "place": place,
                "id": change.before.id,
                "before": change.before.revision,
                "inbox_size": change.inbox_size,
                "consumed": change.consumed,
                "wake_at": change.wake_at,
                "revision": change.after.revision,
                "status": change.after.status,
                "saga": change.after.saga,
                "fingerprint": change.after.fingerprint,
                "named": change.after.named,
                "created_at": change.after.created_at,
                "updated_at": change.after.updated_at,
                "completed_at": change.after.completed_at,
                "expire_at": change.after.expire_at,
                "accepts": change.after.accepts,
                "owners": change.after.owners,
                "body": body,
            }
            for place, change, body in transitions
        ]
    )


def deferrals(due: Sequence[Due], until: Sequence[float]) -> str:
    """The first value of ``DEFER``."""
    return _as_text(
        [
            {"place": place, "id": one.saga_id, "wake_at": one.wake_at, "dispatches": one.dispatches, "until": at}
            for place, (one, at) in enumerate(zip(due, until, strict=True))
        ]
    )


def _as_text(rows: list[dict[str, object]]) -> str:
    return msgspec.json.encode(rows).decode()
