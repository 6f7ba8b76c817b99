"""Worker processes, and what can be done to them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec.structs import replace

from .worker import READY, Orders

ROOT = Path(__file__).parents[2]

_START_TIMEOUT = 60.0  # seconds until a worker works; the machine may be busy


class WorkerFailed(RuntimeError):
    """A worker did not begin to work, or ended as it should not; the end of its log follows."""


@dataclass
class Worker:
    """One worker process. It is in good health until something is done to it."""

    process: Process
    log: Path
    fleet: Fleet

    @property
    def pid(self) -> int:
        """Of the process, also when it has ended."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether the process has not ended, be it frozen."""
        return self.process.returncode is None

    async def kill(self) -> None:
        """End it by SIGKILL; nothing happens to one that has ended."""
        if self.runs:
            self.fleet.hit(self.pid)
            self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """Freeze it by SIGSTOP, though not while it keeps the ledger from the others: that fault would be ours."""
        ledger = self.fleet.ledger
        while True:
            self.process.send_signal(signal.SIGSTOP)
            if await asyncio.to_thread(ledger.is_free):
                break
            self.cont()
            await asyncio.sleep(0.01)
        self.fleet.hit(self.pid)

    def cont(self) -> None:
        """Let it go on by SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Tell it to end in good order, by SIGTERM."""
        self.process.terminate()

    async def wait(self, *, seconds: float = 60.0) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutError: it did not end in time.
        """
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def died(self, *, seconds: float) -> bool:
        """Whether it ends by SIGKILL in time, as by its own hand."""
        try:
            code = await self.wait(seconds=seconds)
        except TimeoutError:
            return False
        self.fleet.hit(self.pid)
        return code == -signal.SIGKILL

    def log_end(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Fleet:
    """The worker processes of one scenario; none is left when it is closed.

    ``hits`` are the times, in seconds since the epoch, at which each process was killed or frozen.
    """

    orders: Orders
    workers: list[Worker] = field(default_factory=list["Worker"])
    hits: dict[int, list[float]] = field(default_factory=dict[int, list[float]])

    def __post_init__(self) -> None:
        self.ledger = self.orders.place.open_ledger()
        self._numbers = count(1)
        self._reserve: list[Worker] = []

    async def start(self, **changes: object) -> Worker:
        """One more worker, once it works; ``changes`` are fields of its orders.

        Raises:
            WorkerFailed: it did not begin to work.
        """
        worker = await self.launch(**changes)
        assert worker.process.stdout is not None, "it was asked for"
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                said = await worker.process.stdout.readline()
        except TimeoutError:
            said = b""
        if said != READY:
            raise WorkerFailed(f"worker {worker.pid} did not begin to work\n{worker.log_end()}")
        return worker

    async def crew(self, count: int) -> list[Worker]:
        """So many more workers, once all of them work."""
        return list(await asyncio.gather(*(self.start() for _ in range(count))))

    async def launch(self, **changes: object) -> Worker:
        """One more worker, that need not live long enough to work."""
        orders = replace(self.orders, **changes)
        ready = self._reserve and orders.library == self.orders.library
        worker = self._reserve.pop(0) if ready else await self._spawn(orders.library)
        self.workers.append(worker)
        assert worker.process.stdin is not None, "it was asked for"
        worker.process.stdin.write(msgspec.json.encode(orders) + b"\n")
        worker.process.stdin.close()
        return worker

    async def reserve(self, count: int) -> None:
        """Have so many more processes wait for orders: they have imported everything by the time they are needed."""
        self._reserve += [await self._spawn(self.orders.library) for _ in range(count)]

    async def _spawn(self, library: str) -> Worker:
        log = Path(self.orders.place.ledger).with_name(f"{self.orders.place.prefix}-worker-{next(self._numbers)}.log")
        with log.open("ab") as stderr:
            process = await create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.worker"),
                cwd=library or ROOT,  # which is where modules are looked for first
                env={**os.environ, "PYTHONPATH": f"{library}{os.pathsep}{ROOT}" if library else str(ROOT)},
                stdin=PIPE,
                stdout=PIPE,
                stderr=stderr,
            )
        return Worker(process, log, self)

    def running(self) -> list[Worker]:
        """Those that have not ended."""
        return [worker for worker in self.workers if worker.runs]

    def hit(self, pid: int) -> None:
        """Note that a process is harmed now."""
        self.hits.setdefault(pid, []).append(time.time())

    def unasked_ends(self) -> list[Worker]:
        """Workers that ended with an error though nobody had harmed them."""
        return [worker for worker in self.workers if worker.process.returncode and worker.pid not in self.hits]

    async def close(self) -> None:
        """End all that still run: in good order if they can, by SIGKILL otherwise."""
        running = self.running()
        for worker in running:
            worker.cont()
            worker.terminate()
        for worker in running:
            try:
                await worker.wait(seconds=40)
            except TimeoutError:
                await worker.kill()
        for worker in self._reserve:
            await worker.kill()
        self.ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
