"""Worker processes, and what a starter sees of them: their pids, and how many handlers they called."""

from __future__ import annotations

import asyncio
import cProfile
import json
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from benchmarks.engine.making import make
from benchmarks.task import Task

PROFILE: Final = "profile"
"""The option that names the file for a profile of the worker."""

_READY: Final = b"ready\n"
_SECONDS: Final = 30.0


class Workers:
    """Some processes that work on the sagas of one task."""

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self.pids: list[int] = [process.pid for process in processes]

    async def end(self) -> list[int]:
        """Tell them to end, by SIGTERM; how many handlers each has called.

        Raises:
            AssertionError: one has died, or ended with an error.
        """
        calls: list[int] = []
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.terminate()
        for process in self._processes:
            said, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
            if process.returncode != 0:
                raise AssertionError(f"worker {process.pid} ended with code {process.returncode}")
            calls.append(json.loads(said))
        return calls


@asynccontextmanager
async def working(task: Task, queues: Sequence[str | None]) -> AsyncIterator[Workers]:
    """Worker processes, one for each of ``queues`` (None: all queues), from when all are ready until the block ends."""
    started: list[Process] = []
    try:
        for queue in queues:
            its = replace(task, options={**task.options, **({"queue": queue} if queue else {})})
            command = (sys.executable, "-m", "benchmarks.engine.workers", its.to_json())
            started.append(await create_subprocess_exec(*command, stdout=PIPE))
        for process in started:
            assert process.stdout is not None, "it is a pipe"
            said = await asyncio.wait_for(process.stdout.readline(), _SECONDS)
            assert said == _READY, f"worker {process.pid} did not start"
        yield Workers(started)
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def work(task: Task) -> None:
    """Be a worker until SIGTERM comes."""
    made = make(task, queues=[task.options["queue"]] if "queue" in task.options else None)
    profiler = cProfile.Profile() if PROFILE in task.options else None
    async with made.engine as engine:
        print(_READY.decode(), end="", flush=True)
        if profiler:
            profiler.enable()
        await engine.run()
        if profiler:
            profiler.disable()
            profiler.dump_stats(task.options[PROFILE])
    print(json.dumps(made.calls.count), flush=True)


if __name__ == "__main__":
    asyncio.run(work(Task.given()))
