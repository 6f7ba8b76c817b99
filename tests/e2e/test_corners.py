"""What seldom happens, and must not go wrong then: stores that fail, claims that nobody knows of, stubborn handlers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest

from sagaflow import Engine, Retry, Saga, SagaHandle, SagaRecord, Settings, StepStatus, StoreUnavailable, step
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.attempts import INTERRUPTED
from sagaflow.core.decide import fold, new_saga
from sagaflow.core.events import Claimed
from sagaflow.core.state import Direction
from sagaflow.ports import Due, Hint, Orphan, Outcome, Stored, Transition
from tests.polling import until

from .stacks import QUICK

SOON = timedelta(seconds=20)


@dataclass
class Simple(Saga[int]):
    lines: list[str]

    @step(compensate="undo", retry=Retry(attempts=3, backoff=timedelta(milliseconds=1)))
    async def do(self, number: int) -> int:
        self.lines.append(f"do {self.attempt}")
        if number == -1 and self.attempt == 1:
            raise asyncio.CancelledError("something inside was cancelled")
        return number + 1

    async def undo(self, number: int) -> None:
        self.lines.append("undo")

    @step
    async def then(self, number: int, do: int) -> int:
        return do + 1


@pytest.fixture
def lines() -> list[str]:
    return []


def engine_on(store: MemoryStore, lines: list[str], settings: Settings = QUICK) -> Engine:
    return Engine([partial(Simple, lines)], store=store, broker="memory://", settings=settings)


async def test_a_context_that_cannot_be_read_ends_the_step_cleanly_and_calls_no_handler(lines: list[str]) -> None:
    store = MemoryStore()
    await store.insert(new_saga(Simple.definition, "s-1", '"no number"', 0.0), 0.0)
    async with engine_on(store, lines) as engine:
        record = await engine.handle(Simple, "s-1").wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["do"].status is StepStatus.FAILED
    assert record.steps["do"].reason == "refused"
    assert lines == []


async def test_a_handler_in_which_something_was_cancelled_is_tried_again(lines: list[str]) -> None:
    async with engine_on(MemoryStore(), lines) as engine:
        record = await (await engine.start(Simple, -1)).result(timeout=SOON)
    assert record.outputs == {"do": 0, "then": 1}
    assert lines == ["do 1", "do 2"]


class Endless(Saga[int]):
    begun: ClassVar[asyncio.Event]

    @step
    async def wait(self, number: int) -> int:
        if self.attempt == 1:
            self.begun.set()
            await asyncio.Event().wait()
        return self.attempt


async def test_a_handler_that_outlasts_the_grace_period_is_handed_over_at_once_and_that_is_no_loss() -> None:
    Endless.begun = asyncio.Event()
    store = MemoryStore()
    hasty = Settings(grace=timedelta(milliseconds=50))  # and a death would be judged after five seconds
    first = Engine([Endless], store=store, broker="memory://", settings=hasty)
    await first.open()
    handle = await first.start(Endless, 1)
    await Endless.begun.wait()
    await first.close()
    (stored,) = (await store.load([handle.id])).values()
    track = stored.state.steps["wait"].forward
    assert (track.claim, track.reason, track.losses) == (None, INTERRUPTED, 0)
    async with Engine([Endless], store=store, broker="memory://", settings=QUICK) as second:
        record = await second.handle(Endless, handle.id).result(timeout=timedelta(seconds=3))
    assert record.output(Endless.wait) == 2


async def test_a_retry_that_waits_in_memory_is_taken_over_when_its_worker_ends() -> None:
    store = MemoryStore()
    first = Engine([Later], store=store, broker="memory://", settings=QUICK)
    await first.open()
    handle = await first.start(Later, 1)
    await until(lambda: Later.attempts == [1])
    await first.close()
    async with Engine([Later], store=store, broker="memory://", settings=QUICK) as second:
        record = await second.handle(Later, handle.id).result(timeout=SOON)
    assert record.output(Later.wait) == 2


class Later(Saga[int]):
    attempts: ClassVar[list[int]] = []

    @step(retry=Retry(attempts=2, backoff=timedelta(seconds=1), jitter=False))
    async def wait(self, number: int) -> int:
        self.attempts.append(self.attempt)
        if self.attempt == 1:
            raise ConnectionError("not yet")
        return self.attempt


def simple_of_old() -> type[Saga[int]]:
    class Old(Saga[int], name="Simple"):
        @step
        async def other(self, number: int) -> int:
            return number

    return Old


async def test_a_saga_of_another_definition_is_left_to_an_engine_that_has_it(
    lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    old = simple_of_old()
    async with (
        Engine([old], store=store, broker="memory://", work="none") as starter,
        engine_on(store, lines) as newer,
    ):
        handle = await starter.start(old, 1)
        # Whoever has the new class leaves it alone, also when it is asked to look.
        assert (await newer.cancel(handle.id)).is_accepted
        await until(
            lambda: "are left to others in step other (forward): there is no step 'other' any more" in caplog.text
        )
        assert (await newer.get(handle.id)).outputs == {}
        async with Engine([old], store=store, broker="memory://", settings=QUICK) as able:
            record = await able.handle(old, handle.id).wait(timeout=SOON)
    assert record.is_compensated
    assert lines == []


async def test_a_claim_in_a_workers_name_that_it_knows_nothing_of_is_given_back(lines: list[str]) -> None:
    store = MemoryStore()
    async with engine_on(store, lines) as engine:
        heart = store.heart()
        (incarnation,) = heart.beat("looker").others
        heart.leave("looker")
        # As if a write came through long after its reply was lost.
        state = new_saga(Simple.definition, "s-1", JsonCodec().encode(1, int), 0.0)
        claimed = fold(Simple.definition, state, [Claimed("do", Direction.FORWARD, incarnation, 0.0)])
        await store.insert(claimed, None)
        record = await engine.handle(Simple, "s-1").result(timeout=SOON)
    assert record.steps["do"].attempts == 2
    assert lines == ["do 2"]


class Failing(MemoryStore):
    """A store whose calls fail while they are told to; those for one saga may break the contract."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def _check(self, *, one_saga: bool = True) -> None:
        if self.error is not None and (one_saga or isinstance(self.error, StoreUnavailable)):
            raise self.error

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        self._check()
        return await super().load(saga_ids)

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        self._check()
        return await super().commit(transitions)

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        self._check(one_saga=False)
        return await super().due(now, limit, fingerprints)

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        self._check(one_saga=False)
        return await super().orphans(limit, fingerprints)


