"""Who may come in: everybody on this machine, whoever has the token, or whom a function of one's own knows."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Literal

from litestar.connection import ASGIConnection

from ..errors import ConfigurationError

Connection = ASGIConnection[Any, Any, Any, Any]

Authenticate = Callable[[Connection], Awaitable[str | None]]
"""Tells who makes a request: the name that stands in the records of sagas; None for a stranger.

It is given Litestar's connection, with ``headers``, ``cookies``, ``client`` and the ASGI ``scope``.
"""

COOKIE: Final = "sagaflow_session"
SESSION: Final = 12 * 3600
"""How long somebody stays signed in, in seconds."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine for itself."""

_SHORTEST: Final = 16


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who may come in. ``name`` is None if that is all that is known: an act must say who asks for it."""

    name: str | None = None


class Access:
    """The rules of one application.

    Args:
        token: a secret of at least 16 characters; whoever has it may come in.
        authenticate: tells who somebody is, in place of a token.
        hosts: the names that the application is reached by; requests to others are refused. By default those of this
            machine if there is neither token nor ``authenticate``, else any.

    Raises:
        ConfigurationError: the token is too short, or there are two ways in.
    """

    def __init__(
        self, token: str | None = None, authenticate: Authenticate | None = None, hosts: Collection[str] = ()
    ) -> None:
        if token is not None and authenticate is not None:
            raise ConfigurationError("token= and authenticate=: two ways in; write one of them")
        if token is not None and len(token) < _SHORTEST:
            raise ConfigurationError(
                f"token=: {len(token)} characters can be guessed; write at least {_SHORTEST}, such as those that "
                f"python -c 'import secrets; print(secrets.token_urlsafe(32))' prints"
            )
        self._token = token.encode() if token is not None else None
        self._authenticate = authenticate
        self.hosts: frozenset[str] | None = frozenset(host.lower() for host in hosts) or (
            LOOPBACK if self.is_open else None
        )

    @property
    def is_open(self) -> bool:
        """Whether everybody on this machine may come in, and nobody else."""
        return self._token is None and self._authenticate is None

    @property
    def way_in(self) -> Literal["loopback", "token", "own"]:
        """How somebody comes in."""
        return "loopback" if self.is_open else "token" if self._token is not None else "own"

    async def visitor(self, connection: Connection) -> Visitor | None:
        """Who makes this request; None for a stranger."""
        if self._authenticate is not None:
            name = await self._authenticate(connection)
            return Visitor(name) if name else None
        if self._token is None:
            return Visitor() if is_local(connection) else None
        bearer = bearer_of(connection)
        if bearer is not None:
            return Visitor() if self.is_token(bearer) else None
        return Visitor() if self._is_session(connection.cookies.get(COOKIE, "")) else None

    def is_token(self, given: str) -> bool:
        """Whether that is the token, found out in a time that tells nothing of it."""
        return self._token is not None and hmac.compare_digest(given.encode(errors="replace"), self._token)

    def new_session(self) -> str:
        """What the cookie of somebody holds who has shown the token; it is not the token."""
        until = f"{int(time.time()) + SESSION:x}"
        return f"{until}.{self._signature(until)}"

    def _is_session(self, cookie: str) -> bool:
        until, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(until).encode()):
            return False
        return int(until, 16) > time.time()

    def _signature(self, until: str) -> str:
        assert self._token is not None, "there are sessions only where there is a token"
        return hmac.new(self._token, f"sagaflow session until {until}".encode(), hashlib.sha256).hexdigest()


def bearer_of(connection: Connection) -> str | None:
    """The token that a program sends with each request."""
    kind, _, given = connection.headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def is_local(connection: Connection) -> bool:
    """Whether the other end is on this machine. A proxy that says for whom it asks is not."""
    client = connection.client
    forwarded = "forwarded" in connection.headers or "x-forwarded-for" in connection.headers
    return client is not None and is_loopback(client.host) and not forwarded


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
