"""Whoever gives up waiting for MongoDB takes nothing from the others."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import urlsplit

from sagaflow.adapters.mongo import MongoStore

from .proxy import Proxy


async def test_callers_that_are_cancelled_while_no_server_is_there_leave_a_store_that_works(mongo_url: str) -> None:
    parts = urlsplit(mongo_url)
    assert parts.port is not None
    async with Proxy(parts.port) as way:
        store = MongoStore.from_url(f"mongodb://127.0.0.1:{way.port}{parts.path}?directConnection=true&timeoutMS=4000")
        await store.open()
        way.refuse()
        # In half a second the driver has looked for a server, and each looks again: that is when it can be hurt.
        calls = [asyncio.create_task(store.load(["one"])) for _ in range(100)]
        for call in calls:
            asyncio.get_running_loop().call_later(random.uniform(0.5, 2.5), call.cancel)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
        way.accept()
        async with asyncio.timeout(20):
            assert await store.load(["one"]) == {}
            await store.close()
