"""What it takes to import the package: time, memory, and whether drivers come with it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Final

from benchmarks.task import Task

_TIMES: Final = 15
_DRIVERS: Final = ("aio_pika", "aiormq", "bson", "motor", "pymongo", "sqlite3")

# In an interpreter of its own, which says how long it took, and what is there afterwards. What the interpreter itself
# has imported before is not the package's.
_PROGRAM: Final = """
import json, resource, sys, time
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
import sagaflow
took = time.perf_counter() - began
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([took, memory, sum(name in sys.modules for name in sys.argv[1:])]))
"""


def measure() -> dict[str, float]:
    """Medians of several imports; the first, which may compile, is left out."""
    # What is installed has been compiled, whatever the caller wants to be kept of a checkout.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs: list[tuple[float, float, float]] = []
    for _ in range(_TIMES + 1):
        command = [sys.executable, "-c", _PROGRAM, *_DRIVERS]
        done = subprocess.run(command, capture_output=True, check=True, env=environment)
        runs.append(json.loads(done.stdout))
    seconds, kibibytes, drivers = zip(*runs[1:], strict=True)
    return {
        "import ms": 1_000 * statistics.median(seconds),
        "import MB": statistics.median(kibibytes) * 1_024 / 1_000_000,
        "drivers imported": max(drivers),
    }


if __name__ == "__main__":
    Task.given().answer(measure())
