"""A worker that is started anew when its code changes: for development."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from .exits import Exit

_PAUSE: Final = 0.5  # seconds between two looks
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})

Times = dict[str, int]
"""When each file was changed last."""


async def work_and_reload(console: Console) -> Exit:
    """Run this command without ``--reload`` in a process of its own, again and again, until it is told to end."""
    arguments = [one for one in sys.argv[1:] if one != "--reload"]
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    try:
        while not asked.is_set():
            times = snapshot(Path.cwd())
            # A session of its own: Ctrl-C in the terminal is for this process, which tells the worker once.
            worker = await create_subprocess_exec(
                sys.executable, "-m", "sagaflow", *arguments, start_new_session=True, env={**os.environ}
            )
            changed = await _until_changed(times, worker, asked, console)
            await _end(worker)
            if changed:
                console.print(f"{', '.join(changed)} changed: starting anew", style="dim")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return Exit.OK


def snapshot(folder: Path) -> Times:
    """When the Python files below a folder were changed."""
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in _files(folder)}


def changes(before: Times, after: Times) -> list[str]:
    """The files that are not as they were."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


async def _until_changed(times: Times, worker: Process, asked: asyncio.Event, console: Console) -> list[str]:
    """The files that have changed; none if the end was asked for."""
    told = False
    while not asked.is_set():
        if worker.returncode is not None and not told:
            told = True
            console.print(f"the worker ended with {worker.returncode}; it is started when a file changes", style="red")
        try:
            await asyncio.wait_for(asked.wait(), _PAUSE)
        except TimeoutError:
            if found := changes(times, await asyncio.to_thread(snapshot, Path.cwd())):
                return found
    return []


async def _end(worker: Process) -> None:
    if worker.returncode is None:
        worker.terminate()
    await worker.wait()


def _files(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if not one.startswith(".") and one not in _SKIPPED]
        for name in files:
            file = Path(path, name)
            if name.endswith(".py") and file.exists():
                yield file
