"""Errors as problem details (RFC 9457): what is wrong, and what to write instead."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from ..answer import Answer
from ..errors import (
    ConfigurationError,
    InboxFull,
    NoEngine,
    PayloadError,
    PayloadTooLarge,
    SagaExists,
    SagaNotFound,
    StoreUnavailable,
)

logger: logging.Logger = logging.getLogger("sagaflow.web")

MEDIA_TYPE: Final = "application/problem+json"

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every response: nothing from elsewhere is run or shown, nobody frames it, and no address of a saga leaks."""


class ProblemData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error.

    Attributes:
        type: names the kind of problem, to be compared.
        title: the same in words.
        status: of the response.
        detail: what is wrong.
        remedy: what to write or do instead.
        verdict, saga_status: of an act that was refused: see ``Answer``.
        way_in: of a request by a stranger: ``token``, ``own`` or ``loopback``.
    """

    type: str
    title: str
    status: int
    detail: str
    remedy: str = ""
    verdict: str = ""
    saga_status: str = ""
    way_in: str = ""


class Problem(Exception):
    """A request that gets no answer but this.

    Args:
        status: of the response.
        kind: names the problem, in a few words with hyphens.
        detail: what is wrong.
        remedy: what to write instead.
        headers: further headers of the response.
        about: further fields of ``ProblemData``.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        remedy: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **about: str,
    ) -> None:
        self.headers: dict[str, str] = dict(headers or {})
        self.data: ProblemData = ProblemData(
            f"urn:sagaflow:problem:{kind}", kind.replace("-", " "), status, detail, remedy, **about
        )
        super().__init__(detail)

    def response(self) -> Response[bytes]:
        """What the client gets."""
        return Response(
            msgspec.json.encode(self.data),
            status_code=self.data.status,
            media_type=MEDIA_TYPE,
            headers={**HEADERS, "Cache-Control": "no-store", **self.headers},
        )


def refused(answer: Answer) -> Problem:
    """An act that a saga does not take."""
    return Problem(
        409, "refused", answer.why, "Look at the saga as it stands now.", verdict="refused", saga_status=answer.status
    )


_AGAIN: Final = {"Retry-After": "2"}


def problem_of(error: Exception) -> Problem | None:
    """What an error of the library is to a client; None if it is nobody's but the program's."""
    text = str(error)
    match error:
        case Problem():
            return error
        case SagaNotFound():
            return Problem(404, "no-such-saga", text)
        case SagaExists():
            return Problem(409, "saga-exists", text)
        case PayloadTooLarge():
            return Problem(413, "payload-too-large", text)
        case PayloadError():
            return Problem(422, "payload", text, "See the types in openapi.json.")
        case InboxFull():
            return Problem(429, "inbox-full", text, headers=_AGAIN)
        case NoEngine():
            return Problem(503, "no-engine", text)
        case StoreUnavailable():
            # The text names servers, which are nobody's business here; the log has it.
            return Problem(
                503,
                "store-unavailable",
                "the store does not answer; whether a change was made is not known",
                "Ask again: the same id starts one saga, and an act twice is as once.",
                headers=_AGAIN,
            )
        case ConfigurationError():
            return Problem(409, "not-here", text)
        case _:
            return None


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The response to whatever a handler raised."""
    problem = problem_of(error)
    if problem is None and isinstance(error, HTTPException):
        problem = _of_http(error)
    if problem is None:
        logger.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
        problem = Problem(500, "internal", "the service has a fault; its log says which")
    elif isinstance(error, StoreUnavailable):
        logger.warning("%s %s: %s", request.method, request.scope["path"], error)
    return problem.response()


def _of_http(error: HTTPException) -> Problem:
    """What Litestar has found wrong with a request."""
    match error.status_code:
        case 404:
            return Problem(404, "no-such-page", "there is nothing here", "openapi.json lists what there is.")
        case 405:
            return Problem(
                405,
                "method",
                "this cannot be asked for by this method",
                "GET looks, POST acts; openapi.json lists what there is.",
                headers=error.headers,
            )
        case 413:
            return Problem(413, "body-too-large", "the body of the request is too large", "Keep large data elsewhere.")
        case 400 if isinstance(error.extra, list) and error.extra:
            found = "; ".join(f"{one.get('key', 'the request')}: {one.get('message')}" for one in _dicts(error.extra))
            return Problem(422, "arguments", found, "openapi.json says what may be asked.")
        case _:
            return Problem(error.status_code, "request", error.detail)


def _dicts(found: list[Any]) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)]
