"""Sagas that have ended are forgotten when their time has come, and not before everybody who needs them has ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sagaflow import Abort, Engine, Retry, Saga, SagaExists, SagaHandle, SagaNotFound, step
from tests.polling import until

from .stacks import QUICK, Stack

SOON = timedelta(seconds=20)
MOMENT = timedelta(milliseconds=300)
BRIEF = replace(QUICK, keep_completed=MOMENT, keep_compensated=MOMENT, keep_failed=MOMENT)


class Shelf(Saga[str], lock=lambda text: text):
    @step(compensate="unput", compensation_retry=Retry(attempts=1))
    async def put(self, text: str) -> str:
        return text

    async def unput(self, text: str) -> None:
        if text == "stuck":
            raise Abort("stuck")

    @step
    async def close(self, text: str) -> None:
        if text != "good":
            raise Abort("it does not close")


class Note(Saga[str]):
    """Ends as its context says: completed, compensated or failed."""

    @step(compensate="unput", compensation_retry=Retry(attempts=1))
    async def put(self, text: str) -> str:
        return text

    async def unput(self, text: str) -> None:
        if text == "failed":
            raise Abort("stuck")

    @step
    async def close(self, text: str) -> None:
        if text != "completed":
            raise Abort("it does not close")


class Outer(Saga[str]):
    @step(saga=Note)
    async def note(self, text: str) -> str:
        return text


async def exists(engine: Engine, saga_id: str) -> bool:
    try:
        await engine.get(saga_id)
    except SagaNotFound:
        return False
    return True


def is_gone(engine: Engine, saga_id: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return not await exists(engine, saga_id)

    return look


async def ended(engine: Engine, text: str, saga_id: str | None = None) -> SagaHandle[str]:
    handle = await engine.start(Note, text, id=saga_id)
    record = await handle.wait(timeout=SOON)
    assert record.status == text
    return handle


@pytest.mark.parametrize("status", ["completed", "compensated", "failed"])
async def test_sagas_are_kept_as_long_as_the_settings_say_for_their_end(stack: Stack, status: str) -> None:
    given: dict[str, Any] = {f"keep_{status}": MOMENT}
    keep = replace(QUICK, **given)
    async with stack.engine(Note, settings=keep) as engine:
        others = [text for text in ("completed", "compensated", "failed") if text != status]
        kept = [await ended(engine, text) for text in others]
        gone = await engine.start(Note, status)
        await until(is_gone(engine, gone.id))
        records = [await handle.record() for handle in kept]
    assert [record.status for record in records] == others
    assert [record.expires_at for record in records] == [None, None]


async def test_a_generated_id_vanishes_wholly_and_a_given_one_leaves_word_that_it_was_used(stack: Stack) -> None:
    async with stack.engine(Note, settings=BRIEF) as engine:
        named = await engine.start(Note, "completed", id="o-1")
        unnamed = await engine.start(Note, "completed")
        await until(is_gone(engine, named.id))
        await until(is_gone(engine, unnamed.id))
        with pytest.raises(SagaExists, match="existed, as a Note that ended as completed"):
            await engine.start(Note, "completed", id="o-1")
        again = await engine.start(Note, "completed", id=unnamed.id)
        assert (await again.record()).id == unnamed.id
        assert "o-1" not in {record.id for record in (await engine.list()).sagas}


async def test_a_given_id_can_be_used_again_once_it_need_not_be_remembered_any_more(stack: Stack) -> None:
    async with stack.engine(Note, settings=replace(BRIEF, keep_ids=MOMENT)) as engine:
        first = await (await engine.start(Note, "completed", id="o-1")).result(timeout=SOON)

        async def is_new() -> bool:
            try:
                handle = await engine.start(Note, "completed", id="o-1")
                return (await handle.record()).created_at != first.created_at
            except (SagaExists, SagaNotFound):
                return False

        await until(is_new)


async def test_compensating_a_saga_in_time_keeps_it(stack: Stack) -> None:
    keep = replace(QUICK, keep_completed=timedelta(seconds=1.5))
    async with stack.engine(Note, settings=keep) as engine:
        other = await engine.start(Note, "completed")
        handle = await ended(engine, "completed")
        expires_at = (await handle.record()).expires_at
        assert expires_at is not None
        assert (await handle.compensate()).is_accepted
        record = await handle.wait(timeout=SOON)
        assert record.is_compensated
        assert record.expires_at is None
        await until(is_gone(engine, other.id))
        assert (await handle.record()).is_compensated


async def test_a_child_saga_is_kept_until_its_parent_is_forgotten_and_then_forgotten_too(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagaflow.engine.duties._LONGER", 1.0)
    async with stack.engine(Outer, Note, settings=BRIEF) as engine:
        alone = await engine.start(Note, "completed")
        parent = await engine.start(Outer, "completed")
        child_id = f"{parent.id}/note"
        await until(lambda: exists(engine, child_id))
        await until(is_gone(engine, alone.id))
        while await exists(engine, child_id):
            pass
        assert not await exists(engine, parent.id)


async def test_a_child_saga_outlives_its_own_settings_while_its_parent_is_kept(stack: Stack) -> None:
    keep = replace(BRIEF, keep_failed=None)
    async with stack.engine(Outer, Note, settings=keep) as engine:
        # The parent has failed and stays; its child, which has failed too, stays with it.
        parent = await engine.start(Outer, "failed")
        assert (await parent.wait(timeout=SOON)).is_failed
        other = await engine.start(Note, "completed")
        await until(is_gone(engine, other.id))
        child = await engine.get(f"{parent.id}/note")
    assert child.is_failed
    assert child.expires_at is None


async def test_a_saga_is_not_forgotten_while_it_stands_in_the_line_for_a_lock(stack: Stack) -> None:
    async with stack.engine(Shelf, Note, settings=BRIEF) as engine:
        stuck = await engine.start(Shelf, "stuck")
        assert (await stuck.wait(timeout=SOON)).is_failed
        other = await engine.start(Note, "failed")
        await until(is_gone(engine, other.id))
        record = await stuck.record()
        assert record.locks == ("stuck",)
        assert record.expires_at is None
        await engine.mark_compensated(stuck.id, Shelf.put, by="ada", reason="by hand")
        await until(is_gone(engine, stuck.id))
        # Nobody stands in the line any more: the next one need not wait.
        assert (await (await engine.start(Shelf, "stuck")).wait(timeout=SOON)).is_failed
