"""How large one saga's document becomes, whatever happens to it, and however often."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from sagaflow import Engine, InboxFull, PayloadTooLarge, Retry, Saga, SagaRecord, Settings, StoreUnavailable, step
from sagaflow.adapters.store_rules import encode_state
from sagaflow.core.decide import fold
from sagaflow.core.events import Signalled, Succeeded
from sagaflow.core.state import Direction, SagaState
from sagaflow.ports import Signal, Store

from . import grounds
from .grounds import Ground, Place
from .scenarios import scenario
from .verdict import Figures

OFTEN = 1_000
"""How often everything happens."""

_BY, _REASON = "b" * 100, "r" * 1_000
_OUTPUT = 200_000  # characters of an output, near the limit
_SETTLED = 0.1  # the share of a history after which a document must not grow any more, but for the digits of numbers
_DIGITS = 64


class Retried(Saga[int]):
    """It fails as often as its context says, with a long message that is another one each time."""

    @step(retry=Retry(attempts=None, backoff=timedelta(0)))
    async def failing(self, times: int) -> str:
        if self.attempt <= times:
            raise RuntimeError(f"{self.attempt:06}" + "x" * 10_000)
        return "done"


class Asking(Saga[int]):
    """It asks the outside eight times."""

    @step(waits_for=str)
    async def one(self, number: int) -> None: ...

    @step(waits_for=str)
    async def two(self, number: int) -> None: ...

    @step(waits_for=str)
    async def three(self, number: int) -> None: ...

    @step(waits_for=str)
    async def four(self, number: int) -> None: ...

    @step(waits_for=str)
    async def five(self, number: int) -> None: ...

    @step(waits_for=str)
    async def six(self, number: int) -> None: ...

    @step(waits_for=str)
    async def seven(self, number: int) -> None: ...

    @step(waits_for=str)
    async def eight(self, number: int) -> None: ...


@dataclass
class Sizes:
    """The sizes of one kind of history, in characters."""

    what: str
    early: int
    late: int

    def __str__(self) -> str:
        return f"{self.what}: {self.early:,} to {self.late:,}"

    def violations(self, limit: int) -> list[str]:
        """What is wrong with them."""
        grown = self.late > self.early + _DIGITS
        return [f"{self} characters"] if grown or self.late > limit else []


@scenario("histories", grounds.sqlite, grounds.servers)
async def histories(ground: Ground, _: int) -> Figures:
    """A thousand retries, operators' acts, late outputs and answers: what each makes of a document."""
    place = ground.place()
    store = place.store()
    await store.open()
    try:
        async with opened(place) as engine:
            found = [await _retries(engine, store), await _acts(engine, store), await _late_outputs(engine, store)]
            answers, told = await _answers(engine, store)
        posted, refusal = await _inbox(place, store)
    finally:
        await store.close()
    limit = Settings().document_limit
    violations = [line for sizes in found for line in sizes.violations(limit)]
    if answers > limit:
        violations.append(f"answers made a document of {answers:,} characters")
    words = (
        *(str(sizes) for sizes in found),
        f"answers: {answers:,} characters, {told} of 8 refused",
        f"an inbox took {posted} answers of {_OUTPUT:,} characters, then {refusal}",
    )
    return Figures(sagas=5, violations=tuple(violations), words=words)


@asynccontextmanager
async def opened(place: Place, *, works: bool = True) -> AsyncIterator[Engine]:
    """An engine that has these sagas."""
    settings = Settings(output_limit=_OUTPUT + 2)
    async with Engine(
        [Retried, Asking],
        store=place.store(),
        broker=place.broker(),
        work="all" if works else "none",
        settings=settings,
    ) as engine:
        yield engine


async def _state(store: Store, saga_id: str) -> SagaState:
    return (await store.load([saga_id]))[saga_id].state


async def _retries(engine: Engine, store: Store) -> Sizes:
    sizes: list[int] = []
    for times in (int(OFTEN * _SETTLED), OFTEN):
        handle = await engine.start(Retried, times)
        _ = await handle.result(timeout=timedelta(minutes=5))
        sizes.append(len(encode_state(await _state(store, handle.id))))
    return Sizes("retries", *sizes)


async def _acts(engine: Engine, store: Store) -> Sizes:
    handle = await engine.start(Asking, 0, delay=timedelta(hours=1))

    async def act(number: int) -> SagaRecord[int]:
        ask = engine.resume if number % 2 else engine.pause
        _ = await ask(handle.id, by=_BY, reason=_REASON)
        return await _seen(engine, handle.id, lambda record: record.is_paused is (number % 2 == 0))

    return await _sizes("acts", store, handle.id, act)


async def _late_outputs(engine: Engine, store: Store) -> Sizes:
    handle = await engine.start(Retried, 2)
    state = (await handle.result(timeout=timedelta(minutes=1)), await _state(store, handle.id))[1]
    sizes: list[int] = []
    for number in range(OFTEN):
        event = Succeeded("failing", Direction.FORWARD, 1, f'"{number:06}{"x" * 10_000}"', state.updated_at)
        state = fold(Retried.definition, state, [event])
        sizes.append(len(encode_state(state)))
    return Sizes("late outputs", sizes[int(OFTEN * _SETTLED)], sizes[-1])


async def _answers(engine: Engine, store: Store) -> tuple[int, int]:
    """Large answers to all that a saga asks; the size of its document, and how many of them were refused."""
    handle, refused = await engine.start(Asking, 0), 0
    for declared in Asking.definition:
        try:
            _ = await engine.complete_step(handle.id, declared.name, "x" * _OUTPUT)
        except PayloadTooLarge:
            refused += 1
            continue
        _ = await _seen(engine, handle.id, partial(_has, declared.name))
    return len(encode_state(await _state(store, handle.id))), refused


def _has(step: str, record: SagaRecord[int]) -> bool:
    return record.steps[step].output is not None


async def _inbox(place: Place, store: Store) -> tuple[int, str]:
    """Large answers to a saga that no worker looks at; how many it took, and what refused the next one."""
    async with opened(place, works=False) as engine:
        handle = await engine.start(Asking, 0)
    for number in range(OFTEN + 1):
        event = Signalled("one", f"t{number}", 0.0, f'"{number:06}{"x" * (_OUTPUT - 6)}"', None)
        try:
            _ = await store.post(handle.id, Signal(f"one/t{number}", event))
        except (InboxFull, PayloadTooLarge, StoreUnavailable) as error:
            return number, f"{type(error).__name__}: {str(error)[:120]}"
    return OFTEN + 1, "nothing"


async def _sizes(what: str, store: Store, saga_id: str, act: Callable[[int], Awaitable[object]]) -> Sizes:
    sizes: list[int] = []
    for number in range(OFTEN):
        _ = await act(number)
        if number in (int(OFTEN * _SETTLED), OFTEN - 1):
            sizes.append(len(encode_state(await _state(store, saga_id))))
    return Sizes(what, *sizes)


async def _seen(engine: Engine, saga_id: str, is_so: Callable[[SagaRecord[int]], bool]) -> SagaRecord[int]:
    """The record of a saga, once it is so."""
    async for record in engine.watch(saga_id):
        if is_so(record):
            return record
    raise AssertionError(f"saga {saga_id} has ended")
