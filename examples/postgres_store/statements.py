"""The statements of the store that are about one saga, or only read."""

from __future__ import annotations

from typing import Final

from sagaflow.adapters.store_rules import check_query
from sagaflow.ports import Query

NOW: Final = "extract(epoch FROM clock_timestamp())::double precision"

# A row without a body is a tombstone.
SAGA: Final = "body IS NOT NULL"

INSERT: Final = """
    INSERT INTO sagaflow_sagas (id, revision, status, saga, fingerprint, named, created_at, updated_at, completed_at,
                                expire_at, due_at, accepts, owners, tags, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
"""

LOAD: Final = f"SELECT id, body, inbox FROM sagaflow_sagas WHERE id = ANY($1) AND {SAGA}"

SUMMARIES: Final = f"SELECT id, revision, status FROM sagaflow_sagas WHERE id = ANY($1) AND {SAGA}"

# That the token is new and that the saga accepts the request are conditions on the row that is changed: if somebody
# changes it first, they are tested again.
POST: Final = f"""
    UPDATE sagaflow_sagas SET
        inbox = inbox || jsonb_build_object('token', $2::text, 'at', clock.now, 'body', $3::text),
        due_at = least(due_at, clock.now)
    FROM (SELECT {NOW} AS now) AS clock
    WHERE id = $1 AND {SAGA} AND $4 = ANY(accepts) AND jsonb_array_length(inbox) < $5
        AND NOT inbox @> jsonb_build_array(jsonb_build_object('token', $2::text))
    RETURNING status
"""

REFUSAL: Final = f"""
    SELECT status, $3 = ANY(accepts) AS accepts, jsonb_array_length(inbox) AS size,
        inbox @> jsonb_build_array(jsonb_build_object('token', $2::text)) AS is_there
    FROM sagaflow_sagas WHERE id = $1 AND {SAGA}
"""

DUE: Final = """
    SELECT id, due_at, dispatches FROM sagaflow_sagas
    WHERE due_at <= $1 AND ($3::text[] IS NULL OR fingerprint = ANY($3))
    ORDER BY due_at, id LIMIT $2
"""

ORPHANS: Final = """
    WITH dead AS MATERIALIZED (SELECT id FROM sagaflow_workers WHERE dead_at IS NOT NULL)
    SELECT sagas.id, owner FROM sagaflow_sagas AS sagas, unnest(owners) AS owner
    WHERE owners <> '{}' AND owners && ARRAY(SELECT id FROM dead) AND owner IN (SELECT id FROM dead)
        AND ($2::text[] IS NULL OR fingerprint = ANY($2))
    LIMIT $1
"""

CLAIMED_BY: Final = "SELECT id FROM sagaflow_sagas WHERE owners <> '{}' AND owners @> ARRAY[$1::text] LIMIT $2"

TOMBSTONE: Final = "SELECT saga, status, completed_at FROM sagaflow_sagas WHERE id = $1 AND body IS NULL"

EXPIRE_TOMBSTONES: Final = """
    WITH old AS MATERIALIZED (
        SELECT id FROM sagaflow_sagas WHERE expire_at <= $1 AND body IS NULL
        ORDER BY expire_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    DELETE FROM sagaflow_sagas AS sagas USING old WHERE sagas.id = old.id
"""

# What somebody else changes at this moment is left to the next call.
EXPIRE_SAGAS: Final = f"""
    WITH old AS MATERIALIZED (
        SELECT id, named FROM sagaflow_sagas WHERE expire_at <= $1 AND {SAGA} AND inbox = '[]'
        ORDER BY expire_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
    ), deleted AS (
        DELETE FROM sagaflow_sagas AS sagas USING old WHERE sagas.id = old.id AND NOT old.named RETURNING 1
    ), buried AS (
        UPDATE sagaflow_sagas AS sagas
        SET body = NULL, due_at = NULL, owners = '{{}}', accepts = '{{}}', tags = '{{}}', expire_at = $3
        FROM old WHERE sagas.id = old.id AND old.named RETURNING 1
    )
    SELECT (SELECT count(*) FROM deleted) + (SELECT count(*) FROM buried)
"""

