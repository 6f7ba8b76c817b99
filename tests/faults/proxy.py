"""A TCP proxy in the path to a server, that cuts, delays, stalls and refuses when it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers.ports import LOOPBACK, free_port

_CHUNK = 64 * 1024


@dataclass(eq=False)
class Line:
    """One client's connection, and the one to the server that belongs to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None

    def cut(self) -> None:
        """End both, without a word."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Carries bytes between any number of clients and one server of this machine, in the loop that opened it.

    Args:
        target: the server's port.
        delay: the seconds that each piece takes on its way, in each direction.
        refuses: end new connections at once.

    Attributes:
        asked: how many connections were asked for.
    """

    target: int
    delay: float = 0.0
    refuses: bool = False
    port: int = field(default_factory=free_port)
    asked: int = 0

    def __post_init__(self) -> None:
        self._lines: set[Line] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> int:
        """End all connections; new ones are taken. How many there were."""
        count = len(self._lines)
        for line in self._lines:
            line.cut()
        return count

    def stall(self) -> None:
        """Carry nothing more: connections stay open, and new ones are taken, but nothing ever comes."""
        self._flows.clear()

    def flow(self) -> None:
        """Carry again what has been held up, if its connection is still there."""
        self._flows.set()

    def refuse(self) -> None:
        """End all connections, and new ones at once, as a server does that is away."""
        self.refuses = True
        self.cut()

    def accept(self) -> None:
        """Take connections again."""
        self.refuses = False

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def on_request(self, line: Line, data: bytes) -> bytes:
        """What the server is given for what a client has sent; for a proxy that understands what it carries."""
        return data

    def on_reply(self, line: Line, data: bytes) -> bytes:
        """What a client is given for what the server has sent."""
        return data

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        if self.refuses:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._carry(reader, Line(writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, from_client: asyncio.StreamReader, line: Line) -> None:
        self._lines.add(line)
        try:
            from_server, line.server = await asyncio.open_connection(LOOPBACK, self.target)
            async with asyncio.TaskGroup() as both:
                _ = both.create_task(self._carry_requests(from_client, line, line.server))
                _ = both.create_task(self._carry_replies(from_server, line))
        except* OSError:
            pass  # one side is gone
        finally:
            line.cut()
            self._lines.discard(line)

    async def _carry_requests(self, reader: asyncio.StreamReader, line: Line, server: asyncio.StreamWriter) -> None:
        while True:
            server.write(self.on_request(line, await self._read(reader)))
            await server.drain()

    async def _carry_replies(self, reader: asyncio.StreamReader, line: Line) -> None:
        while True:
            line.client.write(self.on_reply(line, await self._read(reader)))
            await line.client.drain()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(_CHUNK)
        if not data:
            raise ConnectionError("this side has ended")
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._flows.wait()
        return data
