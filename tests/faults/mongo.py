"""MongoDB loses its primary: killed, stepped down, or away for as long as there is no majority."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from tests.servers import MongoReplicaSet, RabbitMQNode
from tests.servers.mongodb import MongoMember

from .fleet import Worker
from .grounds import Ground
from .kills import busy_one
from .ledger import Ledger
from .scenarios import scenario
from .stage import Stage, staged
from .verdict import Figures

GOES_ON = 2.0
"""Seconds after a new primary's election in which every worker must begin handlers again."""

OUTAGE = 30.0
"""Seconds without a primary: longer than any call to the store lasts."""

TURNS = 3
"""How often a play repeats its fault, where one takes some seconds."""

_CALM = 4.0  # seconds of undisturbed work before each fault, and after each election
_PAUSE = 0.5  # seconds that a handler takes
_DOWN = 5  # seconds for which a member that stepped down does not stand for election; less than between two faults


@asynccontextmanager
async def replicas(folder: Path) -> AsyncIterator[Ground]:
    """One RabbitMQ node and a MongoDB replica set of three members, private to the scenario."""
    with ExitStack() as stack:
        rabbitmq, mongodb = await asyncio.gather(
            asyncio.to_thread(stack.enter_context, RabbitMQNode()),
            asyncio.to_thread(stack.enter_context, MongoReplicaSet(3)),
        )
        yield Ground("replicas", folder, rabbitmq, mongodb)


@dataclass(frozen=True)
class Election:
    """A loss of the primary; times are seconds since the epoch."""

    lost: float
    won: float

    @property
    def gap(self) -> float:
        """Seconds without a primary."""
        return self.won - self.lost


@scenario("mongo-kill", replicas)
async def mongo_kill(ground: Ground, sagas: int) -> Figures:
    """The primary is killed, and started again when another one has been elected: three times."""
    return await _deposed(ground, sagas, MongoMember.kill, MongoMember.start)


@scenario("mongo-step-down", replicas)
async def mongo_step_down(ground: Ground, sagas: int) -> Figures:
    """The primary is told to step down, as for an upgrade of the servers: three times."""
    return await _deposed(ground, sagas, _step_down, lambda _: None)


async def _deposed(
    ground: Ground,
    sagas: int,
    depose: Callable[[MongoMember], object],
    bring_back: Callable[[MongoMember], object],
) -> Figures:
    """Three times the primary is one no longer, and comes back after another has been elected."""
    mongodb = _set_of(ground)
    async with staged(ground.place(), pause=_PAUSE) as stage:
        workers = await _at_work(stage, sagas)
        elections: list[Election] = []
        async with stage.crowd.kept_at(sagas):
            for _ in range(TURNS):
                await asyncio.sleep(_CALM)
                primary = await asyncio.to_thread(mongodb.primary)
                lost = time.time()
                await asyncio.to_thread(depose, primary)
                elections.append(await _elected(mongodb, lost))
                await asyncio.sleep(_CALM)
                await asyncio.to_thread(bring_back, primary)
        return await _judged(stage, workers, elections)


@scenario("mongo-no-primary", replicas)
async def mongo_no_primary(ground: Ground, sagas: int) -> Figures:
    """Two of three members, the primary one of them, are killed and started again after half a minute."""
    mongodb = _set_of(ground)
    async with staged(ground.place(), pause=_PAUSE) as stage:
        workers = await _at_work(stage, sagas)
        async with stage.crowd.kept_at(sagas):
            await asyncio.sleep(_CALM)
            primary = await asyncio.to_thread(mongodb.primary)
            other = next(member for member in mongodb.members if member is not primary)
            lost = time.time()
            for member in (primary, other):
                await asyncio.to_thread(member.kill)
            await asyncio.sleep(OUTAGE)
            _ = await asyncio.gather(*(asyncio.to_thread(member.start) for member in (primary, other)))
            election = await _elected(mongodb, lost)
            await asyncio.sleep(_CALM)
        return await _judged(stage, workers, [election])


def _set_of(ground: Ground) -> MongoReplicaSet:
    assert ground.mongodb is not None, "these scenarios are for grounds that have one"
    return ground.mongodb


async def _at_work(stage: Stage, sagas: int) -> list[Worker]:
    """Three workers that are in the middle of sagas."""
    workers = await stage.fleet.crew(3)
    await stage.crowd.start(sagas)
    _ = await busy_one(stage.ledger, workers)
    return workers


def _step_down(primary: MongoMember) -> None:
    with primary.client() as client, suppress(AutoReconnect):  # it closes all connections, this one too
        client.admin.command("replSetStepDown", _DOWN, secondaryCatchUpPeriodSecs=_DOWN - 1)


async def _elected(mongodb: MongoReplicaSet, lost: float) -> Election:
    """When there is a primary, which is not the one that was lost then."""
    return Election(lost, await asyncio.to_thread(_await_primary, mongodb.members))


def _await_primary(members: Sequence[MongoMember], seconds: float = 60.0) -> float:
    end = time.monotonic() + seconds
    clients: dict[MongoMember, MongoClient[dict[str, Any]]] = {member: member.client() for member in members}
    try:
        while time.monotonic() < end:
            for member, client in clients.items():
                if member.is_running and _is_primary(client):
                    return time.time()
            time.sleep(0.02)  # in a thread, beside the event loop; the figure is as exact as this
    finally:
        for client in clients.values():
            client.close()
    raise TimeoutError("no member became the primary")


def _is_primary(client: MongoClient[dict[str, Any]]) -> bool:
    try:
        return bool(client.admin.command("hello")["isWritablePrimary"])
    except PyMongoError:
        return False


async def _judged(stage: Stage, workers: Sequence[Worker], elections: Sequence[Election]) -> Figures:
    """The verdict, and how long after each election every worker went on."""
    stage.faults += len(elections)
    figures = await stage.verdict(seconds=180)
    gaps = ", ".join(f"{election.gap:.2f}" for election in elections)
    waits = [max(_wait_of(stage.ledger, worker.pid, election.won) for worker in workers) for election in elections]
    shown = ", ".join(f"{wait:.2f}" for wait in waits)
    usual = max(_usual_wait(stage.ledger, worker.pid, election.lost) for worker in workers for election in elections)
    words = (
        f"without a primary for {gaps} s, every worker began handlers {shown} s later at most "
        f"(undisturbed: {usual:.2f} s after each other at most)"
    )
    late = (f"a worker went on {max(waits):.2f} s after the election, not {GOES_ON} s",) if max(waits) > GOES_ON else ()
    return replace(figures, words=(*figures.words, words), violations=figures.violations + late)


def _wait_of(ledger: Ledger, pid: int, since: float) -> float:
    """Seconds from then until this process began another handler; without an end if it never did."""
    begun = [attempt.began for attempt in ledger.attempts() if attempt.pid == pid and attempt.began >= since]
    return min(begun, default=float("inf")) - since


def _usual_wait(ledger: Ledger, pid: int, until: float) -> float:
    """The longest pause between two handlers that this process began, in the calm before then."""
    calm = (attempt.began for attempt in ledger.attempts() if attempt.pid == pid)
    begun = sorted(began for began in calm if until - _CALM <= began < until)
    return max((later - earlier for earlier, later in pairwise(begun)), default=_CALM)
