"""One message a saga, and one update a step; updates of different sagas go to the server together.

While one ``bulk_write`` is under way, what comes in the meantime waits and makes up the next one. Each update is a
compare-and-set on its saga's revision; that all of them matched is asserted, since nobody competes here.
"""

from __future__ import annotations

import asyncio

from pymongo import InsertOne, UpdateOne

from benchmarks.bare.ground import Document, Ground, completion, handler, main, new_saga

Write = InsertOne[Document] | UpdateOne


class Coalesced:
    """A ``bulk_write`` for all that is ready."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Write, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def start(self, ground: Ground, saga_id: str) -> None:
        await ground.publish(saga_id)

    async def insert(self, ground: Ground, saga_id: str) -> None:
        await self._written(ground, InsertOne(new_saga(saga_id)))

    async def react(self, ground: Ground, text: str) -> None:
        revision = 0
        for group in ground.steps:
            for step in group:
                output = await handler(text, step)
                condition = {"_id": text, "revision": revision}
                await self._written(ground, UpdateOne(condition, completion(ground, step, output)))
                revision += 1
        ground.ended(text)

    async def _written(self, ground: Ground, write: Write) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((write, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(ground))
        await done

    async def _write_all(self, ground: Ground) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            result = await ground.sagas.bulk_write([write for write, _ in batch], ordered=False)
            if result.matched_count + result.inserted_count != len(batch):
                raise AssertionError(f"of {len(batch)} writes some did not match: {result.bulk_api_result}")
            for _, done in batch:
                done.set_result(None)
        self._writing = None


if __name__ == "__main__":
    main(Coalesced())
