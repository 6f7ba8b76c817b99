"""One connection that is there for as long as it is wanted: replaced whenever it is lost, whole, never mended."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Final

from yarl import URL

from ..errors import BrokerUnavailable, ConfigurationError
from ..tasks import is_cancelled
from ..throttle import Throttle
from .rabbitmq_access import CLOSE_TIMEOUT, Access, Session, place
from .rabbitmq_errors import answering

logger: logging.Logger = logging.getLogger("sagaflow.rabbitmq")

CONNECT_TIMEOUT: Final = 5.0
FIRST_RESULT_TIMEOUT: Final = 3.0

# Between two attempts: doubling, halved at most by chance, so that a fleet does not come back in step.
_FIRST_DELAY: Final = 0.1
_LAST_DELAY: Final = 5.0
# A connection that held for so long was a good one: the next loss begins with the shortest delay again.
_STEADY: Final = 10.0
# How long after a loss callers wait for the next connection before they hear that there is none: a broker that
# restarts or moves is back within that, and while it is away for longer nobody is held up.
_PATIENCE: Final = 2.0


class Link:
    """Keeps a connection to one host of several.

    Args:
        access: the hosts.
        purpose: completes the connection's name, as operators see it.
        prepare: makes a new connection ready for use (channels, declarations); a failure is one of the connection.
        lost: called when a connection that was prepared is gone.
    """

    def __init__(
        self,
        access: Access,
        purpose: str,
        *,
        prepare: Callable[[Session], Awaitable[None]],
        lost: Callable[[], None],
    ) -> None:
        self._access = access
        self._purpose = purpose
        self._prepare = prepare
        self._on_lost = lost
        self._throttle = Throttle(logger)
        self._task: asyncio.Task[None] | None = None
        self._attempt: Session | None = None
        self._session: Session | None = None
        self._is_up = asyncio.Event()
        self._tried = asyncio.Event()
        self._failures = 0
        self._refusal: ConfigurationError | None = None
        self._problem = "connecting"
        self._down_since = 0.0

    async def start(self) -> None:
        """Begin to connect; returns at the first connection, when all hosts have failed once, or after three seconds.

        Raises:
            ConfigurationError: a host refuses what it was told, and no other took it. The link is closed then.
        """
        self._is_up, self._tried = asyncio.Event(), asyncio.Event()
        self._failures, self._refusal, self._problem = 0, None, "connecting"
        self._down_since = time.monotonic()
        self._task = asyncio.create_task(self._run(), name=f"sagaflow: RabbitMQ, {self._purpose}")
        try:
            async with asyncio.timeout(FIRST_RESULT_TIMEOUT):
                await self._tried.wait()
        except TimeoutError:
            return
        await self._raise_refusal()

    async def close(self) -> None:
        """End it; idempotent. Takes a moment, or a few seconds if the broker is frozen."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            _, left = await asyncio.wait({task}, timeout=CLOSE_TIMEOUT + 1)
            if left and self._attempt is not None:
                self._attempt.abort()  # it was connecting to a host that is frozen
                await asyncio.wait(left, timeout=1.0)

    async def session(self) -> Session:
        """The connection, prepared. A short interruption is waited for.

        Raises:
            BrokerUnavailable: there is none.
        """
        left = self._down_since + _PATIENCE - time.monotonic()
        if self._session is None and self._task is not None and left > 0:
            try:
                async with asyncio.timeout(left):
                    await self._is_up.wait()
            except TimeoutError:
                pass
        if self._session is None:
            raise BrokerUnavailable(f"RabbitMQ is away: {self.health}")
        return self._session

    def replace(self, why: str) -> None:
        """Make a new connection: something is wrong with this one."""
        if self._session is not None:
            self._session.give_up(why)
            self._went_down()

    @property
    def health(self) -> str:
        """``ok``, or what is wrong."""
        if self._task is None:
            return "closed"
        if self._session is None:
            return self._problem
        return "blocked: RabbitMQ is low on memory or disk" if self._session.is_blocked else "ok"

    async def _raise_refusal(self) -> None:
        refusal = self._refusal
        if refusal is not None and not self._is_up.is_set():
            await self.close()
            raise refusal

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        for url in cycle(self._access.urls):
            began = time.monotonic()
            await self._hold(url)
            if is_cancelled():
                return
            if time.monotonic() - began > _STEADY:
                delay = _FIRST_DELAY
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(2 * delay, _LAST_DELAY)

    async def _hold(self, url: URL) -> None:
        """Connect to one host, and return when that connection has failed or ended."""
        session = self._attempt = Session(self._access, url, self._purpose, lost=self._went_down)
        try:
            await session.connect(CONNECT_TIMEOUT)
            async with answering(f"be made ready at {place(url)}", CONNECT_TIMEOUT):
                await self._prepare(session)
            if is_cancelled():
                return  # the driver has swallowed it, as it may before Python 3.12
            if not session.lost.is_set():
                self._came_up(session, url)
            await session.lost.wait()
            self._failed(BrokerUnavailable(f"{place(url)}: {session.why_lost}"))
        except (BrokerUnavailable, ConfigurationError) as error:
            self._failed(error)
        finally:
            self._went_down()
            await session.close()

    def _came_up(self, session: Session, url: URL) -> None:
        self._session = session
        self._is_up.set()
        self._tried.set()
        if self._failures:
            logger.info("connected to RabbitMQ at %s again (%s)", place(url), self._purpose)
        self._failures, self._refusal = 0, None

    def _went_down(self) -> None:
        if self._session is not None:
            self._session = None
            self._is_up.clear()
            self._down_since = time.monotonic()
            self._on_lost()

    def _failed(self, error: BrokerUnavailable | ConfigurationError) -> None:
        self._failures += 1
        if isinstance(error, ConfigurationError):
            self._refusal = error
        self._problem = f"connecting: {error}"
        if self._failures >= len(self._access.urls):
            self._tried.set()
        self._throttle.log(logging.WARNING, type(error).__name__, f"RabbitMQ ({self._purpose}): {error}; trying again")
