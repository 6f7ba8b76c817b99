"""Workers are told to end while they work: they drain, hand over, and lose nothing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from tests.polling import until

from . import grounds
from .fleet import Worker
from .grounds import Ground
from .kills import HAND_OVER, busy_one, idle_before
from .ledger import Attempt, Ledger
from .sagas import Load
from .scenarios import scenario
from .stage import staged
from .verdict import Figures

IN_HAND = 200
"""Sagas that the worker has in hand which is told to end."""

GRACE = 3.0
"""Seconds that it gives them."""

RESTARTS = 20

_STUBBORN = Load(pause=15.0)  # its handlers outlast the grace period
_STUBBORN_ONES = 15
_MARGIN = 5.0  # seconds that a process may take beyond its grace period, and the end of the interpreter


@scenario("sigterm", grounds.sqlite, grounds.servers)
async def sigterm(ground: Ground, sagas: int) -> Figures:
    """A worker with 200 sagas in hand is told to end; three others, idle until then, have room for all of them."""
    settings = {"concurrency": IN_HAND, "grace": GRACE}
    async with staged(ground.place(), pause=3, settings=settings) as stage:
        (leaver,) = await stage.fleet.crew(1)
        _ = await stage.crowd.start(_STUBBORN_ONES, load=_STUBBORN)
        _ = await stage.crowd.start(min(sagas, IN_HAND) - _STUBBORN_ONES)
        await _in_hand(stage.ledger, leaver, IN_HAND // 2)
        _ = await stage.fleet.crew(3)
        told = time.time()
        took = await _ended(leaver)
        stage.faults += 1
        figures = await stage.verdict(seconds=180)
        ends = Ending.of(stage.ledger.attempts(), leaver.pid, told)
    late = () if took <= GRACE + _MARGIN else (f"it took {took:.1f} s to end, with a grace period of {GRACE} s",)
    repeats = () if figures.repeated == ends.cut_off else (f"{ends.cut_off} handlers cut off, not as many repeated",)
    slow = () if ends.longest_wait <= HAND_OVER else (f"what it handed over waited {ends.longest_wait:.2f} s",)
    words = (
        f"drained in {took:.1f} s of {GRACE:.0f} s",
        f"{ends.in_hand} handlers in hand, {ends.cut_off} outlasted the grace period",
        f"{ends.handed_over} sagas handed over in {ends.longest_wait:.2f} s at most",
    )
    violations = (*figures.violations, *late, *repeats, *slow)
    return replace(figures, words=figures.words + words, violations=violations)


@scenario("restarts", grounds.sqlite, grounds.servers)
async def restarts(ground: Ground, sagas: int) -> Figures:
    """Twenty times in a row another worker is started, and the oldest one told to end."""
    async with staged(ground.place(), pause=0.3) as stage:
        workers = await stage.fleet.crew(2)
        took: list[float] = []
        async with stage.crowd.kept_at(sagas):
            for _ in range(RESTARTS):
                workers += await stage.fleet.crew(1)
                oldest = workers.pop(0)
                _ = await busy_one(stage.ledger, [oldest])
                took.append(await _ended(oldest))
                stage.faults += 1
        figures = await stage.verdict()
    # With nobody interrupted, the verdict has let nothing be repeated.
    return replace(figures, words=(*figures.words, f"each drained in {max(took):.2f} s at most"))


async def _in_hand(ledger: Ledger, worker: Worker, count: int) -> None:
    """Return when so many handlers run in this worker."""
    await until(lambda: sum(map(partial(_is_at_it, worker.pid), ledger.attempts())) >= count, seconds=60)


def _is_at_it(pid: int, attempt: Attempt) -> bool:
    return attempt.pid == pid and attempt.ended is None


async def _ended(worker: Worker) -> float:
    """Tell a worker to end in good order; the seconds that it took.

    Raises:
        RuntimeError: its exit code is another one than 0.
    """
    told = time.monotonic()
    worker.terminate()
    code = await worker.wait()
    if code != 0:
        raise RuntimeError(f"worker {worker.pid} ended with code {code}\n{worker.log_end()}")
    return time.monotonic() - told


class Ending:
    """What became of the sagas that a worker had in hand when it was told to end."""

    def __init__(self) -> None:
        self.in_hand = 0
        self.cut_off = 0
        self.handed_over = 0
        self.longest_wait = 0.0

    @classmethod
    def of(cls, attempts: Iterable[Attempt], pid: int, told: float) -> Ending:
        """As the ledger tells it: from the last handler of a saga to the beginning of another worker's."""
        histories: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            histories[attempt.saga_id].append(attempt)
        found = cls()
        for history in histories.values():
            for attempt in history:
                if attempt.pid == pid and attempt.ended_or(told) >= told:
                    found.in_hand += 1
                    found.cut_off += attempt.ended is None
            last = max((attempt.ended_or(told) for attempt in history if attempt.pid == pid), default=0.0)
            was_cut = any(attempt.pid == pid and attempt.ended is None for attempt in history)
            later = [attempt for attempt in history if attempt.pid != pid and attempt.began >= last]
            if last >= told and later and not was_cut:
                found.handed_over += 1
                found.longest_wait = max(found.longest_wait, idle_before(later[0], history))
        return found
