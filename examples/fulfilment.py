"""Fulfil orders past a point of no return, and let a person settle what no program can.

Two acts. In the first one the bank's reply is lost, and a probe finds out that the money was taken. In the second one
the bank cannot say: the saga fails, keeps its lock, and an operator resolves it.

Run it with ``python examples/fulfilment.py``; it needs no server, and leaves no file behind.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from msgspec import Struct

from sagaflow import Engine, Happened, NotHappened, Retry, Saga, SagaRecord, StillUnknown, step


class Order(Struct, frozen=True):
    """What is to be sent, to whom."""

    number: str
    customer: str
    cents: int
    gift: bool = False


class Address(Struct, frozen=True):
    """Where an order is to go instead."""

    number: str
    street: str


@dataclass
class Bank:
    """Stands for a service elsewhere that takes money once for each key, and whose replies can be lost."""

    taken: dict[str, int] = field(default_factory=dict[str, int])
    can_tell: bool = True

    async def capture(self, cents: int, *, key: str) -> str:
        self.taken[key] = cents
        await asyncio.sleep(10)  # the money is taken, but nobody hears of it
        return key

    async def find(self, key: str) -> str | None:
        if not self.can_tell:
            raise ConnectionError("the bank's search is down")
        return key if key in self.taken else None


@dataclass
class Fulfilment(Saga[Order], lock="order:{number}"):
    """Goods, perhaps a gift wrap, then the money: from there on there is no way back."""

    bank: Bank

    @step(compensate="release")
    async def reserve(self, order: Order) -> str:
        return f"goods for {order.customer}"

    async def release(self, order: Order, goods: str | None) -> None:
        print(f"    released {goods}")

    @step(when=lambda order: order.gift, compensate=None)  # nothing to undo: the paper is spent
    async def wrap(self, order: Order) -> str:
        return "red paper"

    @step(
        pivot=True,
        probe="find_capture",
        timeout=timedelta(milliseconds=150),
        compensation_retry=Retry(attempts=2, backoff=timedelta(milliseconds=50)),  # of the probe, too
    )
    async def capture(self, order: Order) -> str:
        return await self.bank.capture(order.cents, key=self.idempotency_key)

    async def find_capture(self, order: Order) -> Happened[str] | NotHappened | StillUnknown:
        reference = await self.bank.find(self.step_key)
        # Of a capture that is not there one cannot tell yet: it may still be on its way.
        return Happened(reference) if reference else StillUnknown(retry_after=timedelta(milliseconds=50))

    @step
    async def send(self, order: Order, reserve: str, wrap: str | None, capture: str) -> str:
        return f"{reserve}, {f'in {wrap}' if wrap else 'not wrapped'}, paid with {capture}"


class ChangeAddress(Saga[Address], lock="order:{number}"):
    """Must not come in between: it takes the same lock."""

    @step
    async def write(self, address: Address) -> str:
        return f"{address.number} goes to {address.street}"


def show(saga: SagaRecord[Order]) -> None:
    """Print where a saga stands, step by step."""
    for name, its in saga.steps.items():
        print(f"    {name:<8} {its.status}{f' ({its.reason})' if its.reason else ''}")


async def main() -> None:
    """Play both acts, in this process."""
    bank = Bank()
    async with Engine(
        sagas=[partial(Fulfilment, bank), ChangeAddress], store="memory://", broker="memory://"
    ) as engine:
        print("1. A gift; the bank's reply is lost, and the probe finds the money")
        gift = await (await Fulfilment.start(Order("o-1", "ada", 9_900, gift=True), id="o-1")).result()
        show(gift)
        print(f"  {gift.status}: {gift.output(Fulfilment.send)}")

        print("2. The bank cannot tell: the saga fails, and keeps its lock")
        bank.can_tell = False
        failed = await (await Fulfilment.start(Order("o-2", "grace", 500), id="o-2")).wait()
        show(failed)
        print(f"  {failed.status}: {failed.reason}")
        print(f"  {await engine.compensate('o-2')}")
        change = await ChangeAddress.start(Address("o-2", "Elm Street"), id="a-2")
        async for waiting in change.changes():
            if any("held by" in what for what in waiting.waits_for):
                print(f"  {change.id} waits for {waiting.waits_for[0]}")
                break

        key = failed.steps["capture"].id
        print(f"  grace calls the bank and asks for {key}: the money is there")
        by = "grace@example.org"
        print(f"  {await engine.resolve('o-2', Fulfilment.capture, Happened(key), by=by, reason='called the bank')}")
        settled = await engine.handle(Fulfilment, "o-2").result()
        print(f"  {settled.status}: {settled.output(Fulfilment.send)}")
        print(f"  {(await change.result()).output(ChangeAddress.write)}")
        for act in settled.acts:
            print(f"  in the record: {act.what}, {act.step}, by {act.by}: {act.reason}")


if __name__ == "__main__":
    asyncio.run(main())
