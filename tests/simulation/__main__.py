"""Makes many runs, each of a seed, and prints the stories of those that went wrong, and the figures."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from .run import Report, simulate

_SHARE = 200  # runs that a process makes in one go


def _some(seeds: range) -> tuple[int, int, float, list[Report]]:
    """How many runs there were, their faults, their seconds, and those in which a law was broken."""
    logging.disable(logging.CRITICAL)
    faults, seconds = 0, 0.0
    broken: list[Report] = []
    for seed in seeds:
        report = simulate(seed)
        faults += report.faults
        seconds += report.seconds
        if report.broken is not None:
            broken.append(report)
    return len(seeds), faults, seconds, broken


def _shares(first: int, runs: int) -> Iterator[range]:
    for start in range(first, first + runs, _SHARE):
        yield range(start, min(start + _SHARE, first + runs))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    runs, faults, seconds, bad = 0, 0, 0.0, 0
    began = time.monotonic()
    with ProcessPoolExecutor(arguments.processes) as pool:
        for made, some_faults, some_seconds, broken in pool.map(_some, _shares(arguments.first, arguments.runs)):
            runs, faults, seconds, bad = runs + made, faults + some_faults, seconds + some_seconds, bad + len(broken)
            for report in broken:
                sys.stdout.write(f"{report}\n\n")
                sys.stdout.flush()
    sys.stdout.write(
        f"{runs:,} runs from seed {arguments.first:,}: {faults / max(runs, 1):.1f} faults and "
        f"{seconds / max(runs, 1):.0f} s of virtual time in each, {bad} in which a law was broken, "
        f"{time.monotonic() - began:.0f} s\n"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
