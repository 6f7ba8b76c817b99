"""What an engine offers beside running sagas: queues, lists, health, signals, clear errors."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from sagaflow import (
    Abort,
    ConfigurationError,
    Engine,
    NoEngine,
    PayloadError,
    PayloadTooLarge,
    Retry,
    Saga,
    SagaStatus,
    Settings,
    StepStatus,
    step,
)
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.ports import Stored

from .stacks import QUICK, Stack, connected

SOON = timedelta(seconds=20)


@dataclass
class Split(Saga[str], name="split", queue="shop"):
    """Its second step runs elsewhere."""

    where: str

    @step(compensate="unorder")
    async def order(self, text: str) -> str:
        return self.where

    async def unorder(self, text: str) -> None: ...

    @step(queue="payments", compensate="unpay")
    async def pay(self, text: str) -> str:
        return self.where

    async def unpay(self, text: str) -> None: ...

    @step
    async def ship(self, text: str, pay: str) -> str:
        if text == "bad":
            raise Abort("no ship")
        return self.where


class Other(Saga[str]):
    @step
    async def only(self, text: str) -> str:
        return text


async def test_each_step_runs_where_its_queue_is_served(stack: Stack) -> None:
    async with (
        stack.engine(partial(Split, "shop"), queues=["shop"]) as engine,
        stack.engine(partial(Split, "bank"), queues=["payments"]),
    ):
        record = await (await engine.start(Split, "good")).result(timeout=SOON)
        assert record.outputs == {"order": "shop", "pay": "bank", "ship": "shop"}
        undone = await (await engine.start(Split, "bad")).wait(timeout=SOON)
    assert undone.is_compensated


async def test_steps_and_compensations_may_be_worked_on_by_separate_engines(stack: Stack) -> None:
    async with (
        stack.engine(partial(Split, "x"), work="steps"),
        stack.engine(partial(Split, "x"), work="compensations"),
        stack.engine(partial(Split, "x"), work="none") as engine,
    ):
        record = await (await engine.start(Split, "bad")).wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["pay"].status is StepStatus.COMPENSATED


async def test_a_saga_started_elsewhere_is_seen_to_end_from_anywhere(stack: Stack) -> None:
    async with stack.engine(Other, work="none") as starter, stack.engine(Other):
        handle = await starter.start(Other, "x")
        statuses = [record.status async for record in handle.changes()]
        assert statuses[-1] is SagaStatus.COMPLETED
        assert await handle.status() is SagaStatus.COMPLETED


async def test_a_saga_started_for_later_begins_when_its_time_has_come(stack: Stack) -> None:
    async with stack.engine(Other) as engine:
        at = datetime.now(UTC) + timedelta(seconds=1)
        handle = await engine.start(Other, "x", at=at)
        assert await handle.status() is SagaStatus.SCHEDULED
        record = await handle.result(timeout=SOON)
        begun = record.steps["only"].executed_at
        assert begun is not None
        assert begun >= at - timedelta(milliseconds=50)
        never = await engine.start(Other, "x", at=at + timedelta(hours=1))
        assert (await never.cancel()).is_accepted
        assert (await never.wait(timeout=SOON)).is_compensated


async def test_a_wait_that_takes_too_long_ends_and_the_saga_goes_on(stack: Stack) -> None:
    async with stack.engine(Other, work="none") as engine:
        handle = await engine.start(Other, "x")
        with pytest.raises(TimeoutError):
            await handle.result(timeout=timedelta(milliseconds=50))
        assert await handle.status() is SagaStatus.STARTED


async def test_whoever_waits_hears_that_the_engine_is_closed(stack: Stack) -> None:
    async with stack.engine(Other, work="none") as engine:
        handle = await engine.start(Other, "x")
        waiter = asyncio.create_task(handle.wait())
        await asyncio.sleep(0.1)
    with pytest.raises(NoEngine, match="closed while somebody waited"):
        await waiter


async def test_lists_are_filtered_and_paged_newest_first(stack: Stack) -> None:
    async with stack.engine(Other, partial(Split, "x"), queues=["default"]) as engine:
        ended = [await engine.start(Other, f"{n}") for n in range(5)]
        await asyncio.gather(*(handle.result(timeout=SOON) for handle in ended))
        active = await engine.start(Split, "x")
        assert [record.id for record in (await engine.list_active()).sagas] == [active.id]
        assert [record.id for record in (await engine.list(saga=Split)).sagas] == [active.id]
        first = await engine.list(saga="Other", statuses=["completed"], limit=3)
        second = await engine.list(saga="Other", statuses=["completed"], limit=3, cursor=first.cursor)
        assert [record.context for record in first.sagas + second.sagas] == ["4", "3", "2", "1", "0"]
        assert second.cursor is None
        with pytest.raises(ValueError, match="'nonsense'"):
            await engine.list(statuses=["nonsense"])


async def test_an_engine_is_healthy_while_it_works(stack: Stack) -> None:
    async with stack.engine(Other) as engine:
        await (await engine.start(Other, "x")).result(timeout=SOON)
        await connected(engine)
        health = engine.health
        assert health.ok
        assert health.failures == ()
        assert health.in_flight == 0
    assert not engine.health.ok


class Picky(Saga[int]):
    @step(compensate="undo", retry=Retry(attempts=1))
    async def grow(self, size: int) -> Any:
        if size < 0:
            return object()
        return "x" * size

    async def undo(self, size: int) -> None:
        assert self.outcome == "unknown"


async def test_an_output_that_cannot_be_kept_is_not_retried_and_is_undone(stack: Stack) -> None:
    async with stack.engine(Picky):
        large = await (await Picky.start(300_000)).wait(timeout=SOON)
        strange = await (await Picky.start(-1)).wait(timeout=SOON)
    for record, kind in ((large, "PayloadTooLarge"), (strange, "PayloadError")):
        assert record.is_compensated
        assert record.steps["grow"].attempts == 1
        assert record.steps["grow"].error is not None
        assert record.steps["grow"].error.type == f"sagaflow.errors.{kind}"


class Hoarder(Saga[int]):
    @step(parallel="both", compensate="undo")
    async def one(self, size: int) -> str:
        return "x" * size

    @step(parallel="both", compensate="undo")
    async def two(self, size: int) -> str:
        return "y" * size

    async def undo(self, size: int) -> None: ...


async def test_a_document_is_never_filled_so_far_that_it_could_not_be_undone(stack: Stack) -> None:
    small = Settings(document_limit=80_000, beat_every=QUICK.beat_every, death_after=QUICK.death_after)
    async with stack.engine(Hoarder, settings=small):
        record = await (await Hoarder.start(9_000)).wait(timeout=SOON)
    assert record.is_compensated
    assert {record.steps[name].reason for name in ("one", "two")} == {None, "unrecordable"}


async def test_a_bad_context_or_id_is_refused_and_nothing_is_started(stack: Stack) -> None:
    async with stack.engine(Other) as engine:
        with pytest.raises(PayloadError):
            await Other.start(7)  # type: ignore[arg-type]  # that it is refused is the point
        with pytest.raises(PayloadTooLarge, match="300,002 characters"):
            await Other.start("x" * 300_000)
        bad_ids: list[Any] = ["", "x" * 201, "a\nb", 7, {"$ne": None}]
        for bad in bad_ids:
            with pytest.raises(ValueError, match="is no id of a saga"):
                await Other.start("x", id=bad)
        with pytest.raises(ValueError, match="which time zone"):
            await Other.start("x", at=datetime(2026, 1, 1))  # noqa: DTZ001  # likewise
        assert (await engine.list()).sagas == ()


async def test_a_saga_that_the_engine_does_not_have_is_refused_with_the_remedy() -> None:
    async with Engine([Other], store="memory://", broker="memory://") as engine:
        with pytest.raises(NoEngine, match=r"Engine\(sagas=\[Split"):
            await engine.start(Split, "x")
        with pytest.raises(ConfigurationError, match="opened once"):
            await engine.open()
    with pytest.raises(NoEngine, match="not open"):
        await engine.start(Other, "x")


def test_wrong_arguments_of_an_engine_are_refused_with_the_remedy() -> None:
    class Twin(Saga[str], name="Other"):
        @step
        async def only(self, text: str) -> str:
            return text

    with pytest.raises(ConfigurationError, match="two sagas are called 'Other'"):
        Engine([Other, Twin], store="memory://")
    with pytest.raises(ConfigurationError, match="no step of these sagas is on that queue"):
        Engine([Other], store="memory://", queues=["nowhere"])
    with pytest.raises(ConfigurationError, match="write one of 'all'"):
        Engine([Other], store="memory://", work="everything")  # type: ignore[arg-type]  # that is the point
    shared = Other()
    with pytest.raises(TypeError, match="the same instance each time"):
        Engine([lambda: shared], store="memory://")
    with pytest.raises(TypeError, match="neither a saga class nor a factory"):
        Engine([object], store="memory://")  # type: ignore[list-item]  # likewise


async def test_run_works_until_sigterm_and_drains(stack: Stack) -> None:
    engine = stack.make([Other])
    running = asyncio.create_task(engine.run())
    async with stack.engine(Other, work="none") as starter:
        await (await starter.start(Other, "x")).result(timeout=SOON)
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    assert engine.loop is None


class Unreadable(MemoryStore):
    """A store in which one saga cannot be read, as if a later version had written it."""

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        if "poison" in saga_ids:
            raise ConfigurationError("the store holds a saga in form 99")
        return await super().load(saga_ids)


async def test_a_saga_that_cannot_be_read_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    store = Unreadable()
    async with Engine([Other], store=store, broker="memory://", work="none") as starter:
        await starter.start(Other, "x", id="poison")
        others = [await starter.start(Other, "x", id=f"good-{n}") for n in range(3)]
        # Its broker is its own: the other engine finds all four of them together, by sweeping.
        async with Engine([Other], store=store, broker="memory://", settings=QUICK) as engine:
            for handle in others:
                await handle.result(timeout=SOON)
            assert engine.health.ok
    assert "poison" in caplog.text


class Secretive(Saga[str]):
    @step(retry=Retry(attempts=1))
    async def leak(self, secret: str) -> None:
        raise RuntimeError(f"cannot handle {secret}")


async def test_logs_name_saga_step_and_attempt_and_never_a_payload(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sagaflow")
    async with stack.engine(Secretive):
        await (await Secretive.start("canary-4711", id="s-1")).wait(timeout=SOON)
    mine = [record for record in caplog.records if getattr(record, "step", None) == "leak"]
    assert mine
    assert {(record.__dict__["saga_id"], record.__dict__["saga"], record.__dict__["attempt"]) for record in mine} == {
        ("s-1", "Secretive", 1)
    }
    assert "canary-4711" not in caplog.text
