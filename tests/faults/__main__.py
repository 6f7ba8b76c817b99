"""Plays scenarios and prints one line of figures for each play; exit code 1 if anything was violated."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from .scenarios import Scenario, load

SAGAS = 510  # in flight


async def play(chosen: list[Scenario], *, times: int, size: int, only: str) -> bool:
    """Play each of these so many times; whether nothing was violated."""
    is_right = True
    for scenario in chosen:
        for lay in scenario.grounds:
            for _ in range(times if only in ("", lay.__name__) else 0):
                name, figures = await scenario.run(lay, size)
                sys.stdout.write(f"{scenario.name} on {name}: {figures}\n")
                sys.stdout.flush()
                is_right = is_right and not figures.violations
    return is_right


def main() -> int:
    """The command."""
    known = load()
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=f"some of {', '.join(known)}; without any, they are listed")
    parser.add_argument("--times", type=int, default=1, help="how often each is played on each of its grounds")
    parser.add_argument("--sagas", type=int, default=SAGAS, help="how many are in flight (default: %(default)s)")
    parser.add_argument("--on", default="", help="only on this ground: sqlite, servers, …")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenario) - set(known):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; write some of {', '.join(known)}")
    if not arguments.scenario:
        sys.stdout.write("".join(f"{name}\n" for name in known))
        return 0
    chosen = [known[name] for name in arguments.scenario]
    for one in chosen:
        places = [lay.__name__ for lay in one.grounds]
        if arguments.on and arguments.on not in places:
            parser.error(f"{one.name} is not played on {arguments.on}; write --on {' or '.join(places)}")
    logging.basicConfig(level=logging.ERROR)
    return 0 if asyncio.run(play(chosen, times=arguments.times, size=arguments.sagas, only=arguments.on)) else 1


if __name__ == "__main__":
    sys.exit(main())