TALLY: Final = f"SELECT saga, status, count(*) FROM sagaflow_sagas WHERE {SAGA} GROUP BY saga, status"

# A division may round up to the end of the last stretch.
ENDED: Final = f"""
    SELECT least(floor((completed_at - $1) / $2)::integer, $3 - 1) AS stretch, status, count(*)
    FROM sagaflow_sagas WHERE completed_at >= $1 AND completed_at < $1 + $2 * $3 AND {SAGA}
    GROUP BY stretch, status
"""

OLDEST: Final = f"""
    SELECT body FROM sagaflow_sagas WHERE status = ANY($1) AND {SAGA} ORDER BY created_at, id LIMIT $2
"""

SCAN: Final = f"SELECT id FROM sagaflow_sagas WHERE id {{after}} $1 AND {SAGA} ORDER BY id LIMIT $2"

INSPECT: Final = f"""
    SELECT id, body, due_at, jsonb_array_length(inbox) AS requests, owners
    FROM sagaflow_sagas WHERE id = ANY($1) AND {SAGA}
"""

DEATHS: Final = "SELECT id, dead_at FROM sagaflow_workers WHERE id = ANY($1)"

# A line is one row, so all see one order. Its entries are objects: of lists, @> would not compare the order.
QUEUE_UP: Final = """
    INSERT INTO sagaflow_lines AS lines (key, line) VALUES ($1, jsonb_build_array($2::jsonb))
    ON CONFLICT (key) DO UPDATE
    SET line = CASE WHEN lines.line @> excluded.line THEN lines.line ELSE lines.line || excluded.line END
    RETURNING line
"""

LEAVE_QUEUE: Final = """
    UPDATE sagaflow_lines SET line = (
        SELECT coalesce(jsonb_agg(entry ORDER BY place), '[]')
        FROM jsonb_array_elements(line) WITH ORDINALITY AS entries (entry, place) WHERE entry <> $2::jsonb
    )
    WHERE key = $1 RETURNING line
"""

DROP_EMPTY_LINE: Final = "DELETE FROM sagaflow_lines WHERE key = $1 AND line = '[]'"

QUEUE: Final = "SELECT line FROM sagaflow_lines WHERE key = $1"

LINES: Final = "SELECT key FROM sagaflow_lines WHERE key {after} $1 AND line <> '[]' ORDER BY key LIMIT $2"

KEEP_GRAPH: Final = """
    INSERT INTO sagaflow_graphs (fingerprint, saga, body) VALUES ($1, $2, $3) ON CONFLICT (fingerprint) DO NOTHING
"""

GRAPHS: Final = "SELECT fingerprint, saga, body FROM sagaflow_graphs WHERE saga = ANY($1)"


def select_page(query: Query) -> tuple[str, list[object]]:
    """The statement that finds a page and one saga more, which tells that there is a next page; and its values.

    Raises:
        ValueError: the query's limit or cursor is none.
    """
    start = check_query(query)
    values: list[object] = []

    def value(given: object) -> str:
        values.append(given)
        return f"${len(values)}"

    conditions = [SAGA]
    for column, allowed in (("saga", query.sagas), ("status", query.statuses)):
        if allowed:
            conditions.append(f"{column} = ANY({value([str(one) for one in allowed])}::text[])")
    if query.tags:
        conditions.append(f"tags <> '{{}}' AND tags @> {value(query.tags)}::text[]")
    for column, end in (("created_at", query.created_before), ("updated_at", query.updated_before)):
        if end is not None:
            conditions.append(f"{column} < {value(end)}")
    if start is not None:
        created_at, saga_id = start
        conditions.append(f"(created_at, id) < ({value(created_at)}, {value(saga_id)})")
    return (
        f"SELECT body FROM sagaflow_sagas WHERE {' AND '.join(conditions)} "
        f"ORDER BY created_at DESC, id DESC LIMIT {value(query.limit + 1)}"
    ), values
