"""The way between workers and servers is cut, slow or half open, or loses replies to writes that took effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace as changed

from tests.polling import until

from . import grounds
from .grounds import Ground, Place
from .lost_replies import How, LostReplies
from .proxy import Proxy
from .scenarios import scenario
from .stage import staged
from .unharmed import spell, verdict_on_unharmed
from .verdict import Figures

PAUSE = 0.2  # seconds that each handler takes

_OPERATIONS_OF_A_SAGA = 20  # so that 510 sagas in flight come to 10,000 operations
_PATIENCE = 1_800.0  # seconds; a machine that does nothing else needs a third of that

_ONE_IN = 5  # of them loses its reply
_CUTS = 40  # one each half second
_SLOW = 20.0  # seconds for which the ways are slow
_DELAY = 0.1  # seconds that each piece takes then, in each direction
_HALF_OPEN = 10.0  # seconds for which nothing comes through


@dataclass(frozen=True)
class Ways:
    """The proxies in front of both servers, the place by way of them, and the same place past them."""

    place: Place
    direct: Place
    rabbitmq: Proxy
    mongodb: Proxy


@asynccontextmanager
async def ways(ground: Ground, mongodb: Proxy | None = None, *, timeout: float = 20.0) -> AsyncIterator[Ways]:
    """Proxies in front of both servers.

    Args:
        ground: with servers, MongoDB of one member.
        mongodb: the proxy for MongoDB, if an ordinary one will not do.
        timeout: the seconds that the store gives each call.
    """
    assert ground.rabbitmq is not None, "a ground with servers"
    place = ground.place()
    async with Proxy(ground.rabbitmq.port) as to_rabbitmq, mongodb or Proxy(mongodb_port(ground)) as to_mongodb:
        # Without a direct connection the driver asks for the set's members, and goes to them past the proxy.
        query = f"directConnection=true&timeoutMS={timeout * 1000:.0f}"
        store_url = urlsplit(place.store_url)._replace(netloc=f"127.0.0.1:{to_mongodb.port}", query=query)
        amqp_url = urlsplit(place.amqp_url)._replace(netloc=f"guest:guest@127.0.0.1:{to_rabbitmq.port}")
        through = changed(place, store_url=urlunsplit(store_url), amqp_url=urlunsplit(amqp_url))
        yield Ways(through, place, to_rabbitmq, to_mongodb)


def mongodb_port(ground: Ground) -> int:
    """The port of a ground's only MongoDB member."""
    assert ground.mongodb is not None, "a ground with servers"
    (member,) = ground.mongodb.members
    return member.port


@scenario("network-cuts", grounds.servers)
async def network_cuts(ground: Ground, sagas: int) -> Figures:
    """Twice a second all connections to RabbitMQ or to MongoDB are cut, by turns."""
    async with ways(ground) as through, staged(through.place, pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        cut = 0
        async with stage.crowd.kept_at(sagas), spell(stage) as lasting:
            for _, way in zip(range(_CUTS), cycle((through.rabbitmq, through.mongodb)), strict=False):
                cut += way.cut()
                await asyncio.sleep(0.5)
        stage.faults += _CUTS - 1
        return await verdict_on_unharmed(stage, f"{cut:,} connections cut", str(lasting))


@scenario("network-slow", grounds.servers)
async def network_slow(ground: Ground, sagas: int) -> Figures:
    """Each piece takes a tenth of a second on its way, in each direction."""
    async with ways(ground) as through, staged(through.place, pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            async with spell(stage) as lasting:
                through.rabbitmq.delay = through.mongodb.delay = _DELAY
                await asyncio.sleep(_SLOW)
            through.rabbitmq.delay = through.mongodb.delay = 0.0
        return await verdict_on_unharmed(stage, str(lasting))


@scenario("network-half-open", grounds.servers)
async def network_half_open(ground: Ground, sagas: int) -> Figures:
    """Nothing comes through to RabbitMQ, to MongoDB, to both; then what was held up does, given up long ago."""
    async with ways(ground, timeout=3.0) as through, staged(through.place, pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        words: list[str] = []
        async with stage.crowd.kept_at(sagas):
            for stalled in ((through.rabbitmq,), (through.mongodb,), (through.rabbitmq, through.mongodb)):
                await asyncio.sleep(5)
                async with spell(stage) as lasting:
                    for way in stalled:
                        way.stall()
                    await asyncio.sleep(_HALF_OPEN)
                    for way in stalled:
                        way.flow()
                words.append(str(lasting))
        return await verdict_on_unharmed(stage, *words)


@scenario("replies-lost", grounds.servers)
async def replies_lost(ground: Ground, sagas: int) -> Figures:
    """Of every five writes that took effect, one loses its reply with its connection."""
    return await _lost(ground, sagas, times=1, how="cut")


@scenario("replies-lost-twice", grounds.servers)
async def replies_lost_twice(ground: Ground, sagas: int) -> Figures:
    """Of every five writes that took effect, one loses its reply, and its repetition loses it too."""
    return await _lost(ground, sagas, times=2, how="cut")


@scenario("replies-never-come", grounds.servers)
async def replies_never_come(ground: Ground, sagas: int) -> Figures:
    """Of every five writes that took effect, one is never replied to, until the driver gives it up.

    A batch counts as what it changes: each reply that never comes takes three seconds.
    """
    return await _lost(ground, sagas, times=1, how="silence")


async def _lost(ground: Ground, sagas: int, *, times: int, how: How) -> Figures:
    thief = LostReplies(mongodb_port(ground), every=_ONE_IN, times=times, how=how)
    async with ways(ground, thief, timeout=3.0) as through, staged(through.place, pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            await until(
                lambda: (thief.changes if how == "silence" else thief.took_effect) >= _OPERATIONS_OF_A_SAGA * sagas,
                seconds=_PATIENCE,
            )
        stage.faults, thief.every = thief.lost, 0
        return await verdict_on_unharmed(
            stage,
            f"{thief.took_effect:,} writes took effect, with {thief.changes:,} changes",
            f"the replies to {thief.chosen:,} were lost",
            f"the driver sent {thief.sent_again:,} of these again",
            f"{thief.unsettled:,} were left to the engine",
        )
