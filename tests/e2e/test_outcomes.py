"""A saga completes, or is compensated, or fails for a stated reason: on every stack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar

import pytest
from msgspec import Struct

from sagaflow import (
    Abort,
    Retry,
    RetryLater,
    Saga,
    SagaCompensated,
    SagaExists,
    SagaFailed,
    SagaNotFound,
    StepStatus,
    step,
)

from .stacks import Stack

SOON = timedelta(seconds=20)
QUICK_RETRY = Retry(attempts=3, backoff=timedelta(milliseconds=1))


class Trip(Struct, frozen=True):
    city: str
    fails: tuple[str, ...] = ()


@dataclass
class Log:
    """What handlers did, in order."""

    lines: list[str] = field(default_factory=list[str])

    def __call__(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class TripSaga(Saga[Trip], retry=QUICK_RETRY, compensation_retry=QUICK_RETRY):
    log: Log

    async def act(self, trip: Trip, name: str) -> str:
        if name in trip.fails:
            raise Abort(f"no {name}")
        if f"{name}!" in trip.fails:
            raise ConnectionError(f"{name} is away")
        self.log(name)
        return f"{name} in {trip.city}"

    async def undo(self, trip: Trip, name: str, output: str | None) -> None:
        if f"un{name}" in trip.fails:
            raise ConnectionError(f"cannot undo {name}")
        self.log(f"un{name}" if output == f"{name} in {trip.city}" else f"un{name}?")

    @step(compensate="unflight")
    async def flight(self, trip: Trip) -> str:
        return await self.act(trip, "flight")

    async def unflight(self, trip: Trip, output: str | None) -> None:
        await self.undo(trip, "flight", output)

    @step(compensate="unhotel", parallel="stay")
    async def hotel(self, trip: Trip, flight: str) -> str:
        assert flight == f"flight in {trip.city}"
        return await self.act(trip, "hotel")

    async def unhotel(self, trip: Trip, output: str | None) -> None:
        await self.undo(trip, "hotel", output)

    @step(compensate="uncar", parallel="stay")
    async def car(self, trip: Trip) -> str:
        return await self.act(trip, "car")

    async def uncar(self, trip: Trip, output: str | None) -> None:
        await self.undo(trip, "car", output)

    @step
    async def tell(self, trip: Trip, hotel: str, car: str) -> str:
        return f"{hotel}, {await self.act(trip, 'tell')}, {car}"


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def saga(log: Log) -> Callable[[], TripSaga]:
    return partial(TripSaga, log)


async def test_a_saga_completes_and_hands_its_outputs_on_by_name(
    stack: Stack, log: Log, saga: Callable[[], TripSaga]
) -> None:
    async with stack.engine(saga):
        handle = await TripSaga.start(Trip("Rome"))
        record = await handle.result(timeout=SOON)
    assert record.is_completed
    assert record.context == Trip("Rome")
    assert record.output(TripSaga.tell) == "hotel in Rome, tell in Rome, car in Rome"
    assert log.lines[0] == "flight"
    assert log.lines[-1] == "tell"
    assert sorted(log.lines[1:3]) == ["car", "hotel"]


async def test_an_aborted_last_step_undoes_all_that_was_done_dependents_first(
    stack: Stack, log: Log, saga: Callable[[], TripSaga]
) -> None:
    async with stack.engine(saga):
        handle = await TripSaga.start(Trip("Rome", fails=("tell",)))
        with pytest.raises(SagaCompensated, match="step 'tell' failed") as undone:
            await handle.result(timeout=SOON)
    record = undone.value.saga
    assert record.steps["tell"].status is StepStatus.FAILED
    assert [record.steps[name].status for name in ("flight", "hotel", "car")] == [StepStatus.COMPENSATED] * 3
    assert sorted(log.lines[3:5]) == ["uncar", "unhotel"]
    assert log.lines[5:] == ["unflight"]
    assert record.steps["tell"].error is not None
    assert record.steps["tell"].error.message == "no tell"


async def test_a_first_step_that_aborts_ends_as_compensated(
    stack: Stack, log: Log, saga: Callable[[], TripSaga]
) -> None:
    async with stack.engine(saga):
        record = await (await TripSaga.start(Trip("Rome", fails=("flight",)))).wait(timeout=SOON)
    assert record.is_compensated
    assert log.lines == []


async def test_a_step_whose_retries_are_exhausted_is_unknown_and_is_undone_too(
    stack: Stack, log: Log, saga: Callable[[], TripSaga]
) -> None:
    async with stack.engine(saga):
        record = await (await TripSaga.start(Trip("Rome", fails=("hotel!",)))).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["hotel"].attempts == 3
    assert "unhotel?" in log.lines
    assert log.lines[-1] == "unflight"


async def test_an_exhausted_compensation_fails_the_saga_and_stops_only_what_must_wait_for_it(
    stack: Stack, log: Log, saga: Callable[[], TripSaga]
) -> None:
    async with stack.engine(saga):
        handle = await TripSaga.start(Trip("Rome", fails=("tell", "unhotel")))
        with pytest.raises(SagaFailed, match="compensation 'unhotel' of step 'hotel' failed") as failed:
            await handle.result(timeout=SOON)
    record = failed.value.saga
    assert record.steps["hotel"].status is StepStatus.COMPENSATION_FAILED
    assert record.steps["car"].status is StepStatus.COMPENSATED
    assert record.steps["flight"].status is StepStatus.COMPLETED
    assert record.steps["hotel"].compensation_attempts == 3
    assert "uncar" in log.lines
    assert "unflight" not in log.lines


class Meeting(Saga[Trip]):
    """Two steps that can only end if they run at the same time."""

    here = asyncio.Event()
    there = asyncio.Event()

    @step(parallel="both")
    async def one(self, trip: Trip) -> None:
        self.here.set()
        await asyncio.wait_for(self.there.wait(), 10)

    @step(parallel="both")
    async def two(self, trip: Trip) -> None:
        self.there.set()
        await asyncio.wait_for(self.here.wait(), 10)


async def test_the_steps_of_a_parallel_group_overlap(stack: Stack) -> None:
    Meeting.here, Meeting.there = asyncio.Event(), asyncio.Event()
    async with stack.engine(Meeting):
        record = await (await Meeting.start(Trip("Rome"))).wait(timeout=SOON)
    assert record.is_completed


class Patient(Saga[Trip]):
    @step(retry=Retry(attempts=3))
    async def ask(self, trip: Trip) -> int:
        if self.attempt < 3:
            raise RetryLater(timedelta(milliseconds=20))
        return self.attempt


async def test_retry_later_tries_again_and_counts_as_an_attempt(stack: Stack) -> None:
    async with stack.engine(Patient):
        record = await (await Patient.start(Trip("Rome"))).result(timeout=SOON)
    assert record.output(Patient.ask) == 3


class Slow(Saga[Trip]):
    keys: ClassVar[list[tuple[str, str]]] = []

    @step(compensate="undo", timeout=timedelta(milliseconds=50), retry=Retry(attempts=1))
    async def hang(self, trip: Trip) -> None:
        self.keys.append((self.idempotency_key, self.step_key))
        await asyncio.sleep(60)

    async def undo(self, trip: Trip) -> None:
        self.keys.append((self.idempotency_key, self.step_key))
        assert self.outcome == "unknown"


async def test_a_timeout_makes_a_step_unknown_and_its_compensation_finds_it_by_its_key(stack: Stack) -> None:
    Slow.keys.clear()
    async with stack.engine(Slow):
        record = await (await Slow.start(Trip("Rome"), id="t-1")).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["hang"].error is not None
    assert record.steps["hang"].error.type == "builtins.TimeoutError"
    assert Slow.keys == [("t-1/hang", "t-1/hang"), ("t-1/hang/undo", "t-1/hang")]


async def test_an_id_names_one_saga_for_ever(stack: Stack, log: Log, saga: Callable[[], TripSaga]) -> None:
    async with stack.engine(saga, Slow):
        first = await TripSaga.start(Trip("Rome"), id="t-1")
        await first.result(timeout=SOON)
        again = await TripSaga.start(Trip("Rome"), id="t-1")
        assert (await again.result(timeout=SOON)).id == "t-1"
        with pytest.raises(SagaExists, match="with another context"):
            await TripSaga.start(Trip("Oslo"), id="t-1")
        with pytest.raises(SagaExists, match="as a TripSaga"):
            await Slow.start(Trip("Rome"), id="t-1")
    assert log.lines.count("flight") == 1


async def test_an_unknown_saga_is_not_found(stack: Stack, saga: Callable[[], TripSaga]) -> None:
    async with stack.engine(saga) as engine:
        with pytest.raises(SagaNotFound, match="'nobody'"):
            await engine.get("nobody")
        with pytest.raises(SagaNotFound):
            await engine.handle(TripSaga, "nobody").wait()
        with pytest.raises(SagaNotFound):
            await engine.compensate("nobody")


async def test_a_hundred_sagas_run_at_once(stack: Stack, log: Log, saga: Callable[[], TripSaga]) -> None:
    async with stack.engine(saga) as engine:
        handles = [await TripSaga.start(Trip(f"town {n}")) for n in range(100)]
        records = await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
        assert all(record.is_completed for record in records)
        assert (await engine.list_active()).sagas == ()
    assert len(log.lines) == 400