class Swallowing(MemoryStore):
    """A store whose driver swallows a cancellation, as ``asyncio.wait_for`` can before Python 3.12."""

    asked = 0

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        self.asked += 1
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            return []
        return await super().due(now, limit, fingerprints)


async def test_an_engine_closes_though_its_driver_swallows_the_cancellation(lines: list[str]) -> None:
    store = Swallowing()
    engine = engine_on(store, lines)
    await engine.open()
    await until(lambda: store.asked)
    async with asyncio.timeout(5):
        await engine.close()


class Stubborn(Saga[int]):
    begun: ClassVar[asyncio.Event]
    released: ClassVar[asyncio.Event]

    @step
    async def wait(self, number: int) -> None:
        self.begun.set()
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                continue


async def test_a_handler_that_never_ends_is_left_behind_and_keeps_no_engine_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Stubborn.begun, Stubborn.released = asyncio.Event(), asyncio.Event()
    hasty = Settings(
        grace=timedelta(0), beat_every=timedelta(milliseconds=100), death_after=timedelta(milliseconds=300)
    )
    engine = Engine([Stubborn], store="memory://", broker="memory://", settings=hasty)
    await engine.open()
    await engine.start(Stubborn, 1)
    await Stubborn.begun.wait()
    async with asyncio.timeout(10):
        await engine.close()
    assert "does not let itself be ended" in caplog.text
    Stubborn.released.set()


@dataclass
class Breaking(Saga[int]):
    """Breaks its store while it runs, so that its own outcome cannot be kept at first."""

    store: Failing
    error: Exception
    attempts: list[int]

    @step
    async def do(self, number: int) -> int:
        self.attempts.append(self.attempt)
        self.store.error = self.error
        asyncio.get_running_loop().call_later(0.5, setattr, self.store, "error", None)
        return number + 1


@pytest.mark.parametrize("error", [StoreUnavailable("no quorum"), ZeroDivisionError("a bug in the store")], ids=repr)
async def test_what_a_handler_did_is_kept_in_memory_until_the_store_takes_it(error: Exception) -> None:
    store, attempts = Failing(), list[int]()
    async with (
        Engine([partial(Breaking, store, error, attempts)], store=store, broker="memory://", settings=QUICK) as engine,
    ):
        handle = await engine.start(Breaking, 1)

        async def completed() -> bool:
            return store.error is None and (await handle.status()).is_terminal

        await until(lambda: attempts)
        await until(completed)
        record = await handle.result(timeout=SOON)
    assert record.output(Breaking.do) == 2
    assert attempts == [1]


class Spread(Saga[int]):
    """Of two that go on beside each other, one is followed by work of others; and one takes longer."""

    go_on: ClassVar[asyncio.Event]

    @step(parallel="both")
    async def here(self, number: int) -> int:
        return number

    @step(parallel="both")
    async def later(self, number: int) -> int:
        await self.go_on.wait()
        return number

    @step(after="here", queue="elsewhere")
    async def there(self, number: int) -> int:
        return number


class StuckBroker(MemoryBroker):
    """Takes hints for one queue, and never says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()

    async def publish(self, hints: Sequence[Hint]) -> None:
        if any(hint.lane.queue == "elsewhere" for hint in hints):
            self.asked.set()
            await self.let_go.wait()
        await super().publish(hints)


async def test_what_has_ended_is_recorded_though_the_broker_does_not_answer() -> None:
    Spread.go_on = asyncio.Event()
    broker = StuckBroker()
    async with Engine([Spread], store=MemoryStore(), broker=broker, queues=["default"], settings=QUICK) as engine:
        handle = await engine.start(Spread, 1)
        await broker.asked.wait()
        Spread.go_on.set()
        await until(lambda: _is_done(handle, "later"))
        broker.let_go.set()


async def _is_done(handle: SagaHandle[int], name: str) -> bool:
    return (await handle.record()).steps[name].status is StepStatus.COMPLETED


class Child(Saga[int]):
    @step
    async def one(self, number: int) -> int:
        return number


class Parent(Saga[int]):
    @step(saga=Child)
    async def child(self, number: int) -> int:
        return number

    @step
    async def after(self, number: int, child: SagaRecord[int]) -> int:
        return child.output(Child.one) + 1


class Forgetful(MemoryStore):
    """Fails once, when the record of the child is loaded for the next step."""

    failures = 0

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "sagaflow: after of p-1" and not self.failures:
            self.failures += 1
            raise StoreUnavailable("away for a moment")
        return await super().load(saga_ids)


async def test_a_step_whose_child_cannot_be_loaded_just_then_is_begun_a_little_later() -> None:
    store = Forgetful()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with Engine([Parent, Child], store=store, broker="memory://", settings=QUICK) as engine:
        record = await (await engine.start(Parent, 1, id="p-1")).result(timeout=SOON)
    gc.collect()
    assert record.output(Parent.after) == 2
    assert record.steps["after"].attempts == 2
    assert store.failures == 1
    assert not complaints, "what went wrong is known"
