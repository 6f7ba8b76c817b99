"""Measure SagaFlow beside bare scripts and other engines: the quick run, all of it, or those that are named."""

from __future__ import annotations

import argparse
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks import picture, report, runner
from benchmarks.contestant import BARE, Contestant
from benchmarks.roster import ROSTER
from benchmarks.runner import Plan

QUICK: Final = Plan()
FULL: Final = Plan(rounds=5, seconds=5.0, alone=200, finished=1_000_000, live=100_000)


def main() -> None:
    """Measure, print tables, and keep them with the figures and a picture of them."""
    # So that what was started ends with this process, whoever ends it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = _arguments()
    plan = FULL if given.full else QUICK
    changes = {name: value for name in ("rounds", "seconds", "finished", "live") if (value := getattr(given, name))}
    plan = replace(plan, **changes)
    chosen = _chosen(given.names, full=given.full)
    if (reason := runner.missing()) and any(one.servers for one in chosen):
        raise SystemExit(f"Servers cannot be started: {reason}. Name contestants that need none, or run 'make bench'.")
    began = time.monotonic()
    results = runner.run(chosen, plan)
    said = report.text(results, chosen, plan)
    print(f"\n{said}\nIt took {(time.monotonic() - began) / 60:.1f} minutes.")
    folder: Path = given.out
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.txt").write_text(said)
    (folder / "results.json").write_text(report.as_json(results, chosen, plan))
    drawn = picture.draw(results, chosen, folder / "results.svg")
    print(f"All of it: {folder}/results.txt, results.json{', results.svg' if drawn else ''}")
    if results.failures:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="who is measured; --list shows all")
    parser.add_argument("--list", action="store_true", help="show the contestants, and measure nothing")
    parser.add_argument(
        "--full", action="store_true", help="all contestants, five rounds, a million sagas in the store"
    )
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--seconds", type=float, help="how long each load lasts")
    parser.add_argument("--finished", type=int, help="finished sagas in the store of 'archive'")
    parser.add_argument("--live", type=int, help="live sagas in the store of 'archive'")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"), help="where the results are kept")
    given = parser.parse_args()
    if given.list:
        for contestant in ROSTER:
            print(f"{contestant.name:<24} {contestant.what}{' (full)' if contestant.full else ''}")
        raise SystemExit
    return given


def _chosen(names: list[str], *, full: bool) -> list[Contestant]:
    known = {contestant.name: contestant for contestant in ROSTER}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"Nobody is called {', '.join(unknown)}; there are {', '.join(known)}")
    if names:
        return [known[name] for name in names]
    if full:
        return list(ROSTER)
    # The bars are about the first workload of the bare scripts.
    return [
        replace(contestant, workloads=contestant.workloads[:1]) if contestant.kind == BARE else contestant
        for contestant in ROSTER
        if not contestant.full
    ]


if __name__ == "__main__":
    main()
