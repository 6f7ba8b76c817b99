"""How to get at a RabbitMQ: its hosts, and single connections to them that can always be ended."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from aio_pika import Connection
from aio_pika.abc import AbstractChannel
from aiormq import TransportFactory
from yarl import URL

from ..errors import BrokerUnavailable, ConfigurationError
from .rabbitmq_errors import answering

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that a broker gets to say good-bye."""


_CUT_PASSWORD: Final = re.compile(r"://[^@/?#]*[/?#].*@", re.DOTALL)
"""An "@" after the host: of a password with a character that ends the host's part, if it is not percent-encoded."""


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """Where a broker is and how to connect: ``urls`` of the hosts of one cluster, with credentials."""

    urls: tuple[URL, ...]
    name: str
    ssl_context: ssl.SSLContext | None

    @classmethod
    def of(
        cls, urls: str | Sequence[str], *, name: str, heartbeat: timedelta, ssl_context: ssl.SSLContext | None
    ) -> Access:
        """Check the URLs.

        Raises:
            ConfigurationError: one of them cannot be meant.
        """
        seconds = round(heartbeat.total_seconds())
        if not 1 <= seconds <= 600:
            raise ConfigurationError(f"RabbitBroker(heartbeat={heartbeat}): write 1 to 600 seconds")
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given:
            raise ConfigurationError("RabbitBroker(urls=[]): write at least one, amqp://user:password@host/vhost")
        return cls(tuple(_parsed(url, seconds) for url in given), name, ssl_context)

    def __repr__(self) -> str:
        return f"RabbitMQ at {', '.join(map(place, self.urls))}"


class Session:
    """One connection to one host, from its beginning to its end. Nobody hangs on a broker that is frozen."""

    def __init__(self, access: Access, url: URL, purpose: str, *, lost: Callable[[], None]) -> None:
        self._url = url
        self._on_lost = lost
        self._transport = _Transport()
        self.connection: Final = Connection(
            url,
            ssl_context=access.ssl_context,
            client_properties={"connection_name": f"{access.name} ({purpose})", "product": "SagaFlow"},
        )
        self.connection.kwargs["transport_factory"] = self._transport
        self.lost: Final = asyncio.Event()
        """Set when the connection is of no use any more, at the moment when ``lost`` was called."""
        self.why_lost: str = "the connection was lost"

    async def connect(self, seconds: float) -> None:
        """Connect within so many seconds.

        Raises:
            BrokerUnavailable: the host does not answer.
            ConfigurationError: it does not let us in.
        """
        # The driver, told to stop, waits for a frozen broker to close the encryption; so the socket goes first.
        fuse = asyncio.get_running_loop().call_later(seconds, self._transport.abort)
        try:
            async with answering(f"be reached at {place(self._url)}", seconds + 1):
                await self._transport.reach(self._url)
                await self.connection.connect()
        finally:
            fuse.cancel()
        self._watch(self._driver())

    async def watch(self, channel: AbstractChannel) -> None:
        """Hold the connection to be lost when this channel is: its parts are not mended one by one."""
        self._watch(await channel.get_underlay_channel())

    def give_up(self, why: str) -> None:
        """Make the connection be replaced."""
        if not self.lost.is_set():
            self.why_lost = why
            self.lost.set()
            self._on_lost()

    @property
    def is_blocked(self) -> bool:
        """Whether the broker told us to publish no more; it says so after the first message that is too many."""
        # The driver keeps this to itself; what it offers is ``ready``, which waits while the connection is blocked.
        waiting = self.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        except BrokerUnavailable:
            return False
        finally:
            waiting.close()
        return True

    async def ready(self) -> None:
        """Wait while the broker has us blocked."""
        await self._driver().ready()

    async def close(self) -> None:
        """End the connection, in good order if the broker plays its part in it."""
        fuse = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)
        try:
            async with answering("close the connection", CLOSE_TIMEOUT + 1):
                await self.connection.close()
        except (BrokerUnavailable, ConfigurationError):
            pass  # it is gone, which is what was wanted
        finally:
            fuse.cancel()
            self._transport.abort()

    def abort(self) -> None:
        """End the connection without a word."""
        self._transport.abort()

    def _watch(self, part: Any) -> None:
        part.closing.add_done_callback(self._on_closing)

    def _driver(self) -> Any:
        transport = self.connection.transport
        if transport is None:
            raise BrokerUnavailable("the connection was closed")
        return transport.connection

    def _on_closing(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self.give_up(str(error) if error is not None and str(error) else self.why_lost)


class _Transport(TransportFactory):
    """Opens the socket of one connection and keeps hold of it: a frozen broker never lets go by itself."""

    def __init__(self) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def reach(self, url: URL) -> None:
        """Open the socket. Done before the driver is asked, which logs an error for each broker that is away."""
        self._streams = await asyncio.open_connection(url.host, _port(url))

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Give the driver its socket, encrypted if the URL says so."""
        if self._streams is None:
            raise ConnectionError("the host was not reached")
        reader, writer = self._streams
        if url.scheme == "amqps":
            context = await kwargs["ssl_context_provider"].get_context()
            await writer.start_tls(context, server_hostname=url.host)
        return reader, writer

    def abort(self) -> None:
        """Close the socket without a word."""
        if self._streams is not None:
            self._streams[1].transport.abort()


def place(url: URL) -> str:
    """A URL without what is secret in it."""
    return f"{url.host}:{_port(url)}{url.raw_path.rstrip('/')}"


def _port(url: URL) -> int:
    return url.port or (5671 if url.scheme == "amqps" else 5672)


def _parsed(text: str, heartbeat: int) -> URL:
    # The text is not quoted in errors, nor is the cause kept: it holds a password.
    try:
        if _CUT_PASSWORD.search(text):
            raise ValueError("the end of a password would pass for the path, which is shown")
        url = URL(text)
        port = url.explicit_port
    except ValueError:
        raise ConfigurationError(
            "a RabbitMQ URL cannot be read; write amqp://user:password@host:5672/vhost, with reserved characters "
            "percent-encoded"
        ) from None
    if url.scheme not in ("amqp", "amqps"):
        raise ConfigurationError(f"{url.scheme or 'no scheme'}: write a RabbitMQ URL as amqp://… or amqps://…")
    if not url.host or port == 0:
        raise ConfigurationError(f"an {url.scheme} URL names no host; write amqp://user:password@host:5672/vhost")
    return url if "heartbeat" in url.query else url.update_query(heartbeat=heartbeat)
