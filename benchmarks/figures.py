"""From what was seen to figures and their names: quantiles, CPU time, memory. Needs the standard library alone."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

RATE: Final = "sagas/s"
CPU: Final = "CPU ms"
"""Of all Python processes of the contestant, for each saga."""
WORKER_CPU: Final = "worker CPU ms"
"""Of the workers alone, where it is a process of its own."""
MEMORY: Final = "peak MB"
"""The most that one process had resident; of a worker with children, the sum."""
WORKER_MEMORY: Final = "worker peak MB"
"""That of the worker alone, where it is a process of its own."""
P50: Final = "p50 ms"
P95: Final = "p95 ms"
P99: Final = "p99 ms"
LOADED: Final = "loaded "
"""Before the name of a quantile: under load, not alone."""

WORKER: Final = "worker"
"""What the role of a worker's process begins with."""

_TICK: Final = os.sysconf("SC_CLK_TCK")


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed; not a number if there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def quantiles(seconds: Sequence[float], prefix: str = "") -> dict[str, float]:
    """p50, p95 and p99 in milliseconds, by name; nothing if there are no values."""
    if not seconds:
        return {}
    return {prefix + name: 1_000 * quantile(seconds, share) for name, share in ((P50, 0.5), (P95, 0.95), (P99, 0.99))}


class Meter:
    """The CPU time of some processes from one moment to another, by their roles, and their memory.

    Processes that one of them has started count with it, unless they have roles of their own.

    Example:
        >>> meter = Meter({"starter": os.getpid()})
        >>> meter.start()
        >>> list(meter.stop())
        ['starter']
    """

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before: dict[str, float] = {}

    def start(self) -> None:
        """Begin to count."""
        self._before = self._cpu()

    def stop(self) -> dict[str, float]:
        """Seconds of CPU time since ``start``, in user and system mode, by role."""
        return {role: seconds - self._before[role] for role, seconds in self._cpu().items()}

    def memory(self) -> dict[str, float]:
        """The peak of the process that had the largest, in MB; and that of the largest worker, if there is one."""
        peaks = {role: sum(map(_peak_of, self._family(pid))) for role, pid in self._pids.items()}
        workers = [peak for role, peak in peaks.items() if role.startswith(WORKER)]
        return {MEMORY: max(peaks.values()), **({WORKER_MEMORY: max(workers)} if workers else {})}

    def _cpu(self) -> dict[str, float]:
        return {role: sum(map(_cpu_of, self._family(pid))) for role, pid in self._pids.items()}

    def _family(self, pid: int) -> list[int]:
        others = set(self._pids.values()) - {pid}
        found, unseen = [pid], [pid]
        while unseen:
            for children in Path(f"/proc/{unseen.pop()}/task").glob("*/children"):
                below = [child for child in map(int, _read(children).split()) if child not in others]
                found += below
                unseen += below
        return found


def loaded(sagas: int, seconds: float, cpu: dict[str, float], waits: Sequence[float]) -> dict[str, float]:
    """The figures of a load: so many sagas in so many seconds, with the CPU time by role and the latencies.

    Raises:
        ValueError: no saga was done.
    """
    if not sagas:
        raise ValueError("not one saga was done under load")
    figures = {RATE: sagas / seconds, CPU: 1_000 * sum(cpu.values()) / sagas, **quantiles(waits, LOADED)}
    workers = [seconds for role, seconds in cpu.items() if role.startswith(WORKER)]
    if workers:
        figures[WORKER_CPU] = 1_000 * sum(workers) / sagas
    return figures


def _cpu_of(pid: int) -> float:
    # The name of the program, in parentheses, may have spaces.
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0


def _peak_of(pid: int) -> float:
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1_024 / 1_000_000
    return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended
