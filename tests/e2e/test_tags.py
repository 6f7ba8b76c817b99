"""Tags: sagas are found by them, and nothing else about a saga hangs on them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sagaflow import Abort, Engine, Saga, StepSpec, step

from .stacks import QUICK, Stack

SOON = timedelta(seconds=20)


class Parcel(Saga[str]):
    @step(compensate="unpack")
    async def pack(self, what: str) -> str:
        return f"a parcel with {what}"

    async def unpack(self, what: str, parcel: str | None) -> None: ...


class Sell(Saga[str]):
    @step(saga=Parcel)
    async def ship(self, what: str) -> str:
        return what

    @step
    async def bill(self, what: str) -> None:
        if what == "nothing":
            raise Abort("nobody pays for that")


class Actions(Saga[str], abstract=True):
    async def create(self, customer: str) -> str:
        return f"account of {customer}"


async def ids(engine: Engine, *tags: str, **filters: Any) -> list[str]:
    return sorted(saga.id for saga in (await engine.list(tags=tags, **filters)).sagas)


async def test_sagas_are_found_by_their_tags_from_their_start_until_after_their_end(stack: Stack) -> None:
    async with stack.engine(Sell, Parcel) as engine:
        sold = await Sell.start("a lamp", id="sold", tags=("vip", "channel:web", "vip"))
        undone = await engine.start(Sell, "nothing", id="undone", tags=["channel:web"])
        later = await Sell.start("a chair", id="later", tags={"vip"}, delay=timedelta(days=1))
        assert await ids(engine, "vip") == ["later", "sold"]
        assert (await later.record()).tags == ("vip",)
        assert (await sold.result(timeout=SOON)).tags == ("vip", "channel:web")
        assert (await undone.wait(timeout=SOON)).is_compensated
        assert await ids(engine, "channel:web") == ["sold", "undone"]
        assert await ids(engine, "channel:web", "vip") == ["sold"]
        assert await ids(engine, "channel:web", statuses=["compensated"]) == ["undone"]
        assert await ids(engine, "vip", saga=Parcel) == []
        assert await engine.check(pause=timedelta(0)) == []


async def test_a_child_saga_has_no_tags_of_its_parent(stack: Stack) -> None:
    async with stack.engine(Sell, Parcel) as engine:
        await (await Sell.start("a lamp", id="o-1", tags=["vip"])).result(timeout=SOON)
        assert (await engine.get("o-1/ship")).tags == ()
        assert await ids(engine, "vip") == ["o-1"]


async def test_a_start_that_is_repeated_with_other_tags_changes_none(stack: Stack) -> None:
    async with stack.engine(Sell, Parcel, work="none") as engine:
        await Sell.start("a lamp", id="o-1", tags=["first"])
        again = await Sell.start("a lamp", id="o-1", tags=["second"])
        assert (await again.record()).tags == ("first",)
        assert await ids(engine, "second") == []


async def test_sagas_made_of_data_have_tags_too(stack: Stack) -> None:
    store, broker = stack.store(), stack.broker()
    async with Engine(actions=[Actions], store=store, broker=broker, settings=QUICK) as engine:
        steps = [StepSpec(name="account", action="create")]
        handle = await engine.start_steps("provision", steps, "ada", id="p-1", tags=["trial"])
        assert (await handle.result(timeout=SOON)).tags == ("trial",)
        assert await ids(engine, "trial", saga="provision") == ["p-1"]


async def test_what_can_be_no_tag_starts_nothing_and_is_looked_for_nowhere() -> None:
    async with Engine([Sell, Parcel], actions=[Actions], store="memory://", broker="memory://") as engine:
        for tags in ("vip", ["very important"], ["a,b"], [""], map(str, range(17))):
            with pytest.raises(ValueError, match="tag"):
                await Sell.start("a lamp", id="o-1", tags=tags)
        with pytest.raises(ValueError, match="is no tag"):
            await engine.start_steps("provision", [StepSpec(name="a", action="create")], "ada", tags=["a b"])
        with pytest.raises(ValueError, match="is no tag"):
            await engine.list(tags=["very important"])
        assert (await engine.list()).sagas == ()
