"""A message and one update for each step."""

from __future__ import annotations

from pymongo import ReturnDocument

from benchmarks.bare.claims import begin, go_on
from benchmarks.bare.ground import Ground, completion, handler, insert_alone, main


class Updates:
    """One ``find_one_and_update`` a step."""

    async def start(self, ground: Ground, saga_id: str) -> None:
        await begin(ground, saga_id, 0)

    async def insert(self, ground: Ground, saga_id: str) -> None:
        await insert_alone(ground, saga_id)

    async def react(self, ground: Ground, text: str) -> None:
        saga_id, _, step = text.partition(":")
        output = await handler(saga_id, step)
        done = await ground.sagas.find_one_and_update(
            {"_id": saga_id, "done": {"$ne": step}},
            completion(ground, step, output),
            projection={"done": 1},
            return_document=ReturnDocument.AFTER,
        )
        await go_on(ground, saga_id, done)


if __name__ == "__main__":
    main(Updates())
