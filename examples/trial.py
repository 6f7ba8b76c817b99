"""A trial subscription over time: timers, a new version of the class, cancelling, compensating, forgetting.

1. A trial is opened, and its reminder waits. The process ends; a new version of the class takes over, in which a step
   has another name and there is one more: the trial goes on by the steps that it was started with.
2. A trial that has not begun yet is cancelled, and one that is over is compensated.
3. What is over is forgotten after a while; its id is not.

Run it with ``python examples/trial.py``; it needs no server, and leaves no file behind.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from sagaflow import Engine, Saga, SagaExists, SagaNotFound, Settings, step

SHORT = timedelta(milliseconds=300)  # stands for two weeks


class Trial(Struct, frozen=True):
    """Who tries what."""

    customer: str


class TrialSaga(Saga[Trial], name="trial"):
    """As it was at first."""

    @step(compensate="close")
    async def open(self, trial: Trial) -> str:
        print(f"    an account is opened for {trial.customer}")
        return f"account of {trial.customer}"

    async def close(self, trial: Trial, account: str | None) -> None:
        print(f"    the {account} is closed")

    @step(delay=SHORT)
    async def mail(self, trial: Trial, open: str) -> None:
        print(f"    {trial.customer} is reminded")


class NewTrialSaga(Saga[Trial], name="trial"):
    """As it is today: ``mail`` is called ``remind``, and what is sold is counted."""

    @step(compensate="close")
    async def open(self, trial: Trial) -> str:
        print(f"    an account is opened for {trial.customer}")
        return f"account of {trial.customer}"

    async def close(self, trial: Trial, account: str | None) -> None:
        print(f"    the {account} is closed")

    @step(delay=SHORT, formerly="mail")
    async def remind(self, trial: Trial, open: str) -> None:
        print(f"    {trial.customer} is reminded, by the new version")

    @step
    async def count(self, trial: Trial) -> None:
        print(f"    {trial.customer} is counted")


async def goes_on_by_what_it_was_started_with(store: str) -> None:
    """A deployment in the middle of a saga."""
    print("1. A trial outlives the version of the class that it was started by.")
    async with Engine(sagas=[TrialSaga], store=store):
        handle = await TrialSaga.start(Trial("ada"), id="ada")
        async for record in handle.changes():
            if "open" in record.outputs:
                break
    print("    (the process has ended, and a new one begins)")
    async with Engine(sagas=[NewTrialSaga], store=store) as engine:
        assert not await engine.stranded(), "the new version lacks nothing that the old sagas need"
        record = await engine.handle(NewTrialSaga, "ada").result()
        print(f"    steps: {', '.join(record.steps)}")


async def is_called_off(store: str) -> None:
    """Before it begins, and after it has ended."""
    print("2. One trial is cancelled before it begins, another one undone when it is over.")
    async with Engine(sagas=[NewTrialSaga], store=store) as engine:
        later = await NewTrialSaga.start(Trial("grace"), delay=timedelta(days=1), id="grace")
        print(f"    cancel: {await later.cancel(reason='changed her mind')}")
        print(f"    {(await later.wait()).status}")
        print(f"    cancel: {await engine.cancel('ada')}")
        print(f"    compensate: {await engine.compensate('ada', reason='a duplicate', by='support')}")
        record = await engine.handle(NewTrialSaga, "ada").wait()
        print(f"    {record.status}: {record.reason}, says {record.acts[0].by}")


async def is_forgotten(store: str) -> None:
    """The record goes, the id stays."""
    print("3. What is over is forgotten, but its id.")
    settings = Settings(keep_completed=SHORT, sweep_every=timedelta(milliseconds=20))
    async with Engine(sagas=[NewTrialSaga], store=store, settings=settings) as engine:
        await (await NewTrialSaga.start(Trial("alan"), id="alan")).result()
        while True:
            try:
                await engine.get("alan")
                await asyncio.sleep(0.05)
            except SagaNotFound:
                break
        try:
            await NewTrialSaga.start(Trial("alan"), id="alan")
        except SagaExists as error:
            print(f"    {error}")


async def main() -> None:
    """Play the three acts."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'trials.db'}"
        await goes_on_by_what_it_was_started_with(store)
        await is_called_off(store)
        await is_forgotten(store)


if __name__ == "__main__":
    asyncio.run(main())
