"""A server of its own for the page and the API."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Collection, Generator, Iterable
from contextlib import AsyncExitStack, contextmanager
from typing import Final

import uvicorn

from ..engine.engine import Engine
from ..errors import ConfigurationError
from .access import LOOPBACK, Authenticate, is_loopback
from .application import app

logger: logging.Logger = logging.getLogger("sagaflow.web")

PORT: Final = 8400
TOKEN: Final = "SAGAFLOW_WEB_TOKEN"
"""The variable that the token is taken from, if none is given."""

_GRACE: Final = 2
"""Seconds that requests may take to end when the server stops; those that wait for news would take longer."""


async def serve(  # noqa: PLR0913  # keywords, each with a default
    engine: Engine,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    authenticate: Authenticate | None = None,
    read_only: bool = False,
    redact: Iterable[str] = (),
    hosts: Collection[str] = (),
    title: str = "SagaFlow",
    certfile: str | None = None,
    keyfile: str | None = None,
) -> None:
    """Serve the page and the API until SIGINT, SIGTERM, or the task is cancelled.

    Opens the engine and closes it again, unless it is open already.

    Args:
        engine, authenticate, read_only, redact, title: as for ``app``.
        host: the address to listen on; another one than this machine's own needs a token or ``authenticate``.
        port: 0 is any that is free.
        token: as for ``app``; by default the variable ``SAGAFLOW_WEB_TOKEN``, if there is no ``authenticate``.
        hosts: as for ``app``; by default the names of this machine, if ``host`` is one of its own.
        certfile, keyfile: of the certificate for TLS, and its key.

    Raises:
        ConfigurationError: the address cannot be listened on, or everybody could come in.
        StoreUnavailable: the engine cannot be opened.

    Example:
        >>> asyncio.run(serve(Engine(sagas=[OrderSaga]), port=8400))  # doctest: +SKIP
    """
    if token is None and authenticate is None:
        token = os.environ.get(TOKEN) or None
    if not is_loopback(host) and token is None and authenticate is None:
        raise ConfigurationError(
            f"serve(host={host!r}): others than this machine could come in, and everybody might do everything. Write "
            f"token=... (or set {TOKEN}), or authenticate=...; or leave host= out."
        )
    if is_loopback(host) and not hosts:
        hosts = LOOPBACK
    elif certfile is None:
        logger.warning("the page is served without TLS: a token can be read on its way; give certfile= and keyfile=")
    application = app(
        engine, token=token, authenticate=authenticate, read_only=read_only, redact=redact, hosts=hosts, title=title
    )
    config = uvicorn.Config(
        application,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
        lifespan="off",
        log_config=None,
        access_log=False,  # addresses of requests hold the ids of sagas
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE,
    )
    async with AsyncExitStack() as stack:
        place = stack.enter_context(_listening(host, port))
        if engine.loop is None:
            await stack.enter_async_context(engine)
        server = _Server(config)
        stack.enter_context(_stopped_by_signals(server))
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if certfile else "http"
        logger.info("the page is at %s://%s:%d/", scheme, shown, place.getsockname()[1])
        serving = asyncio.create_task(server.serve(sockets=[place]), name="the page's server")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise


class _Server(uvicorn.Server):
    """Leaves the signals to us: uvicorn raises them again when it has ended, which would kill an open engine."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Generator[None, None, None]:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit  # whoever asks twice is in a hurry
        server.should_exit = True

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket, None, None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio spares a small answer the wait for the one before only where the socket names its protocol.
    place = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, port))
        place.listen(128)
    except (OSError, OverflowError) as error:
        place.close()
        raise ConfigurationError(
            f"serve(host={host!r}, port={port}): it cannot be listened on ({error}). Is another server there? Write "
            f"another port, or 0 for any that is free."
        ) from error
    with place:
        yield place
