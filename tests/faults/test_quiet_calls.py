"""Calls that wait for MongoDB to come back do not make the driver knock all the time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import AsyncMongoClient, MongoClient

from sagaflow import StoreUnavailable
from sagaflow.adapters import mongo_primary
from sagaflow.adapters.mongo import MongoStore

from .proxy import Proxy

_TIMEOUT = 1.0  # seconds that each call takes, then
_CALLERS = 20
_WATCHED = 6.0  # seconds


@asynccontextmanager
async def opened(kind: str, url: str, database: str) -> AsyncIterator[MongoStore]:
    """A store with clients of its own, or with those of somebody else, whose settings are the driver's defaults."""
    if kind == "url":
        store = MongoStore.from_url(url, timeout=_TIMEOUT)
        await store.open()
        yield store
        await store.close()
        return
    if kind == "motor":
        motor: AsyncIOMotorClient[Any] = AsyncIOMotorClient(url)
        store = MongoStore(motor, database, timeout=_TIMEOUT)
        await store.open()
        yield store
        await asyncio.to_thread(motor.close)  # it talks to the server, by way of the proxy in this loop
        return
    async with AsyncMongoClient[Any](url) as client:
        heart_client = MongoClient[Any](url, connect=False)
        store = MongoStore(client, database, heart_client=heart_client, timeout=_TIMEOUT)
        await store.open()
        yield store
        await asyncio.to_thread(heart_client.close)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["url", "pymongo", "motor"])
async def test_those_who_ask_again_and_again_cause_few_connections_once_the_loss_is_old(
    kind: str, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_primary, "_FRESH", _TIMEOUT)
    parts = urlsplit(mongo_url)
    assert parts.port is not None
    async with Proxy(parts.port) as way, opened(kind, _url(way, parts.path), parts.path[1:]) as store:
        _ = await asyncio.to_thread(store.heart().beat, "one")
        way.refuse()
        async with asyncio.TaskGroup() as group:
            enough = asyncio.Event()
            for _ in range(_CALLERS):
                _ = group.create_task(_ask(store, enough))
            _ = group.create_task(_beat(store, enough))
            await asyncio.sleep(4 * _TIMEOUT)
            before = way.asked
            await asyncio.sleep(_WATCHED)
            asked = way.asked - before
            enough.set()
        assert asked < _WATCHED
        way.accept()
        async with asyncio.timeout(20):
            while not await _answers(store):
                pass


def _url(way: Proxy, path: str) -> str:
    return f"mongodb://127.0.0.1:{way.port}{path}?directConnection=true"


async def _ask(store: MongoStore, enough: asyncio.Event) -> None:
    while not enough.is_set():
        with suppress(StoreUnavailable):
            await store.load(["one"])
        await asyncio.sleep(0.05)


async def _beat(store: MongoStore, enough: asyncio.Event) -> None:
    heart = store.heart()
    while not enough.is_set():
        with suppress(StoreUnavailable):
            await asyncio.to_thread(heart.beat, "one")
        await asyncio.sleep(0.05)


async def _answers(store: MongoStore) -> bool:
    with suppress(StoreUnavailable):
        return await store.load(["one"]) == {}
    return False
