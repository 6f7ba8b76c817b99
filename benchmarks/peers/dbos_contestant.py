"""DBOS: a workflow of steps in one process, kept in a SQLite file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from dbos import DBOS, DBOSConfig

from benchmarks import figures, load
from benchmarks.task import GROUP, SEQUENCE, UNDONE, Task


class Refused(Exception):
    """The third step says no."""


@DBOS.step()
async def one(saga: str) -> str:
    return f"one of {saga}"


@DBOS.step()
async def two(saga: str) -> str:
    return f"two of {saga}"


@DBOS.step()
async def three(saga: str) -> str:
    return f"three of {saga}"


@DBOS.step()
async def refuse(saga: str) -> str:
    raise Refused(f"three of {saga}")


@DBOS.step()
async def undo(step: str, saga: str) -> str:
    return f"undo {step} of {saga}"


@DBOS.step()
async def left(saga: str) -> str:
    return f"left of {saga}"


@DBOS.step()
async def right(saga: str) -> str:
    return f"right of {saga}"


@DBOS.workflow()
async def sequence(saga: str) -> list[str]:
    return [await one(saga), await two(saga), await three(saga)]


@DBOS.workflow()
async def undone(saga: str) -> list[str]:
    done = [await one(saga), await two(saga)]
    try:
        await refuse(saga)
    except Refused:
        done += [await undo("two", saga), await undo("one", saga)]
    return done


@DBOS.workflow()
async def side_by_side(saga: str) -> list[str]:
    return [await one(saga), *await asyncio.gather(left(saga), right(saga)), await three(saga)]


_WORKFLOWS: Final[dict[str, Callable[[str], Awaitable[list[str]]]]] = {
    SEQUENCE: sequence,
    UNDONE: undone,
    GROUP: side_by_side,
}
_ENDS: Final = {
    SEQUENCE: ["one", "two", "three"],
    UNDONE: ["one", "two", "undo two", "undo one"],
    GROUP: ["one", "left", "right", "three"],
}


async def measure(task: Task) -> dict[str, float]:
    """The figures of a task."""
    workflow, ends = _WORKFLOWS[task.workload], _ENDS[task.workload]

    async def sell(prefix: str, number: int) -> None:
        saga = f"{prefix}-{number}"
        done = await workflow(saga)
        assert done == [f"{step} of {saga}" for step in ends], f"{saga} ended as {done}"

    await load.alone(lambda number: sell("warm", number), load.WARM_UP)
    found = figures.quantiles((await load.alone(lambda number: sell("alone", number), task.alone)).waits)
    meter = figures.Meter({"all": os.getpid()})
    meter.start()
    under_load = await load.at_once(lambda number: sell("load", number), task.in_flight, task.seconds)
    cpu = meter.stop()
    sold = load.WARM_UP + task.alone + len(under_load.waits)
    kept = await DBOS.list_workflows_async(status="SUCCESS", load_input=False, load_output=False)
    assert len(kept) == sold, f"{sold} workflows were sold, and {len(kept)} are kept as successful"
    found |= figures.loaded(len(under_load.waits), under_load.seconds, cpu, under_load.waits)
    return found | meter.memory()


def main() -> None:
    """Measure by the task that this process was called with."""
    task = Task.given()
    config: DBOSConfig = {
        "name": "benchmarks",
        "system_database_url": f"sqlite:///{Path(task.folder, 'dbos.sqlite')}",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    task.answer(asyncio.run(measure(task)))
    DBOS.destroy()


if __name__ == "__main__":
    main()
