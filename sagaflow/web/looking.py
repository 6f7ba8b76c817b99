"""The part of the API that shows sagas. Nothing here changes anything."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery, QueryParameter
from msgspec import Struct

from ..core.state import SagaStatus
from ..engine.arguments import checked_tags
from ..engine.engine import Engine
from ..ports import Query
from ..record import SagaRecord
from ..views import (
    Act,
    ActPlan,
    PageData,
    Redaction,
    SagaData,
    Wait,
    page_data,
    plan_undo,
    saga_data,
    svg,
    waits,
)
from .overview import Overview, OverviewData, Span
from .problems import HEADERS, Problem

_MOST: Final = 200
"""Sagas of one page."""

_PATIENCE: Final = 25.0
"""The longest that a request waits for news, in seconds: less than proxies do."""

Limit = Annotated[int, QueryParameter(ge=1, le=_MOST, description="how many at most")]
Ids = Annotated[str, QueryParameter(description="of the saga")]
Classes = Annotated[list[str] | None, QueryParameter(name="saga", description="names of classes; by default all")]
Statuses = Annotated[list[SagaStatus] | None, QueryParameter(name="status", description="by default all")]
Tags = Annotated[list[str] | None, QueryParameter(name="tag", description="a saga must have all of them")]
Search = Annotated[
    str | None, QueryParameter(description="ids that begin so; the other filters hold too, no cursor does")
]
Cursor = Annotated[str | None, QueryParameter(description="of the page before")]
Seconds = Annotated[float | None, QueryParameter(name="older_than", ge=0, description="started so many seconds ago")]
After = Annotated[int | None, QueryParameter(description="the revision that is known")]
Patience = Annotated[
    float, QueryParameter(ge=0, le=_PATIENCE, description="seconds to wait for a newer one than `after`")
]


class SagaView(Struct, frozen=True):
    """One saga, and what it is about.

    Attributes:
        saga: all of it.
        waits: what comes next, and why it has not come yet.
        accepts: the kinds of acts that still have something to do.
        is_known: whether this engine has its class, so that acts and plans are possible here.
    """

    saga: SagaData
    waits: tuple[Wait, ...]
    accepts: tuple[str, ...]
    is_known: bool


class Looking:
    """The handlers that show what an engine knows."""

    def __init__(self, engine: Engine, redaction: Redaction) -> None:
        self._engine = engine
        self._redaction = redaction
        self._overview = Overview(engine)

    def handlers(self) -> list[HTTPRouteHandler]:
        """All of them."""
        return [self._everything(), self._list(), self._one(), self._graph(), self._plan()]

    def _everything(self) -> HTTPRouteHandler:
        @get("/api/overview", summary="How everything is", operation_id="overview")
        async def overview(span: FromQuery[Span] = "hour") -> OverviewData:
            """Numbers by class and status, what ended lately, and what somebody should look at."""
            return await self._overview.look(span)

        return overview

    def _list(self) -> HTTPRouteHandler:
        @get("/api/sagas", summary="List and filter sagas", operation_id="list")
        async def sagas(  # each is a filter
            classes: Classes = None,
            statuses: Statuses = None,
            tags: Tags = None,
            search: Search = None,
            older_than: Seconds = None,
            cursor: Cursor = None,
            limit: Limit = 50,
        ) -> PageData:
            """Newest first, a page at a time; by id, where a beginning of ids is searched for."""
            before = datetime.now(UTC) - timedelta(seconds=older_than) if older_than is not None else None
            try:
                query = Query(
                    sagas=tuple(classes or ()),
                    statuses=tuple(statuses or ()),
                    tags=checked_tags(tags or ()),
                    created_before=before.timestamp() if before is not None else None,
                    limit=limit,
                    cursor=cursor,
                )
                if search:
                    found = await self._engine.named(search, limit=_MOST)
                    return page_data([record for record in found if query.matches(record.state)][:limit])
                page = await self._engine.find(query)
            except ValueError as error:
                raise Problem(422, "arguments", str(error)) from None
            return page_data(page.sagas, page.cursor)

        return sagas

    def _one(self) -> HTTPRouteHandler:
        @get("/api/saga", summary="One saga, now or as soon as it changes", operation_id="show")
        async def saga(id: Ids, after: After = None, wait: Patience = _PATIENCE) -> Response[SagaView | None]:
            """With `after`, it is answered when there is a newer revision, or with 204 if none comes in time."""
            record: SagaRecord[Any] | None
            if after is None:
                record = await self._get(id)
            else:
                record = await self._newer(id, after, wait)
            if record is None:
                return Response(None, status_code=204)
            view = SagaView(
                saga_data(record, redact=self._redaction),
                waits(record, datetime.now(UTC)),
                record.state.accepts,
                record.definition is not None,
            )
            return Response(view)

        return saga

    async def _newer(self, saga_id: str, known: int, seconds: float) -> SagaRecord[Any] | None:
        try:
            async with asyncio.timeout(seconds), aclosing(self._engine.watch(saga_id)) as records:
                async for record in records:
                    if record.revision > known:
                        return record
        except TimeoutError:
            pass
        except ValueError as error:
            raise Problem(422, "arguments", str(error)) from None
        return None  # it is at rest, or nothing has happened in time

    def _graph(self) -> HTTPRouteHandler:
        @get("/api/saga/graph", summary="One saga, drawn", operation_id="graph", media_type="image/svg+xml")
        async def graph(id: Ids) -> Response[str]:
            """The steps, coloured by their status, as SVG."""
            return Response(svg(await self._get(id)), media_type="image/svg+xml", headers=_DRAWING)

        return graph

    def _plan(self) -> HTTPRouteHandler:
        @get("/api/saga/plan", summary="What an act would undo", operation_id="plan")
        async def plan(id: Ids, act: FromQuery[Act] = "compensate") -> ActPlan:
            """The dry run of `compensate` or `cancel`: nothing is changed, and nobody is asked."""
            return plan_undo(await self._get(id), act)

        return plan

    async def _get(self, saga_id: str) -> SagaRecord[Any]:
        try:
            return await self._engine.get(saga_id)
        except ValueError as error:
            raise Problem(422, "arguments", str(error)) from None


# A drawing brings its own style; opened by itself, it may use that.
_DRAWING: Final = {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace(
        "style-src 'self'", "style-src 'unsafe-inline'"
    )
}
