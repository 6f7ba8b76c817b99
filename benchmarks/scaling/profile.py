"""Where the time of a worker goes under load, by cProfile: its share in each package, and in the costliest functions.

The profiler makes Python code dearer, and what is written in C not, so the shares are of use, and the times are not.
"""

from __future__ import annotations

import asyncio
import pstats
from collections import Counter
from pathlib import Path
from typing import Any, Final

from benchmarks.engine.workers import PROFILE
from benchmarks.scaling.loads import under_load, variant
from benchmarks.task import SEQUENCE, Task

_IN_FLIGHT: Final = 300
_FUNCTIONS: Final = 15
_IDLE: Final = "select.epoll"
_PACKAGES: Final = ("aio_pika", "aiormq", "pamqp", "pymongo", "bson", "msgspec", "asyncio", "benchmarks")

Function = tuple[str, int, str]
"""Its file, line and name, as pstats has it; what is written in C has no file."""


async def measure(task: Task) -> dict[str, float]:
    """Shares in percent of the time in which the worker was not idle."""
    file = Path(task.folder, "worker.prof")
    await under_load(variant(task, "profile", SEQUENCE, _IN_FLIGHT, **{PROFILE: str(file)}), SEQUENCE)
    return shares(times_of(file))


def times_of(file: Path) -> Counter[Function]:
    """Seconds in each function itself; those in C are their callers'."""
    stats: Any = pstats.Stats(str(file))
    times: Counter[Function] = Counter()
    for function, (_, _, own, _, callers) in stats.stats.items():
        if _IDLE in function[2]:
            continue
        if function[0] == "~" and callers:
            for caller, (_, _, share, _) in callers.items():
                times[caller] += share
        else:
            times[function] += own
    return times


def shares(times: Counter[Function]) -> dict[str, float]:
    """By package and by function, in percent of all, the greatest first."""
    whole = sum(times.values())
    packages: Counter[str] = Counter()
    for function, seconds in times.items():
        packages[package_of(function[0])] += seconds
    found = {f"in {package}, %": 100 * seconds / whole for package, seconds in packages.most_common()}
    for (file, line, name), seconds in times.most_common(_FUNCTIONS):
        found[f"in {Path(file).name}:{line} {name}, %"] = 100 * seconds / whole
    return found


def package_of(file: str) -> str:
    """The package that a file belongs to; of SagaFlow, which part of it."""
    parts = Path(file).parts
    if "sagaflow" in parts and "site-packages" not in parts:
        # The checkout itself may be called so too: the last one is the package.
        place = len(parts) - 1 - parts[::-1].index("sagaflow")
        return f"sagaflow.{parts[place + 1]}" if len(parts) > place + 2 else "sagaflow"
    return next((package for package in _PACKAGES if package in parts), "other")


if __name__ == "__main__":
    given = Task.given()
    given.answer(asyncio.run(measure(given)))
