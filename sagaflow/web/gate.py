"""What every request passes before anything is done for it: its host, its origin, who makes it, what it may do."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from litestar.datastructures import Headers
from litestar.handlers import BaseRouteHandler

from .access import LOOPBACK, Access, Connection, bearer_of, is_local
from .problems import Problem

HEADER: Final = "x-requested-with"
"""No page elsewhere can send it without asking the browser first, which asks here, and is not answered."""

PUBLIC: Final = {"public": True}
"""For handlers that tell nothing: whoever may reach the process may ask."""

OPEN: Final = {"open": True}
"""For handlers that a stranger needs to become a visitor."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """A guard of Litestar's for all handlers of one application."""

    def __init__(self, access: Access, *, read_only: bool) -> None:
        self._access = access
        self._read_only = read_only

    async def __call__(self, connection: Connection, handler: BaseRouteHandler) -> None:
        """Let the request pass.

        Raises:
            Problem: it may not.
        """
        if handler.opt.get("public"):
            return
        self._check_host(connection)
        is_act = connection.scope["method"] not in _SAFE  # type: ignore[typeddict-item]  # no websockets here
        if is_act:
            self._check_origin(connection)
        if self._access.is_open and not is_local(connection):
            raise Problem(
                403,
                "loopback-only",
                "there is neither a token nor another way to tell who you are, so only this machine may ask",
                "Give the application token=... or authenticate=... to let others in.",
            )
        if handler.opt.get("open"):
            return
        visitor = await self._access.visitor(connection)
        if visitor is None:
            raise Problem(
                401,
                "sign-in",
                "nobody knows who you are",
                "Send 'Authorization: Bearer TOKEN', or sign in on the page."
                if self._access.way_in == "token"
                else "Sign in as this service asks you to.",
                headers={"WWW-Authenticate": "Bearer"},
                way_in=self._access.way_in,
            )
        if is_act and self._read_only:
            raise Problem(403, "read-only", "this page only shows sagas", "Act where the service is not read_only.")
        connection.scope["user"] = visitor

    def _check_host(self, connection: Connection) -> None:
        """A page elsewhere can let its own name point to this machine; it cannot change the name that it asks for."""
        asked = connection.headers.get("host", "")
        hosts = self._access.hosts
        if hosts is not None and _name(asked) not in hosts:
            raise Problem(
                421,
                "host",
                "this service is not known by the name in the header Host",
                f"Ask for one of {', '.join(sorted(hosts))}, or give the application hosts=[...] with its name.",
            )

    def _check_origin(self, connection: Connection) -> None:
        """What changes something must not come from a page of somebody else's."""
        headers = connection.headers
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        is_foreign = site not in (None, "same-origin") or (origin is not None and not self._is_ours(origin, headers))
        if is_foreign:
            raise Problem(
                403,
                "cross-site",
                "the request comes from a page of another origin",
                "Ask from the page of this service, or from a program with 'Authorization: Bearer TOKEN'; behind a "
                "proxy that changes the header Host, give the application hosts=[...] with the name outside.",
            )
        if bearer_of(connection) is None and not headers.get(HEADER):
            raise Problem(
                403,
                "header",
                "a request that changes something must show that no foreign page has made it",
                "Send the header 'X-Requested-With: sagaflow', or 'Authorization: Bearer TOKEN'.",
            )

    def _is_ours(self, origin: str, headers: Headers) -> bool:
        # With its port: another program of this machine is another origin.
        place = urlsplit(origin).netloc.lower()
        outside = (self._access.hosts or frozenset()) - LOOPBACK
        return place != "" and (place == headers.get("host", "").lower() or place in outside)


def _name(host: str) -> str:
    """A host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
