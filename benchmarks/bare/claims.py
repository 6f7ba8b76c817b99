"""A message, a claim and a completion for each step: six updates and three messages for three steps."""

from __future__ import annotations

from pymongo import ReturnDocument

from benchmarks.bare.ground import Document, Ground, completion, handler, insert_alone, main


class Claims:
    """Two ``find_one_and_update`` a step."""

    async def start(self, ground: Ground, saga_id: str) -> None:
        await begin(ground, saga_id, 0)

    async def insert(self, ground: Ground, saga_id: str) -> None:
        await insert_alone(ground, saga_id)

    async def react(self, ground: Ground, text: str) -> None:
        saga_id, _, step = text.partition(":")
        mine = f"claims.{step}"
        claimed = await ground.sagas.find_one_and_update(
            {"_id": saga_id, mine: {"$exists": False}},
            {"$inc": {"revision": 1}, "$set": {mine: "worker-1"}},
            projection={"_id": 1},
        )
        if claimed is None:
            raise AssertionError(f"somebody else has claimed {text}")
        output = await handler(saga_id, step)
        done = await ground.sagas.find_one_and_update(
            {"_id": saga_id, mine: "worker-1", "done": {"$ne": step}},
            completion(ground, step, output),
            projection={"done": 1},
            return_document=ReturnDocument.AFTER,
        )
        await go_on(ground, saga_id, done)


async def begin(ground: Ground, saga_id: str, group: int) -> None:
    """A message for each step of the group."""
    for step in ground.steps[group]:
        await ground.publish(f"{saga_id}:{step}")


async def go_on(ground: Ground, saga_id: str, saga: Document | None) -> None:
    """Begin what comes next, by the document after a completion: of two side by side the second sees both done.

    Raises:
        AssertionError: there is no document, for the completion did not match.
    """
    if saga is None:
        raise AssertionError(f"a step of saga {saga_id} was done already")
    finished = 0
    for number, group in enumerate(ground.steps):
        finished += len(group)
        if finished == len(saga["done"]):
            if number + 1 == len(ground.steps):
                ground.ended(saga_id)
            else:
                await begin(ground, saga_id, number + 1)


if __name__ == "__main__":
    main(Claims())
