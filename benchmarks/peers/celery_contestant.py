"""Celery: a chain of tasks, an errback that compensates, and a chord; results of every task in MongoDB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pymongo import MongoClient

from benchmarks import figures, load
from benchmarks.task import GROUP, SEQUENCE, UNDONE, Task

_STARTERS: Final = 4  # threads
_LOOK_EVERY: Final = 0.05  # seconds; Celery's client is synchronous, and nothing else runs in the thread that waits
_PATIENCE: Final = 60.0


def start_of(workload: str) -> Callable[[str], Any]:
    """What starts a saga of the workload; the id of its last task is ``end-`` and the saga's own."""
    from celery import chain, group  # noqa: PLC0415  # it reads the environment, which the task decides

    from benchmarks.peers import celery_app as tasks  # noqa: PLC0415  # as above

    def sequence(saga: str) -> Any:
        return chain(tasks.one.s(saga), tasks.two.s(saga), tasks.three.s(saga)).apply_async(task_id=f"end-{saga}")

    def undone(saga: str) -> Any:
        undo_one = tasks.undo.si(f"one of {saga}").set(task_id=f"end-{saga}")
        undo_two = tasks.undo.si(f"two of {saga}").set(link=undo_one)
        chain(tasks.one.s(saga), tasks.two.s(saga), tasks.refuse.s(saga).set(link_error=undo_two)).apply_async()
        return tasks.undo.AsyncResult(f"end-{saga}")

    def side_by_side(saga: str) -> Any:
        middle = group(tasks.left.s(saga), tasks.right.s(saga))
        return chain(tasks.one.s(saga), middle, tasks.join.s(saga)).apply_async(task_id=f"end-{saga}")

    return {SEQUENCE: sequence, UNDONE: undone, GROUP: side_by_side}[workload]


def end_of(workload: str, saga: str) -> str:
    """What the last task of a saga returns."""
    first = f"one of {saga}"
    return {
        SEQUENCE: f"{first}; two of {saga}; three of {saga}",
        UNDONE: f"undo {first}",
        GROUP: f"{first}; left of {saga} and {first}; right of {saga}; three of {saga}",
    }[workload]


class Ends:
    """What the results in MongoDB say of the sagas under load."""

    def __init__(self, client: MongoClient[Any], workload: str) -> None:
        self._results = client.get_default_database()["celery_taskmeta"]
        self._workload = workload

    def count(self) -> int:
        """How many have ended."""
        return self._results.count_documents({"_id": {"$gte": "end-load-", "$lt": "end-load."}, "status": "SUCCESS"})

    def check(self, sold: int) -> None:
        """Fail unless all have ended as they must.

        Raises:
            AssertionError: one has not.
        """
        found = {result["_id"]: result["result"] for result in self._results.find({"_id": {"$gte": "end-load-"}})}
        for saga in (f"load-{number}" for number in range(sold)):
            value = json.loads(found[f"end-{saga}"])
            assert value == end_of(self._workload, saga), f"{saga} ended as {value!r}"


def sell_many(start: Callable[[str], Any], ends: Ends, task: Task) -> int:
    """Start sagas while fewer than ``in_flight`` are unfinished, until the time is up; how many there were."""
    until, lock, sold = time.perf_counter() + task.seconds, threading.Lock(), [0]
    room = threading.Semaphore(task.in_flight)

    def sell() -> None:
        while time.perf_counter() < until:
            if room.acquire(timeout=_LOOK_EVERY):
                with lock:
                    number, sold[0] = sold[0], sold[0] + 1
                start(f"load-{number}")

    threads = [threading.Thread(target=sell) for _ in range(_STARTERS)]
    for thread in threads:
        thread.start()
    seen = 0
    while time.perf_counter() < until:
        time.sleep(_LOOK_EVERY)
        ended = ends.count()
        for _ in range(seen, ended):
            room.release()
        seen = ended
    for thread in threads:
        thread.join()
    return sold[0]


def measure(task: Task) -> dict[str, float]:
    """The figures of a task."""
    with _worker(task) as worker, MongoClient[Any](task.mongo) as client:
        start, ends = start_of(task.workload), Ends(client, task.workload)

        def sell(saga: str) -> float:
            at = time.perf_counter()
            value = start(saga).get(timeout=_PATIENCE, interval=0.001)
            assert value == end_of(task.workload, saga), f"{saga} ended as {value!r}"
            return time.perf_counter() - at

        # The end of a chord is found by a task that looks once a second: few of them say as much as many.
        few = task.workload == GROUP
        for number in range(2 if few else load.WARM_UP):
            sell(f"warm-{number}")
        found = figures.quantiles([sell(f"alone-{number}") for number in range(min(task.alone, 5 if few else 1_000))])
        meter = figures.Meter({"starter": os.getpid(), "worker": worker})
        meter.start()
        began = time.perf_counter()
        sold = sell_many(start, ends, task)
        while ends.count() < sold:
            assert time.perf_counter() < began + _PATIENCE, f"{ends.count()} of {sold} sagas have ended"
            time.sleep(_LOOK_EVERY)
        found |= figures.loaded(sold, time.perf_counter() - began, meter.stop(), [])
        ends.check(sold)
        return found | meter.memory()


@contextmanager
def _worker(task: Task) -> Iterator[int]:
    """A worker of two processes, whose pid is that of their parent."""
    os.environ |= {"BENCH_AMQP": task.amqp, "BENCH_MONGO": task.mongo, "BENCH_QUEUE": f"{task.namespace}.celery"}
    command = [sys.executable, "-m", "celery", "--app=benchmarks.peers.celery_app", "worker", "--pool=prefork"]
    options = ["--concurrency=2", "--without-gossip", "--without-mingle", "--loglevel=ERROR"]
    with subprocess.Popen([*command, *options]) as worker:
        try:
            yield worker.pid
        finally:
            worker.terminate()


if __name__ == "__main__":
    given = Task.given()
    given.answer(measure(given))
