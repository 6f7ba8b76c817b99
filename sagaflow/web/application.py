"""The application: the page, the API and the gate before them, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any, Final, cast

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig

from .. import views
from ..engine.engine import Engine
from .access import COOKIE, SESSION, Access, Authenticate
from .acting import Acting
from .bodies import Me, Ok, SagaType, SignIn, read
from .catalogue import openapi, saga_types
from .gate import OPEN, PUBLIC, Gate
from .looking import Looking
from .page import Page
from .problems import HEADERS, Problem, handle

Application = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
"""An ASGI application, as frameworks and servers write its type; it is an application of Litestar's."""

BODY_LIMIT: Final = 2 * 1024 * 1024
"""The largest body of a request, in bytes: above what an engine keeps of a saga, unless its settings are raised."""


def app(
    engine: Engine,
    *,
    token: str | None = None,
    authenticate: Authenticate | None = None,
    read_only: bool = False,
    redact: Iterable[str] = (),
    hosts: Collection[str] = (),
    title: str = "SagaFlow",
) -> Application:
    """The page and the API of an engine, as an ASGI application.

    Serve it, or mount it in a FastAPI or Starlette application, which opens the engine. Without a token or a function
    that tells who somebody is, only this machine may ask.

    Args:
        engine: the engine that is shown, and asked; it may run steps, or be made with ``work="none"``.
        token: a secret of at least 16 characters; whoever has it may look and act.
        authenticate: tells who makes a request, in place of a token; see ``Authenticate``.
        read_only: nothing can be changed.
        redact: the fields of payloads that are not shown, by name or dotted path; see ``sagaflow.views.Redaction``.
        hosts: the names that the application is reached by; requests to others are refused. Needed behind a proxy that
            changes the header ``Host``, and without a token for names other than those of this machine.
        title: of the page.

    Raises:
        ConfigurationError: the token is too short, or there are two ways in.
        ValueError: a path in ``redact`` is none.

    Example:
        >>> from fastapi import FastAPI
        >>> shop = FastAPI()
        >>> def watch(engine: Engine, token: str) -> None:
        ...     shop.mount("/sagas", app(engine, token=token, redact=["card"]))
    """
    access = Access(token, authenticate, hosts)
    parts = [
        *_about(engine, access, read_only=read_only, title=title),
        *_signing(access),
        *Looking(engine, views.Redaction(redact)).handlers(),
        *Acting(engine).handlers(),
        *Page().handlers(),
    ]
    made = Litestar(
        parts,
        guards=[Gate(access, read_only=read_only)],
        exception_handlers={Exception: handle},
        after_request=_with_headers,
        request_max_body_size=BODY_LIMIT,
        openapi_config=OpenAPIConfig(title=title, version=_VERSION, path="/api/schema", render_plugins=[]),
        logging_config=None,
        debug=False,
    )
    return cast("Application", made)


def _with_headers(response: Response[Any]) -> Response[Any]:
    for name, value in {**HEADERS, "Cache-Control": "no-store"}.items():
        response.headers.setdefault(name, value)
    return response


_VERSION: Final = "1"
"""Of the API. Fields may be added; none changes its meaning or goes away."""


def _about(engine: Engine, access: Access, *, read_only: bool, title: str) -> list[HTTPRouteHandler]:
    """Handlers that tell of the service itself."""

    @get("/health", summary="Whether the process should live on", opt=PUBLIC, operation_id="health")
    async def health() -> Response[Ok]:
        """503 if a part of the engine has died: the process must be restarted."""
        ok = not engine.health.failures
        return Response(Ok(ok), status_code=200 if ok else 503)

    @get("/ready", summary="Whether the process can work now", opt=PUBLIC, operation_id="ready")
    async def ready() -> Response[Ok]:
        """503 if the engine is not open, or one of its servers does not answer."""
        ok = engine.health.ok
        return Response(Ok(ok), status_code=200 if ok else 503)

    @get("/api/me", summary="Who asks, and what is allowed", operation_id="me")
    async def me(request: Request[Any, Any, Any]) -> Me:
        return Me(request.scope["user"].name, access.way_in, read_only, title)

    @get("/api/types", summary="The classes of sagas that can be started here", operation_id="types")
    async def types() -> tuple[SagaType, ...]:
        return saga_types(engine)

    @get("/api/openapi.json", include_in_schema=False)
    async def description(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return openapi(request.app, engine, _root(request))

    return [health, ready, me, types, description]


def _root(request: Request[Any, Any, Any]) -> str:
    """The path that the application is mounted at."""
    scope = cast("Mapping[str, Any]", request.scope)
    return str(scope.get("root_path") or "/")


def _signing(access: Access) -> list[HTTPRouteHandler]:
    """Handlers that exchange the token for a cookie that no script can read."""

    def cookie(request: Request[Any, Any, Any], value: str, seconds: int) -> Cookie:
        return Cookie(
            COOKIE,
            path=_root(request),
            value=value,
            max_age=seconds,
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )

    @post("/api/sign-in", summary="Sign in", opt={**OPEN, "body": SignIn}, operation_id="sign-in", status_code=204)
    async def sign_in(request: Request[Any, Any, Any]) -> Response[None]:
        given = read(await request.body(), SignIn)
        if access.way_in != "token":
            raise Problem(409, "no-token", "this service has no token", "Come in as it asks you to.")
        if not access.is_token(given.token):
            raise Problem(401, "wrong-token", "that is not the token", "Ask whoever runs this service for it.")
        return Response(None, status_code=204, cookies=[cookie(request, access.new_session(), SESSION)])

    @post("/api/sign-out", summary="Sign out", opt=OPEN, operation_id="sign-out", status_code=204)
    async def sign_out(request: Request[Any, Any, Any]) -> Response[None]:
        return Response(None, status_code=204, cookies=[cookie(request, "", 0)])

    return [sign_in, sign_out]
