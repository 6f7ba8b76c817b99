"""Which sagas a command is about, if not by their ids."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from ..core.state import SagaStatus
from ..engine.reports import SagaPage
from ..errors import PayloadError
from ..ports import Query
from ..record import SagaRecord
from .desk import Desk
from .wording import length, tag

_PANEL: Final = "Which sagas"
_PAGE: Final = 200


@dataclass
class Selection:
    """Sagas by filter; all filters must hold."""

    saga: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Of this class. Can be repeated.", rich_help_panel=_PANEL),
    ] = None
    status: Annotated[
        list[SagaStatus] | None,
        typer.Option(
            metavar="STATUS",
            help=f"In this status: {', '.join(SagaStatus)}. Can be repeated.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            parser=tag,
            metavar="TAG",
            help="With this tag; can be repeated, and then with all of them.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    active: Annotated[bool, typer.Option("--active", help="That have not ended.", rich_help_panel=_PANEL)] = False
    paused: Annotated[bool, typer.Option("--paused", help="That are paused.", rich_help_panel=_PANEL)] = False
    error: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="With this text in the reason, or in the error of a step, in any case.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            parser=length, metavar="AGE", help="Started longer ago: 90s, 15m, 2h, 7d.", rich_help_panel=_PANEL
        ),
    ] = None
    younger_than: Annotated[
        timedelta | None,
        typer.Option(parser=length, metavar="AGE", help="Started since then.", rich_help_panel=_PANEL),
    ] = None
    unchanged_for: Annotated[
        timedelta | None,
        typer.Option(parser=length, metavar="AGE", help="That have not moved for so long.", rich_help_panel=_PANEL),
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: then it means all sagas."""
        return self == Selection()

    def query(self, now: datetime, limit: int, cursor: str | None) -> Query:
        """What of it a store can filter by."""
        statuses = [*(self.status or ()), *(one for one in SagaStatus if self.active and not one.is_terminal)]
        return Query(
            sagas=tuple(self.saga or ()),
            statuses=tuple(dict.fromkeys(statuses)),
            tags=tuple(self.tags or ()),
            created_before=_before(now, self.older_than),
            updated_before=_before(now, self.unchanged_for),
            limit=limit,
            cursor=cursor,
        )

    async def page(self, desk: Desk, limit: int, cursor: str | None = None) -> SagaPage:
        """Up to ``limit`` sagas, newest first, and where to go on.

        Raises:
            ValueError: the cursor is none, or the limit is below 1.
            StoreUnavailable
        """
        now = datetime.fromtimestamp(await desk.store.now(), UTC)
        found: list[SagaRecord[Any]] = []
        size = max(limit, _PAGE) if self.paused or self.error is not None else limit
        while True:
            page = await desk.find(self.query(now, size, cursor))
            wanted = [place for place, saga in enumerate(page.sagas) if self._has(saga, now)]
            if len(found) + len(wanted) > limit:
                # Only the store knows how to go on from within a page: it is asked for that part of it.
                last = wanted[limit - len(found) - 1]
                page = await desk.find(self.query(now, last + 1, cursor))
                wanted = [place for place in wanted if place <= last]
            found += [page.sagas[place] for place in wanted if place < len(page.sagas)]
            cursor = page.cursor if not page.sagas or self._is_young(page.sagas[-1], now) else None
            if cursor is None or len(found) >= limit:
                return SagaPage(tuple(found), cursor)

    async def all(self, desk: Desk) -> AsyncGenerator[SagaRecord[Any], None]:
        """All of them, newest first.

        Raises:
            StoreUnavailable
        """
        cursor: str | None = None
        while True:
            page = await self.page(desk, _PAGE, cursor)
            for saga in page.sagas:
                yield saga
            cursor = page.cursor
            if cursor is None:
                return

    def _is_young(self, saga: SagaRecord[Any], now: datetime) -> bool:
        return self.younger_than is None or saga.created_at >= now - self.younger_than

    def _has(self, saga: SagaRecord[Any], now: datetime) -> bool:
        if not self._is_young(saga, now) or (self.paused and not saga.is_paused):
            return False
        return self.error is None or any(self.error.casefold() in text.casefold() for text in _troubles(saga))


def _troubles(saga: SagaRecord[Any]) -> list[str]:
    """All that a saga says of what went wrong."""
    found = [saga.reason or ""]
    for step in saga.steps.values():
        try:
            errors = (step.first_error, step.error, step.compensation_error)
        except PayloadError:
            continue  # whoever cannot read it cannot look for a text in it
        found += [f"{error.type}: {error.message}" for error in errors if error is not None]
    return found


def _before(now: datetime, age: timedelta | None) -> float | None:
    return (now - age).timestamp() if age is not None else None
