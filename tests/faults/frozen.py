"""Servers that are frozen, or away for long: everybody waits, nobody for ever, and nobody makes a noise about it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tests.servers.process import Server

from . import grounds
from .grounds import Ground
from .network import PAUSE, ways
from .scenarios import scenario
from .stage import staged
from .unharmed import spell, verdict_on_unharmed
from .verdict import Figures

FROZEN = 40.0
"""Seconds for which servers are frozen."""

ATTEMPTS = 1.0
"""Attempts to reconnect that a process may make in a second of an outage."""

QUIET = 10.0
"""Seconds of an outage for which there may be one line in the log about each cause."""

_TROUBLE = re.compile(r"\S+ \S+ \d+ (?:WARNING|ERROR|CRITICAL) ([\w.]+: [^:]*)")  # as worker processes write it


@scenario("frozen-rabbitmq", grounds.servers)
async def frozen_rabbitmq(ground: Ground, sagas: int) -> Figures:
    """RabbitMQ is frozen for 40 seconds."""
    assert ground.rabbitmq is not None, "it is entered with servers"
    return await _frozen(ground, sagas, [ground.rabbitmq])


@scenario("frozen-mongodb", grounds.servers)
async def frozen_mongodb(ground: Ground, sagas: int) -> Figures:
    """MongoDB is frozen for 40 seconds."""
    assert ground.mongodb is not None, "it is entered with servers"
    return await _frozen(ground, sagas, ground.mongodb.members)


@scenario("frozen-both", grounds.servers)
async def frozen_both(ground: Ground, sagas: int) -> Figures:
    """Both are frozen for 40 seconds."""
    assert ground.rabbitmq is not None, "it is entered with servers"
    assert ground.mongodb is not None, "it is entered with servers"
    return await _frozen(ground, sagas, [ground.rabbitmq, *ground.mongodb.members])


async def _frozen(ground: Ground, sagas: int, servers: Sequence[Server]) -> Figures:
    async with staged(ground.place(), pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(3)
            async with spell(stage) as lasting:
                for server in servers:
                    server.pause()
                await asyncio.sleep(FROZEN)
                for server in servers:
                    server.resume()
            await asyncio.sleep(3)
        return await verdict_on_unharmed(stage, str(lasting))


async def outage(ground: Ground, sagas: int, *, minutes: int) -> Figures:
    """Both servers are away for some minutes: connections are refused, and one worker keeps asking for them."""
    async with ways(ground) as through, staged(through.direct, pause=PAUSE) as stage:
        worker = await stage.fleet.start(place=through.place)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(3)
        both = {"RabbitMQ": through.rabbitmq, "MongoDB": through.mongodb}
        before, read = {name: way.asked for name, way in both.items()}, len(worker.log.read_text())
        async with spell(stage):
            for way in both.values():
                way.refuse()
            await asyncio.sleep(60 * minutes)
        asked = {name: way.asked - before[name] for name, way in both.items()}
        causes = _causes(worker.log.read_text()[read:])
        for way in both.values():
            way.accept()
        most = max(causes.values(), default=0)
        figures = await verdict_on_unharmed(
            stage,
            f"in {minutes} minutes without servers "
            + ", ".join(f"{count:,} attempts to reach {name}" for name, count in asked.items()),
            f"{sum(causes.values()):,} lines of log about {len(causes)} causes, {most} about one at most",
            seconds=300.0,  # one worker for all
        )
        noise = [
            *(f"{count} attempts to reach {name}" for name, count in asked.items() if count > 60 * minutes * ATTEMPTS),
            *(f"{count} lines: {cause}" for cause, count in causes.items() if count > 60 * minutes / QUIET + 1),
        ]
        return replace(figures, violations=(*figures.violations, *noise))


for _minutes in (1, 10):
    scenario(f"outage-{_minutes}-min", grounds.servers)(partial(outage, minutes=_minutes))


def _causes(log: str) -> Counter[str]:
    """How many warnings there are of each cause, which is what each says before it goes into particulars."""
    return Counter(told[1] for line in log.splitlines() if (told := _TROUBLE.match(line)))
