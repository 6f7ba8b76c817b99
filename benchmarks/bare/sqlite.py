"""Four commits a saga in one SQLite file: its insertion, and its steps, each kept before the next.

WAL and ``synchronous=FULL``: a commit is on the disk when it returns. The task's option ``together`` says how many
changes of different sagas share a transaction; with ``1`` each has its own.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks import figures, load
from benchmarks.task import Task, steps_of

_SCHEMA: Final = "CREATE TABLE sagas (id TEXT PRIMARY KEY, status TEXT, revision INTEGER, body TEXT) WITHOUT ROWID"


def changes_of(saga_ids: list[str], steps: list[str]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The statements of some sagas in step: all are inserted, then all do their first step, and so on."""
    for saga_id in saga_ids:
        yield "INSERT INTO sagas VALUES (?, 'started', 0, '')", (saga_id,)
    for revision, step in enumerate(steps):
        status = "ended" if step == steps[-1] else "started"
        for saga_id in saga_ids:
            yield (
                "UPDATE sagas SET status = ?, revision = revision + 1, body = body || ? WHERE id = ? AND revision = ?",
                (status, f"{step} of {saga_id};", saga_id, revision),
            )


def sell(connection: sqlite3.Connection, saga_ids: list[str], steps: list[str]) -> None:
    """Bring these sagas to their ends, with as many changes a transaction as there are sagas."""
    for number, (statement, values) in enumerate(changes_of(saga_ids, steps)):
        if number % len(saga_ids) == 0:
            connection.execute("BEGIN IMMEDIATE")
        if connection.execute(statement, values).rowcount != 1:
            raise AssertionError(f"{statement} {values} did not match")
        if (number + 1) % len(saga_ids) == 0:
            connection.execute("COMMIT")


def main() -> None:
    """Measure by the task that this process was called with."""
    task = Task.given()
    steps = [step for group in steps_of(task.workload) for step in group]
    together = int(task.options["together"])
    with closing(sqlite3.connect(Path(task.folder, "sagas.db"), isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _SCHEMA):
            connection.execute(statement)
        for number in range(load.WARM_UP):
            sell(connection, [f"warm-{number}"], steps)
        waits: list[float] = []
        for number in range(task.alone):
            at = time.perf_counter()
            sell(connection, [f"alone-{number}"], steps)
            waits.append(time.perf_counter() - at)
        meter = figures.Meter({"all": os.getpid()})
        meter.start()
        sold, began = 0, time.perf_counter()
        while time.perf_counter() < began + task.seconds:
            sell(connection, [f"load-{number}" for number in range(sold, sold + together)], steps)
            sold += together
        found = figures.quantiles(waits) | figures.loaded(sold, time.perf_counter() - began, meter.stop(), [])
        found |= meter.memory()
        ((ended,),) = connection.execute(
            "SELECT count(*) FROM sagas WHERE status = 'ended' AND revision = ?", (len(steps),)
        )
        if ended != load.WARM_UP + task.alone + sold:
            raise AssertionError(f"{ended} sagas have ended, and {load.WARM_UP + task.alone + sold} were sold")
    task.answer(found)


if __name__ == "__main__":
    main()
