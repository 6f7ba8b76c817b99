"""Waiting for a server that takes writes, without having the driver ask for one all the time.

A call for which the driver knows no such server makes it try every member twice a second for as long as the call lasts.
That is right for an election, and a nuisance in an outage. So calls wait outside the driver, and it is made to look by
one task for all of them: often while the loss is fresh, later only when a member that lives names a new primary. Beyond
that the driver looks at its own pace, the ``heartbeatFrequencyMS`` of the client.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Final, cast

import pymongo
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError

if TYPE_CHECKING:
    from pymongo.server_description import ServerDescription
    from pymongo.topology_description import TopologyDescription

    from .mongo_clients import AsyncClient

_PAUSE: Final = 0.2  # seconds between two looks at what the driver knows
_FRESH: Final = 20.0  # ... after a loss; by default, calls that were under way then keep the driver looking as long
_ASKING: Final = 0.5  # ... for a member to say who is the primary
_SILENCE: Final = 1.5  # ... after which an event loop counts as blocked

# Seconds for the driver to find a server: none. It looks once, and waits half a second for what comes of it.
_GLANCE: Final = 0.01


class Primary:
    """The server of one client that takes writes, if there is any; shared by all calls of a store."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._loop: asyncio.AbstractEventLoop | None = None
        self._known_at = float("-inf")
        self._heard_at = float("-inf")
        self._waiting = 0
        self._watch: asyncio.Task[None] | None = None

    async def found(self, seconds: float) -> None:
        """Return as soon as the driver knows of one, or has not looked yet.

        Raises:
            ServerSelectionTimeoutError: there is none for that many seconds.
        """
        if not self._is_lost:
            self._known_at = time.monotonic()
            self._loop = asyncio.get_running_loop()
            return
        if self._watch is None or self._watch.done():
            # A context of its own: this call's bound is not that of the others.
            watch = self._watch_out()
            self._watch = asyncio.create_task(watch, name="sagaflow: looking for a primary", context=Context())
        self._waiting += 1
        try:
            done, _ = await asyncio.wait({self._watch}, timeout=seconds)
        finally:
            self._waiting -= 1
        if not done:
            raise self._none()

    def found_beside(self, seconds: float) -> None:
        """As ``found``, for another thread with a client of its own; it returns as well if the event loop is blocked.

        Raises:
            ServerSelectionTimeoutError: there is none for that many seconds.
        """
        began = now = self._heard_at = time.monotonic()
        while self._is_lost and now - self._heard_at < _SILENCE:
            if now - began >= seconds:
                raise self._none()
            self._call_in_loop()
            time.sleep(_PAUSE)  # in the heart's own thread
            now = time.monotonic()

    def _call_in_loop(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self._heard_at = time.monotonic()

    async def _watch_out(self) -> None:
        while self._waiting and self._is_lost:
            if time.monotonic() - self._known_at < _FRESH or await self._is_named():
                await self._look()
            if self._is_lost:
                await asyncio.sleep(_PAUSE)

    async def _is_named(self) -> bool:
        """Whether a member that lives knows of a primary."""
        if not any(member.is_readable for member in self._members):
            return False
        with suppress(PyMongoError), pymongo.timeout(_ASKING):
            hello = await self._client.get_database("admin").command(
                "hello", read_preference=ReadPreference.SECONDARY_PREFERRED
            )
            return "primary" in hello
        return False

    async def _look(self) -> None:
        """Have the driver look at all members once."""
        with suppress(PyMongoError), pymongo.timeout(_GLANCE):
            if isinstance(self._client, AsyncMongoClient):
                await self._client.is_primary
            else:
                await asyncio.to_thread(getattr, self._client.delegate, "is_primary")

    def _none(self) -> ServerSelectionTimeoutError:
        found = (str(member.error or "{}:{} does not".format(*member.address)) for member in self._members)
        return ServerSelectionTimeoutError(f"no server takes writes: {'; '.join(found)}")

    @property
    def _is_lost(self) -> bool:
        """Whether the driver has looked at every member and none of them takes writes."""
        members = self._members
        return bool(members) and not any(
            member.is_writable or (member.error is None and not member.is_server_type_known) for member in members
        )

    @property
    def _members(self) -> list[ServerDescription]:
        """Those of the set, as the driver last saw them."""
        topology = cast("TopologyDescription", self._client.topology_description)
        return list(topology.server_descriptions().values())
