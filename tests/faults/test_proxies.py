"""The proxies themselves: what they carry, and what they do to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import AsyncMongoClient, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from tests.servers.ports import LOOPBACK

from .lost_replies import LostReplies
from .proxy import Proxy

SECONDS = 0.3  # in which nothing comes


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1_000):
            writer.write(data)
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_what_was_held_up_comes_when_the_way_is_free_again(echo: int) -> None:
    async with Proxy(echo) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        proxy.stall()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(4), SECONDS)
        proxy.flow()
        assert await reader.readexactly(4) == b"late"
        writer.close()


async def test_a_cut_ends_the_connections_there_are_and_takes_new_ones(echo: int) -> None:
    async with Proxy(echo) as proxy:
        for _ in range(2):
            reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
            writer.write(b"there")
            assert await reader.readexactly(5) == b"there"
            assert proxy.cut() == 1
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()


async def test_a_server_that_is_away_is_asked_and_the_asking_is_counted(echo: int) -> None:
    async with Proxy(echo) as proxy:
        proxy.refuse()
        for _ in range(3):
            reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        assert proxy.asked == 3


@asynccontextmanager
async def things_by(thief: LostReplies, mongo_url: str, *, timeout: float) -> AsyncIterator[AsyncCollection[Any]]:
    database = urlsplit(mongo_url).path
    url = f"mongodb://{LOOPBACK}:{thief.port}{database}?directConnection=true&timeoutMS={timeout * 1000:.0f}"
    async with thief, AsyncMongoClient[Any](url) as client:
        yield client.get_default_database()[thief.collection]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_write_that_took_effect_loses_its_reply_as_often_as_told(mongo_url: str, times: int) -> None:
    thief = LostReplies(port_of(mongo_url), every=2, times=times, collection="things")
    async with things_by(thief, mongo_url, timeout=10.0) as things:
        await things.insert_one({"_id": 1})
        await things.update_one({"_id": 1}, {"$inc": {"count": 1}})
        assert await things.find_one() == {"_id": 1, "count": 1}
    assert (thief.took_effect, thief.chosen, thief.lost) == (2, 1, times)
    assert (thief.sent_again, thief.unsettled) == (1, 0)


async def test_a_reply_that_never_comes_leaves_a_write_that_nobody_knows_of(mongo_url: str) -> None:
    thief = LostReplies(port_of(mongo_url), every=1, how="silence", collection="things")
    async with things_by(thief, mongo_url, timeout=1.0) as things:
        with pytest.raises(PyMongoError):
            await things.find_one_and_update({"_id": 1}, {"$set": {"there": True}}, upsert=True)
        assert await things.find_one() == {"_id": 1, "there": True}
    assert (thief.chosen, thief.unsettled) == (1, 1)


async def test_a_batch_is_one_write_with_many_changes(mongo_url: str) -> None:
    thief = LostReplies(port_of(mongo_url), every=0, collection="things")
    async with things_by(thief, mongo_url, timeout=10.0) as things:
        await things.insert_many([{"_id": 1}, {"_id": 2}])
        await things.bulk_write([UpdateOne({"_id": n}, {"$set": {"there": True}}) for n in (1, 2, 3)], ordered=False)
    assert (thief.took_effect, thief.changes) == (2, 4)


async def test_a_write_that_changes_nothing_keeps_its_reply(mongo_url: str) -> None:
    thief = LostReplies(port_of(mongo_url), every=1, collection="things")
    async with things_by(thief, mongo_url, timeout=10.0) as things:
        assert await things.find_one_and_update({"_id": 1}, {"$set": {"there": True}}) is None
    assert (thief.took_effect, thief.lost) == (0, 0)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
