"""What an overview shows of a SQLite store. No row is read for a number: the indexes hold all that is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from ..core.state import SagaStatus
from ..ports import Ended, Tally
from .sqlite_schema import transaction

_TALLY: Final = "SELECT saga, status, count(*) FROM sagas INDEXED BY sagas_class GROUP BY saga, status"
_ENDED: Final = """
    SELECT count(*) FROM sagas INDEXED BY sagas_ended WHERE status = ? AND completed_at >= ? AND completed_at < ?
"""
_TERMINAL: Final = tuple(status for status in SagaStatus if status.is_terminal)


def tally(connection: sqlite3.Connection) -> list[Tally]:
    """How many sagas there are, by class and status."""
    rows = connection.execute(_TALLY).fetchall()
    return [Tally(saga, SagaStatus(status), count) for saga, status, count in rows]


def ended(connection: sqlite3.Connection, since: float, width: float, stretches: int) -> list[Ended]:
    """How many sagas came to their end in each stretch of time."""
    # Each is a range of the index, counted as it stands there; to group all of it would mean to sort it.
    with transaction(connection, "DEFERRED"):
        counted = [
            Ended(
                stretch,
                status,
                connection.execute(_ENDED, (status, since + stretch * width, since + (stretch + 1) * width)).fetchone()[
                    0
                ],
            )
            for status in _TERMINAL
            for stretch in range(stretches)
        ]
    return [one for one in counted if one.count]


def oldest(connection: sqlite3.Connection, statuses: Sequence[SagaStatus], limit: int) -> list[str]:
    """The bodies of the sagas of these statuses that were created first."""
    # Each status is a range of the index, in the order that is wanted.
    found = [
        row
        for status in dict.fromkeys(statuses)
        for row in connection.execute(
            "SELECT created_at, id, body FROM sagas WHERE status = ? ORDER BY created_at, id LIMIT ?", (status, limit)
        )
    ]
    return [body for _, _, body in sorted(found)[:limit]]
