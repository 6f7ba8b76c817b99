"""Many sagas of a store, as an engine shows them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, Final

from sagaflow import Engine, SagaRecord

_PAGE: Final = 1_000


async def records_of(engine: Engine, ids: AbstractSet[str] | None, since: float) -> list[SagaRecord[Any]]:
    """The records of the sagas of these ids, or of all, newest first; they were created after ``since``.

    Raises:
        AssertionError: some are not there.
    """
    found: list[SagaRecord[Any]] = []
    cursor: str | None = None
    while True:
        page = await engine.list(limit=_PAGE, cursor=cursor)
        found += [record for record in page.sagas if ids is None or record.id in ids]
        cursor = page.cursor
        if cursor is None or page.sagas[-1].created_at.timestamp() < since:
            break
    assert ids is None or len(found) == len(ids), f"{len(ids)} sagas were started, and {len(found)} are there"
    return found
