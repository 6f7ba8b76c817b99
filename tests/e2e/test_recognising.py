"""An output that comes twice is undone once, also when it is never written twice in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest

from sagaflow import Engine, Saga, StoreUnavailable, step
from sagaflow.adapters.encrypted_codec import EncryptedCodec
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.ports import Beat, Codec, Heart, Store

from .diaries import SOON, Diary
from .stacks import QUICK, Stack

KEY = EncryptedCodec.new_key()


class StoppedHeart:
    """A heart that reaches its store until it is stopped."""

    def __init__(self, heart: Heart, is_stopped: asyncio.Event) -> None:
        self._heart = heart
        self._is_stopped = is_stopped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._heart, name)

    def beat(self, worker: str) -> Beat:
        if self._is_stopped.is_set():
            raise StoreUnavailable("as if the network had lost it")
        return self._heart.beat(worker)


class Cut:
    """A store that a worker writes to though its heart is held to have stopped: so it becomes a zombie."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_stopped = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def heart(self) -> Heart:
        return cast("Heart", StoppedHeart(self._store.heart(), self.is_stopped))


@dataclass
class Charge(Saga[str]):
    """``finds``: what the service says each time that it is asked; of the first attempt it comes late."""

    diary: Diary
    finds: list[str]

    @step(compensate="refund")
    async def charge(self, customer: str) -> str:
        found = self.finds[min(self.attempt, len(self.finds)) - 1]
        if self.attempt == 1:
            await self.diary.gate()
        return found

    async def refund(self, customer: str, transaction: str | None) -> None:
        self.diary(f"refund {transaction}")


async def refunds(stack: Stack, diary: Diary, codec: Codec, *finds: str) -> list[str]:
    """What is refunded of a saga whose charge was begun by a worker that is taken for dead, and ended by another."""
    cut = Cut(stack.store())
    sagas: list[Callable[[], Saga[Any]]] = [lambda: Charge(diary, list(finds))]

    def engine(store: Store) -> Engine:
        return Engine(sagas, store=store, broker=stack.broker(), settings=QUICK, codec=codec)

    zombie = engine(cast("Store", cut))
    await zombie.open()
    await zombie.start(Charge, "ada", id="c-1")
    async with asyncio.timeout(SOON.total_seconds()):
        await diary.reached.wait()
    cut.is_stopped.set()
    async with engine(stack.store()) as other:
        handle = other.handle(Charge, "c-1")
        assert (await handle.result(timeout=SOON)).steps["charge"].attempts == 2
        diary.opened.set()
        await zombie.close()  # which records first what its handler returned
        await other.compensate("c-1")
        assert (await handle.wait(timeout=SOON)).is_compensated
    return diary.lines


@pytest.mark.parametrize("codec", [JsonCodec(), EncryptedCodec(JsonCodec(), [KEY])], ids=["plain", "encrypted"])
async def test_the_same_output_of_two_attempts_is_undone_once(stack: Stack, diary: Diary, codec: Codec) -> None:
    assert await refunds(stack, diary, codec, "tx-1") == ["refund tx-1"]


@pytest.mark.parametrize("codec", [JsonCodec(), EncryptedCodec(JsonCodec(), [KEY])], ids=["plain", "encrypted"])
async def test_another_output_of_an_attempt_that_was_given_up_is_undone_too(
    stack: Stack, diary: Diary, codec: Codec
) -> None:
    assert sorted(await refunds(stack, diary, codec, "tx-1", "tx-2")) == ["refund tx-1", "refund tx-2"]
