"""One run: a few sagas, a few workers, bad weather for a while, and then peace until all is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sagaflow import Engine, Settings, StoreUnavailable
from sagaflow.ambient import leave
from sagaflow.core.events import CompensationRequested
from sagaflow.core.state import SagaStatus
from sagaflow.ports import Signal

from .broker import Exchange, RemoteBroker
from .laws import Broken, Laws
from .network import Network, Weather, at_once
from .process import Life, Process
from .sagas import ALL, Asking, Plan, Simulated, draw_plan
from .service import Outside, Run, Shop
from .store import Documents, RemoteStore
from .world import BEGINNING, World

PEACE: Final = 1_800.0
"""Seconds of fine weather in which every saga must come to its end."""

_ACTS: Final = ("cancel", "compensate", "pause")


@dataclass(frozen=True)
class Report:
    """What became of a run.

    Attributes:
        seed: runs it again.
        faults: how many things went wrong on purpose.
        seconds: how long it took, of its own time.
        broken: the law that was broken, if one was.
        story: what has happened, a line each.
    """

    seed: int
    faults: int
    seconds: float
    broken: str | None
    story: tuple[str, ...]

    def __str__(self) -> str:
        """The story of the saga that it is about, and of the faults; all of it if all is well."""
        told = self.story
        about = next((name for name in self._names() if self.broken and name in self.broken), None)
        if about is not None:
            family = about.partition("/")[0]
            told = tuple(line for line in told if family in line or "  ! " in line or "declares" in line)
        return "\n".join((f"seed {self.seed}: {self.broken or 'all is well'}", *told))

    def _names(self) -> list[str]:
        return [line.split()[2].rstrip(":") for line in self.story if line.split()[1] == "plan"]


def simulate(seed: int) -> Report:
    """Make one run; it depends on nothing but the seed and the code."""
    run = _Run(World(seed))
    broken: str | None = None
    try:
        run.play()
    except AssertionError as error:
        broken = str(error) or repr(error)
    finally:
        run.clear_away()
    world = run.world
    story = tuple(f"{at:9.3f}  {who:12} {what}" for at, who, what in world.story)
    return Report(seed, world.faults, world.now - BEGINNING, broken, story)


class _Run:
    def __init__(self, world: World) -> None:
        chance = world.random
        self.world = world
        self._weather = Weather(chance.choice([0.01, 0.03, 0.1]))
        self._network = Network(world, self._weather)
        self._documents = Documents(now=lambda: world.now)
        self._exchange = Exchange(self._network)
        self._outside = Outside(world)
        self._laws = Laws(self._documents, self._outside)
        self._documents.on_change = self._changed
        self._outside.on_run = self._began
        self._settings = Settings(
            concurrency=chance.choice([1, 3, 20]),
            grace=timedelta(seconds=chance.choice([0, 2])),
            in_place=timedelta(seconds=chance.choice([0.1, 5])),
            sweep_every=timedelta(seconds=chance.choice([1, 3])),
            poll_every=timedelta(seconds=2),
            beat_every=timedelta(seconds=1.5),
        )
        self._processes: list[Process] = []
        self._engines: list[Engine] = []
        self._is_peace = False
        self._accepted: set[str] = set()
        self._plans: list[tuple[str, type[Simulated], Plan]] = []
        for number in range(chance.randint(1, 4)):
            saga = chance.choice(ALL)
            self._plans.append((f"{saga.__name__.lower()}-{number}", saga, draw_plan(chance, saga)))

    def _changed(self, before: Any, after: Any, transition: Any) -> None:
        steps = " ".join(f"{name}:{step.status}" for name, step in after.steps.items())
        self.world.tell("store", f"{after.id}@{after.revision} is {after.status}  {steps}")
        self._check(partial(self._laws.check_change, before, after, transition))

    def _began(self, run: Run) -> None:
        self._check(partial(self._laws.check_run, run))
        if self.world.random.random() < 0.05:
            self.world.after(self.world.random.uniform(0, 0.15), partial(self._request, run.saga_id))

    def _request(self, saga_id: str) -> None:
        """Somebody who has an engine elsewhere asks for the saga to be undone, just when it is being worked on."""
        request = CompensationRequested("somebody asks", self.world.now)
        posted = at_once(self._documents.post(saga_id, Signal(f"at {self.world.now}", request)))
        self.world.tell("somebody", f"asks {saga_id} to turn back: {posted}")
        if posted.accepted:
            self._laws.told_to_turn_back.add(saga_id)

    def _check(self, law: Callable[[], None]) -> None:
        try:
            law()
        except AssertionError as error:
            # Whoever caused it must not take it for an error of a server.
            self.world.broken = self.world.broken or error

    def play(self) -> None:
        """From the first start to the last end."""
        chance = self.world.random
        for saga_id, _, plan in self._plans:
            self.world.tell("plan", f"{saga_id}: {plan.tricks}, {plan.elements} elements")
        for number in range(chance.randint(1, 3)):
            self._live(f"worker{number}", partial(self._work))
        self._live("client", partial(self._ask))
        storm = chance.uniform(2, 40)
        for _ in range(chance.randint(0, 6)):
            self.world.after(chance.uniform(0, storm), self._strike)
        self.world.run(until=self.world.now + storm, unless=lambda: False)
        self._make_peace()
        self.world.run(until=self.world.now + PEACE, unless=self._is_over)
        for process in self._processes:
            if process.complaints and not process.is_dead:
                raise Broken(f"{process.name}: {'; '.join(process.complaints)}")
        self._laws.check_end()

    def clear_away(self) -> None:
        """End all processes, so that nothing is left of the run, where their engines share a memory with others."""
        for process in self._processes:
            process.life = Life.DEAD
            process.loop.end()
        for engine in self._engines:
            leave(engine)

    def _is_over(self) -> bool:
        return self._accepted.issuperset(name for name, _, _ in self._plans) and not self._laws.open_sagas

    def _make_peace(self) -> None:
        self.world.tell("weather", "is fine from now on")
        self._is_peace = True
        self._weather.mishaps = 0.0

    # ------------------------------------------------------------------ faults

    def _strike(self) -> None:
        """Something happens to a machine."""
        if self._is_peace:
            return
        chance = self.world.random
        alive = [process for process in self._processes if not process.is_dead]
        match chance.choice(["crash", "stop", "stop", "sleep", "forget", "storm", "all"]):
            case "crash" if alive:
                chance.choice(alive).crash("killed")
            case "stop" if alive:
                chance.choice(alive).stop(chance.uniform(0.5, 12), asleep=False)
            case "sleep" if alive:
                chance.choice(alive).stop(chance.choice([0.5, 4, 8, 30]), asleep=True)
            case "forget":
                self._exchange.forget()
            case "storm":
                before, self._weather.mishaps = self._weather.mishaps, 0.8
                self.world.fault("weather", "becomes a storm")
                self.world.after(chance.uniform(0.5, 10), partial(self._calm, before))
            case "all":
                for process in alive:
                    process.crash("the power fails")

    def _calm(self, mishaps: float) -> None:
        if not self._is_peace:
            self._weather.mishaps = mishaps

    # ------------------------------------------------------------------ processes

    def _live(self, role: str, program: Callable[[Process], Any], life: int = 1) -> None:
        """A process of this role, and after its end the next one."""
        process = Process(self.world, f"{role}.{life}")
        self._processes.append(process)
        process.on_death = lambda: self.world.after(
            self.world.random.uniform(0.1, 10), partial(self._live, role, program, life + 1)
        )
        self.world.tell(process.name, "begins")
        process.begin(program(process))

    def _engine(self, process: Process, **options: Any) -> Engine:
        shop = Shop(process, self._network, self._outside)
        engine = Engine(
            [partial(saga, shop) for saga in ALL],
            store=RemoteStore(process, self._network, self._documents),
            broker=RemoteBroker(process, self._network, self._exchange),
            settings=self._settings,
            machine=process,
            **options,
        )
        self._engines.append(engine)
        return engine

    async def _opened(self, process: Process, **options: Any) -> Engine:
        while True:
            engine = self._engine(process, **options)
            try:
                await engine.open()
            except StoreUnavailable:
                await asyncio.sleep(1)
            else:
                return engine

    async def _work(self, process: Process) -> None:
        """A worker, which may be told to end in good order."""
        engine = await self._opened(process)
        while True:
            await asyncio.sleep(process.random.uniform(1, 60))
            if engine.health.failures:
                self.world.broken = Broken(f"{process.name}: a part has died: {engine.health.failures}")
            if not self._is_peace and process.random.random() < 0.3:
                self.world.tell(process.name, "is told to end")
                await engine.close()
                process.crash("it has come to its end")

    async def _ask(self, process: Process) -> None:
        """Starts all sagas, and does to some of them what clients and operators do; from the beginning if it dies."""
        # Where it works too, it goes straight on with what it starts.
        engine = await self._opened(process, work=process.random.choice(["none", "all"]))
        await asyncio.gather(*(self._care(engine, process, *plan) for plan in self._plans))
        while True:
            await asyncio.sleep(1)
            if self._is_peace:
                for state in self._laws.open_sagas:
                    # A pause whose caller had given up may come through at any time.
                    if state.paused:
                        await self._insist(partial(engine.resume, state.id, by="ada", reason="peace"))
                    if state.status is SagaStatus.FAILED:
                        await self._insist(partial(engine.retry, state.id, by="ada", reason="peace"))

    async def _care(self, engine: Engine, process: Process, saga_id: str, saga: type[Simulated], plan: Plan) -> None:
        chance = process.random
        await asyncio.sleep(chance.uniform(0, 5))
        await self._insist(partial(engine.start, saga, plan, id=saga_id))
        self._accepted.add(saga_id)
        self.world.tell(process.name, f"has started {saga_id}")
        if saga is Asking and chance.random() < 0.8:
            await asyncio.sleep(chance.uniform(0, 10))
            await self._insist(partial(engine.complete_step, saga_id, Asking.ask, "yes", token="t"))
        if chance.random() < 0.6:
            await asyncio.sleep(chance.uniform(0, chance.choice([0.3, 3, 10])))
            act = chance.choice(_ACTS)
            answer = await self._insist(partial(getattr(engine, act), saga_id, by="ada", reason="why not"))
            self.world.tell(process.name, f"{act} {saga_id}: {answer}")
            if act != "pause" and answer.is_accepted:
                self._laws.told_to_turn_back.add(saga_id)

    async def _insist(self, call: Callable[[], Any]) -> Any:
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.5)
