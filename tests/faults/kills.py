"""Workers are killed and frozen while they work."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from sagaflow.ports import Store
from tests.polling import until

from . import grounds
from .fleet import Fleet, Worker
from .grounds import QUICK, Ground
from .ledger import Attempt, Ledger
from .scenarios import scenario
from .stage import staged
from .verdict import Figures

RECOVERY = 8.0
"""Seconds in which what a killed worker had in hand must go on, with default settings."""

HAND_OVER = 3.0
"""Seconds that a hand-over in good order may take: less than any death takes to be judged."""

ROOMY = {"concurrency": 2_000}
"""Whoever is left can do all branches of all sagas at once: what is measured is no waiting for a free slot."""

SETTLED = 3.0
"""Seconds after which the first handlers run everywhere."""

HASTY = {**QUICK, "concurrency": 30}
"""For workers that live for three seconds: the less each has in hand, the more of it they finish."""

JUDGED = 60.0
"""Seconds in which a frozen worker must be judged, on however busy a machine."""

RESERVE = 6
"""Processes that are ready to take the place of one that was killed: they live too briefly to begin from nothing."""

Living = Callable[[], Awaitable[frozenset[str]]]
"""Tells which workers are held to be alive."""


async def busy_one(ledger: Ledger, workers: Sequence[Worker]) -> Worker:
    """A worker that is in the middle of handlers which began after this was asked, once there is one."""
    asked = time.time()
    busy = await until(lambda: [worker for worker in workers if ledger.running(worker.pid, since=asked)])
    return busy[0]


@scenario("kill-one", grounds.sqlite, grounds.servers)
async def kill_one(ground: Ground, sagas: int) -> Figures:
    """One of three workers is killed in mid-work, and nobody takes its place."""
    async with staged(ground.place(), pause=0.1, settings=QUICK) as stage:
        workers = await stage.fleet.crew(3)
        await stage.crowd.start(sagas)
        victim = await busy_one(stage.ledger, workers)
        await victim.kill()
        stage.faults += 1
        return await stage.verdict()


@scenario("kill-every-second", grounds.sqlite, grounds.servers)
async def kill_every_second(ground: Ground, sagas: int) -> Figures:
    """For a minute, one of three workers is killed every second and another one started in its place."""
    async with staged(ground.place(), pause=0.1, settings=HASTY) as stage:
        workers = await stage.fleet.crew(3)
        await stage.fleet.reserve(RESERVE)
        async with stage.crowd.kept_at(sagas), asyncio.TaskGroup() as starts:
            for second in range(60):
                await workers[second % 3].kill()
                stage.faults += 1
                _ = starts.create_task(_replace(stage.fleet, workers, second % 3))
                await asyncio.sleep(1)
        return await stage.verdict()


async def _replace(fleet: Fleet, workers: list[Worker], place: int) -> None:
    workers[place] = await fleet.launch()
    await fleet.reserve(1)


@scenario("kill-all", grounds.sqlite, grounds.servers)
async def kill_all(ground: Ground, sagas: int) -> Figures:
    """All three workers are killed at once, and three new ones started."""
    async with staged(ground.place(), pause=0.2) as stage:
        workers = await stage.fleet.crew(3)
        await stage.crowd.start(sagas)
        _ = await busy_one(stage.ledger, workers)
        await asyncio.gather(*(worker.kill() for worker in workers))
        stage.faults += 3
        await stage.fleet.crew(3)
        return await stage.verdict()


# Not on SQLite: a process that is frozen in the middle of a write keeps the file locked for all others.
@scenario("zombies", grounds.servers)
async def zombies(ground: Ground, sagas: int) -> Figures:
    """Fifty times a worker is frozen until it is judged dead, and then wakes up in the middle of its handlers."""
    async with staged(ground.place(), pause=0.5, settings=QUICK) as stage, watched(stage.place.store()) as living:
        workers = await stage.fleet.crew(3)
        async with stage.crowd.kept_at(sagas):
            for turn in range(50):
                zombie = await busy_one(stage.ledger, [workers[turn % 3]])
                before = await living()
                await zombie.stop()
                await until(partial(_has_lost_one, living, before), seconds=JUDGED)
                zombie.cont()
                stage.faults += 1
                await until(
                    partial(_has_as_many, living, before), seconds=JUDGED
                )  # it has begun anew, under another name
        return await stage.verdict()


async def _has_lost_one(living: Living, before: frozenset[str]) -> bool:
    return not before <= await living()


async def _has_as_many(living: Living, before: frozenset[str]) -> bool:
    return len(await living()) >= len(before)


@asynccontextmanager
async def watched(store: Store) -> AsyncIterator[Living]:
    """A function that tells which workers are held to be alive."""
    heart = store.heart()
    try:
        yield lambda: asyncio.to_thread(lambda: frozenset(heart.beat("observer").others))
    finally:
        heart.close()
        await store.close()


@scenario("recover", grounds.sqlite, grounds.servers)
async def recover(ground: Ground, sagas: int) -> Figures:
    """With default times: how long after the SIGKILL of a worker all that it had in hand goes on elsewhere."""
    async with staged(ground.place(), pause=4.0, settings=ROOMY) as stage:
        workers = await stage.fleet.crew(3)
        await stage.crowd.start(sagas)
        await asyncio.sleep(SETTLED)
        victim, killed = await busy_one(stage.ledger, workers), time.time()
        await victim.kill()
        stage.faults += 1
        figures = await stage.verdict()
        gaps = gaps_after(stage.ledger, victim.pid, killed)
        return judged(figures, gaps, RECOVERY, "calls were made again after SIGKILL")


@scenario("hand-over", grounds.sqlite, grounds.servers)
async def hand_over(ground: Ground, sagas: int) -> Figures:
    """With default times: how long it takes after SIGTERM until what a worker had in hand goes on elsewhere."""
    async with staged(ground.place(), pause=3.0, settings=ROOMY) as stage:
        workers = await stage.fleet.crew(3)
        await stage.crowd.start(sagas)
        await asyncio.sleep(SETTLED)
        leaver, told = await busy_one(stage.ledger, workers), time.time()
        leaver.terminate()
        stage.faults += 1
        await leaver.wait()
        figures = await stage.verdict()
        gaps = gaps_after(stage.ledger, leaver.pid, told)
        return judged(figures, gaps, HAND_OVER, "sagas were handed over after SIGTERM")


def gaps_after(ledger: Ledger, pid: int, at: float) -> list[float]:
    """Of each saga that a process had in hand at a time: the seconds in which nothing was done for it.

    A call whose end is not on record waits from then on for its next attempt; a saga whose handlers came to their
    ends, for whatever is next in it.
    """
    histories: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in ledger.attempts():
        histories[attempt.saga_id].append(attempt)
    gaps: list[float] = []
    for attempts in histories.values():
        ours = [attempt for attempt in attempts if attempt.pid == pid and (attempt.recorded or at) >= at]
        if not ours:
            continue
        lost = {attempt.key for attempt in ours if attempt.recorded is None}
        if lost:
            again = [attempt for attempt in attempts if attempt.began > at and attempt.key in lost]
            gaps += [attempt.began - at for attempt in again[: len(lost)]]
        else:
            end = max(attempt.ended_or(at) for attempt in ours)
            gaps += [idle_before(attempt, attempts) for attempt in attempts if attempt.began > end][:1]
    return gaps


def idle_before(attempt: Attempt, attempts: Iterable[Attempt]) -> float:
    """For how many seconds nothing had run of its saga: what waits for a sibling elsewhere is not left alone."""
    earlier = (other.ended_or(attempt.began) for other in attempts if other.began < attempt.began)
    return max(0.0, attempt.began - max(earlier, default=attempt.began))


def judged(figures: Figures, gaps: Collection[float], limit: float, what: str) -> Figures:
    """The figures with the longest gap among them, which must keep to the limit."""
    longest = max(gaps, default=0.0)
    words = (f"{len(gaps)} {what} in {longest:.2f} s at most",)
    late = (f"it took {longest:.2f} s, and not {limit} s",) if longest > limit or not gaps else ()
    return replace(figures, words=figures.words + words, violations=figures.violations + late)
