"""A worker is killed at each point at which it touches the outside, and another one brings its sagas to their end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec

from . import grounds
from .arming import AFTER, Point
from .grounds import QUICK, Ground
from .kills import busy_one
from .scenarios import scenario
from .stage import staged
from .verdict import Figures


def both(*names: str, nth: int = 1) -> list[Point]:
    """The points before and after these calls."""
    return [Point(f"{moment}{name}", nth) for name in names for moment in ("", AFTER)]


def handler(step: str, *moments: str) -> list[Point]:
    """The points in a handler: from its call to its end, which is not recorded yet."""
    return [Point(f"{step}: {moment}") for moment in moments]


COMMITS = both(
    "commit: claim a step",
    "commit: end one, step, and claim",
    "commit: end in a group, step",
    "commit: end the last of a group, step, and claim",
    "commit: complete the saga",
    "commit: turn back",
    "commit: end in a group, undo",
    "commit: end the last of a group, undo, and claim",
    "commit: end the compensation",
)

_ALL = ("called", "begun", "before its effect", "after its effect", "ended")

HANDLERS = [
    *handler("first", *_ALL),
    *handler("left", *_ALL),
    *handler("last", *_ALL),
    *handler("refused", "called", "begun"),
    *handler("left/undo", *_ALL),
    *handler("first/undo", *_ALL),
]

READS = [*both("open", "graphs", "orphans", "due", "load", "expire", "claimed_by"), *both("load", nth=5)]

HEARTS = [*both("first beat"), *both("beat", nth=2)]

MESSAGES = both("subscribe", "receive", "publish", "ack")

UNHEARD = both("defer")
"""Reached where no hint comes, and a sweeper finds what is due."""

BY_HEIRS = both("declare_dead", "commit: take over")
"""Reached by who judges and inherits a worker that was killed before."""

BY_LEAVERS = both("leave")
"""Reached by who ends in good order."""

POINTS = [*COMMITS, *HANDLERS, *READS, *HEARTS, *MESSAGES, *UNHEARD, *BY_HEIRS, *BY_LEAVERS]

_SAGAS = 9  # for each point, three of each shape
_AT_ONCE = 4  # points under way: most of the time of each is waiting for a death to be judged
_REACHED = 30.0  # seconds until a point must have been reached

_PAUSE = 0.2  # seconds that a handler takes: longer than a commit, so that neighbours in a group end apart

_ROOM = {**QUICK, "concurrency": 20}
_TIGHT = {**QUICK, "concurrency": 2}  # there is always more to do than can be claimed, so that hints are sent

_STARTER = {"death_after": 3600.0}  # who starts the sagas judges nobody: the workers must do without


@scenario("crash-points", grounds.sqlite, grounds.servers)
async def crash_points(ground: Ground, sagas: int) -> Figures:
    """SIGKILL at every point, each on a place of its own, with at least so many sagas in all."""
    gate = asyncio.Semaphore(_AT_ONCE)
    each = max(_SAGAS, -(-sagas // len(POINTS)))

    async def play(point: Point) -> Figures:
        async with gate:
            return await _crash(ground, point, each)

    figures = await asyncio.gather(*map(play, POINTS))
    return replace(sum(figures, Figures()), words=(f"{len(POINTS)} points",))


async def _crash(ground: Ground, point: Point, sagas: int) -> Figures:
    async with staged(
        ground.place(),
        pause=_PAUSE,
        settings=_TIGHT if point in MESSAGES else _ROOM,
        starter=_STARTER,
        hints=point not in UNHEARD,
    ) as stage:
        await stage.crowd.start(sagas)
        if point in BY_HEIRS:
            former = await stage.fleet.start()
            await (await busy_one(stage.ledger, [former])).kill()
        doomed = await stage.fleet.launch(
            wiring="tests.faults.arming:arm", argument=msgspec.json.encode(point).decode()
        )
        if point in BY_LEAVERS:
            await busy_one(stage.ledger, [doomed])
            doomed.terminate()
        is_reached = await doomed.died(seconds=_REACHED)
        stage.faults += 1
        await stage.fleet.start()
        figures = await stage.verdict(seconds=60)
    told = tuple(f"{point.name}: {violation}" for violation in figures.violations)
    unreached = () if is_reached else (f"{point.name}: the point was not reached\n{doomed.log_end()}",)
    return replace(figures, violations=told + unreached)
