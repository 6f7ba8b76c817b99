"""One message a saga; its steps are done one after another where it arrives, with one update each."""

from __future__ import annotations

from benchmarks.bare.ground import Ground, completion, handler, insert_alone, main


class InPlace:
    """One ``find_one_and_update`` a step, on the saga's revision."""

    async def start(self, ground: Ground, saga_id: str) -> None:
        await ground.publish(saga_id)

    async def insert(self, ground: Ground, saga_id: str) -> None:
        await insert_alone(ground, saga_id)

    async def react(self, ground: Ground, text: str) -> None:
        revision = 0
        for group in ground.steps:
            for step in group:
                output = await handler(text, step)
                found = await ground.sagas.find_one_and_update(
                    {"_id": text, "revision": revision}, completion(ground, step, output), projection={"_id": 1}
                )
                if found is None:
                    raise AssertionError(f"saga {text} is not at revision {revision}")
                revision += 1
        ground.ended(text)


if __name__ == "__main__":
    main(InPlace())
