"""Provision what a customer has ordered: the steps stand in a file, the actions in a class.

What a plan consists of is data (``configured.json``): it can be changed without a deployment, and is checked before
anything is started.

Run it with ``python examples/configured.py``; it needs no server, and leaves no file behind.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypedDict

import msgspec
from msgspec import Struct

from sagaflow import Abort, DefinitionError, Engine, Saga, SagaCompensated, StepSpec

FILE = Path(__file__).with_suffix(".json")


class Plans(Struct, frozen=True):
    """A basic plan, and what can be had besides; each a list of steps."""

    basic: list[StepSpec]
    extras: dict[str, list[StepSpec]]


class Configuration(Struct, frozen=True):
    """What the file holds."""

    name: str
    plans: Plans


class Resource(TypedDict):
    """What the steps of the file ask for."""

    kind: str
    size: int


@dataclass
class Cloud:
    """Stands for a service elsewhere, with only so much room."""

    room: int
    running: dict[str, Resource] = field(default_factory=dict[str, Resource])

    async def create(self, resource: Resource, *, key: str) -> str:
        if resource["size"] > self.room:
            raise Abort(f"no room for a {resource['kind']} of {resource['size']} GB")
        self.running.setdefault(key, resource)
        print(f"    + {resource['kind']} of {resource['size']} GB")
        return key

    async def drop(self, key: str) -> None:
        gone = self.running.pop(key, None)
        if gone is not None:
            print(f"    - {gone['kind']}")


@dataclass
class Actions(Saga[str], abstract=True):
    """What steps can do. No method is a step: those stand in the file, and name these."""

    cloud: Cloud

    async def create_account(self, customer: str) -> str:
        print(f"    + account of {customer}")
        return f"account of {customer}"

    async def close_account(self, customer: str, account: str | None) -> None:
        print(f"    - {account}")

    async def create(self, customer: str, wanted: Resource) -> str:
        return await self.cloud.create(wanted, key=self.idempotency_key)

    async def drop(self, customer: str, wanted: Resource, reference: str | None) -> None:
        await self.cloud.drop(reference or self.step_key)

    async def mail(self, customer: str, text: str, account: str) -> str:  # takes the output of the step "account"
        return f"to the {account}: {text}"


async def provision(engine: Engine, name: str, steps: list[StepSpec], customer: str) -> None:
    """Start a saga with these steps, and tell how it ends."""
    handle = await engine.start_steps(name, steps, customer, id=f"{name}-{customer}")
    try:
        saga = await handle.result()
        print(f"  {saga.status}: {', '.join(saga.steps)}")
        print(f"  {saga.outputs['greeting']}")
    except SagaCompensated as undone:
        error = undone.saga.error
        print(f"  {undone.saga.status}: {error.message if error else undone.saga.reason}")


async def main() -> None:
    """Read the file, and provision for three customers."""
    configured = msgspec.json.decode(FILE.read_bytes(), type=Configuration)
    basic, extras = configured.plans.basic, configured.plans.extras
    async with Engine(actions=[partial(Actions, Cloud(room=500))], store="memory://", broker="memory://") as engine:
        print("1. The basic plan")
        await provision(engine, configured.name, basic, "ada")
        print("2. With storage")
        await provision(engine, configured.name, [*basic, *extras["storage"]], "grace")
        print("3. With a cluster for which there is no room: all is taken back")
        await provision(engine, configured.name, [*basic, *extras["cluster"]], "edsger")
        print("4. A file with a mistake in it is refused before anything begins")
        disk = Resource(kind="disk", size=20)
        wrong = StepSpec(name="backup", action="creat", compensation="drop", input=disk, after="databse")
        try:
            await provision(engine, configured.name, [*basic, wrong], "alan")
        except DefinitionError as error:
            for fault in error.faults:
                print(f"    {fault.offender}: {fault.rule}. {fault.remedy}")


if __name__ == "__main__":
    asyncio.run(main())
