"""Sagas of two versions on one store, started by turns, and by the workers of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

import msgspec
from msgspec import Struct
from ulid import ULID

from sagaflow import Engine, StepStatus
from sagaflow.core.state import SagaState
from sagaflow.ports import Store
from tests.polling import until

from . import editions
from .crowd import Crowd
from .editions import ENDS, GONE, Versioned
from .graphs import strays
from .grounds import Place
from .ledger import Ledger
from .sagas import Factories, Load
from .stage import Stage
from .worker import Wiring

_AT_ONCE: Final = 50  # starts under way
_PATIENCE: Final = 120.0  # seconds in which the second version must have done all that it can
_UNDONE: Final = frozenset({StepStatus.PENDING, StepStatus.STARTED})


@dataclass(frozen=True, eq=False)
class Version:
    """One version of the sagas: the function that makes them from a ledger, and their classes by name."""

    sagas: Callable[[Ledger], Factories]
    classes: Mapping[str, type[Versioned]]

    @property
    def where(self) -> str:
        """The function, for the orders of a worker."""
        return f"{self.sagas.__module__}:{self.sagas.__name__}"


FIRST: Final = Version(editions.first, editions.FIRST)
SECOND: Final = Version(editions.second, editions.SECOND)


class Share(Struct, frozen=True):
    """Sagas that a worker is to start, by id the name of the class of each. ``version``: where theirs is."""

    place: Place
    version: str
    sagas: dict[str, str]
    load: Load


def take_share(wiring: Wiring, argument: str) -> None:
    """Have a worker start its share while it works: a wiring, whose argument is the share."""
    share = msgspec.json.decode(argument, type=Share)
    task = asyncio.get_running_loop().create_task(_start_share(share, wiring.ledger), name="share")
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


_under_way: Final[set[asyncio.Task[None]]] = set()


async def _start_share(share: Share, ledger: Ledger) -> None:
    (version,) = (one for one in (FIRST, SECOND) if one.where == share.version)
    async with share.place.engine(version.sagas(ledger), work="none") as engine:
        for saga_id, name in share.sagas.items():
            await engine.start(version.classes[name], share.load, id=saga_id)


class MixedCrowd(Crowd):
    """Sagas of both versions, of all their classes by turns."""

    def __init__(self, engines: Mapping[Version, Engine], store: Store, place: Place, load: Load) -> None:
        """``engines`` start sagas of the version that they have; see ``Crowd`` for the store and the load."""
        super().__init__(engines[SECOND], store, load)
        self._engines = engines
        self._place = place
        self._wanted: dict[str, tuple[Version, str]] = {}
        self._shared: set[str] = set()
        self._names = cycle(ENDS)

    async def start_by(self, version: Version, count: int) -> None:
        """Start so many of one version from here."""
        await self._start_all(self._want(version, count))

    def orders(self, version: Version, count: int) -> dict[str, object]:
        """What the orders of a worker have, that has one version and starts so many of it."""
        wanted = {saga_id: self._wanted[saga_id][1] for saga_id in self._want(version, count)}
        self._shared.update(wanted)
        share = msgspec.json.encode(Share(self._place, version.where, wanted, self.load)).decode()
        return {"sagas": version.where, "wiring": f"{__name__}:take_share", "argument": share}

    async def make_up(self) -> int:
        """Start what workers were to start and did not live to; how many they did start."""
        missing = self._shared - set(await self.states())
        await self._start_all(missing)
        return len(self._shared - missing)

    async def stuck(self) -> tuple[list[str], int]:
        """Wait until nothing can go on without the first version.

        Returns:
            what should not be, one line each, and how many sagas wait.
        """
        with suppress(TimeoutError):
            await until(self._is_stuck, seconds=_PATIENCE)
        unended = await self._unended()
        waiting = {saga_id for saga_id, state in unended.items() if self._waits_for_the_first(state)}
        listed = {(one.saga_id, one.step) for one in await self.engine.stranded(limit=2 * len(self.expected))}
        wrong = listed ^ {(saga_id, GONE) for saga_id in waiting}
        return [
            *(
                f"{saga_id}: has not ended, though the second version has all its steps"
                for saga_id in unended.keys() - waiting
            ),
            *(f"{saga_id}: step {name!r} is stranded or listed as that, not both" for saga_id, name in sorted(wrong)),
        ], len(waiting)

    async def strays(self, ledger: Ledger) -> list[str]:
        """What was done by another graph than that of the version by which a saga was started."""
        graphs = {saga_id: version.classes[name].definition for saga_id, (version, name) in self._wanted.items()}
        return list(strays(ledger, graphs, await self.states()))

    def _want(self, version: Version, count: int) -> list[str]:
        wanted = {str(ULID()): name for name in islice(self._names, count)}
        self._wanted |= {saga_id: (version, name) for saga_id, name in wanted.items()}
        self.expected |= {saga_id: ENDS[name] for saga_id, name in wanted.items()}
        self._active.update(wanted)
        return list(wanted)

    async def _start_all(self, ids: Iterable[str]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for saga_id in ids:
                _ = group.create_task(self._start_one(saga_id, gate))

    async def _start_one(self, saga_id: str, gate: asyncio.Semaphore) -> None:
        version, name = self._wanted[saga_id]
        async with gate:
            await self._engines[version].start(version.classes[name], self.load, id=saga_id)

    async def _is_stuck(self) -> bool:
        return all(map(self._waits_for_the_first, (await self._unended()).values()))

    async def _unended(self) -> dict[str, SagaState]:
        _ = await self.in_flight()
        found = await self._store.load(list(self._active))
        return {saga_id: stored.state for saga_id, stored in found.items() if not stored.state.status.is_terminal}

    def _waits_for_the_first(self, state: SagaState) -> bool:
        """Whether all is done that comes before the step that only the first version has, and that is not."""
        if self._wanted[state.id] != (FIRST, "Stamped"):
            return False
        before = (state.steps[name].status for name in FIRST.classes["Stamped"].definition[GONE].after)
        return state.steps[GONE].status in _UNDONE and all(status is StepStatus.COMPLETED for status in before)


@asynccontextmanager
async def mixed(stage: Stage) -> AsyncIterator[MixedCrowd]:
    """A crowd that takes the place of the stage's own."""
    place, ledger, store = stage.place, stage.ledger, stage.place.store()
    async with (
        place.engine(FIRST.sagas(ledger), work="none") as old,
        place.engine(SECOND.sagas(ledger), work="none") as new,
    ):
        await store.open()
        try:
            stage.crowd = crowd = MixedCrowd({FIRST: old, SECOND: new}, store, place, stage.crowd.load)
            yield crowd
        finally:
            await store.close()
