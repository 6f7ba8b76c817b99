"""RabbitMQ is killed, purged, wiped, short of memory, or loses a node of its cluster, while workers work."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from msgspec.structs import replace as changed

from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.core.state import Direction
from sagaflow.ports import Lane
from tests.e2e.stacks import topology
from tests.polling import until
from tests.servers import MongoReplicaSet, RabbitMQNode

from . import grounds
from .grounds import Ground, Place
from .scenarios import scenario
from .stage import staged
from .unharmed import spell, verdict_on_unharmed
from .verdict import Figures

PAUSE = 0.2  # seconds that each handler takes
ALARM = 20.0  # seconds for which RabbitMQ is short of memory

STEPS = Lane("default", Direction.FORWARD)
LANES = (STEPS, Lane("default", Direction.UNDO))


@dataclass(frozen=True)
class ClusterGround(Ground):
    """A ground whose RabbitMQ is a cluster of several nodes."""

    nodes: tuple[RabbitMQNode, ...] = field(default=())

    def place(self) -> Place:
        """See ``Ground``."""
        return changed(super().place(), amqp_url=" ".join(node.url for node in self.nodes))


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Ground]:
    """Three RabbitMQ nodes in one cluster, and a MongoDB replica set of one member."""
    cookie = secrets.token_hex(16)
    nodes = tuple(RabbitMQNode(cookie=cookie) for _ in range(3))
    with ExitStack() as stack:
        mongodb = await asyncio.to_thread(stack.enter_context, MongoReplicaSet())
        for node in nodes:
            await asyncio.to_thread(stack.enter_context, node)
        for node in nodes[1:]:
            for command in (["stop_app"], ["join_cluster", nodes[0].node_name], ["start_app"]):
                await asyncio.to_thread(node.ctl, *command)
            await asyncio.to_thread(node.wait_until_ready)
        yield ClusterGround("cluster", folder, nodes[0], mongodb, nodes)


@scenario("broker-kill", grounds.servers)
async def broker_kill(ground: Ground, sagas: int) -> Figures:
    """RabbitMQ is killed and started again, three times."""
    node = _node(ground)
    async with staged(ground.place(), pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(2)
            async with spell(stage) as lasting:
                for _ in range(3):
                    await asyncio.to_thread(node.kill)
                    await asyncio.sleep(2)
                    await asyncio.to_thread(node.start)
                    await asyncio.sleep(2)
            stage.faults += 2
        return await verdict_on_unharmed(stage, str(lasting))


@scenario("broker-purge", grounds.servers)
async def broker_purge(ground: Ground, sagas: int) -> Figures:
    """The queues are purged: once with a hint in them of every saga, before there is any worker, and then at work."""
    place = ground.place()
    async with staged(place, pause=PAUSE) as stage, _operating(place) as operator:
        await stage.crowd.start(sagas)
        first = await operator.purge(STEPS)
        purged = first
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas), spell(stage) as lasting:
            for _ in range(50):
                purged += sum([await operator.purge(lane) for lane in LANES])
                await asyncio.sleep(0.2)
        stage.faults += 50
        figures = await verdict_on_unharmed(stage, f"{purged:,} hints purged", str(lasting))
    return _only_if(figures, first >= sagas, f"the first purge met {first} hints, and not one of each saga")


@scenario("broker-wiped", grounds.servers)
async def broker_wiped(ground: Ground, sagas: int) -> Figures:
    """RabbitMQ is killed, loses its disk, and begins anew with nothing, twice."""
    node = _node(ground)
    async with staged(ground.place(), pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(2)
            async with spell(stage) as lasting:
                for _ in range(2):
                    await asyncio.to_thread(node.kill)
                    await asyncio.to_thread(shutil.rmtree, node.directory / "mnesia")
                    await asyncio.to_thread(node.start)
                    await asyncio.sleep(5)
            stage.faults += 1
        return await verdict_on_unharmed(stage, str(lasting))


@scenario("broker-alarm", grounds.servers)
async def broker_alarm(ground: Ground, sagas: int) -> Figures:
    """RabbitMQ is short of memory for twenty seconds, and blocks whoever publishes."""
    node = _node(ground)
    async with staged(ground.place(), pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(2)
            await asyncio.to_thread(node.ctl, "set_vm_memory_high_watermark", "0.0001")
            async with spell(stage) as lasting:
                await until(lambda: "blocked" in stage.crowd.engine.health.broker)
                await asyncio.sleep(ALARM)
                is_blocked = "blocked" in stage.crowd.engine.health.broker
                await asyncio.to_thread(node.ctl, "set_vm_memory_high_watermark", "0.4")
            await until(lambda: stage.crowd.engine.health.broker == "ok")
            await asyncio.sleep(2)
        figures = await verdict_on_unharmed(stage, str(lasting))
    return _only_if(figures, is_blocked, "RabbitMQ did not block us for so long")


@scenario("broker-cluster", cluster)
async def broker_cluster(ground: Ground, sagas: int) -> Figures:
    """A cluster with quorum queues loses one node after another, the one that all are connected to first."""
    assert isinstance(ground, ClusterGround), "the ground that this is entered with"
    async with staged(ground.place(), pause=PAUSE) as stage:
        await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(2)
            async with spell(stage) as lasting:
                for node in ground.nodes:
                    await asyncio.to_thread(node.kill)
                    await asyncio.sleep(5)
                    await asyncio.to_thread(node.start)
                    await asyncio.sleep(5)
            stage.faults += len(ground.nodes) - 1
        return await verdict_on_unharmed(stage, str(lasting))


def _node(ground: Ground) -> RabbitMQNode:
    assert ground.rabbitmq is not None, "the ground that these are entered with has one"
    return ground.rabbitmq


def _only_if(figures: Figures, was_met: bool, otherwise: str) -> Figures:
    """The figures, if the fault was what it should be: one that was not made proves nothing."""
    return figures if was_met else replace(figures, violations=(*figures.violations, otherwise))


@asynccontextmanager
async def _operating(place: Place) -> AsyncIterator[RabbitBroker]:
    broker = RabbitBroker(place.amqp_url, topology=topology(place.prefix))
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()
