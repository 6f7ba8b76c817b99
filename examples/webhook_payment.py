"""Wait for a payment: the saga asks, a webhook answers, and a deadline ends the wait.

Three orders: one is paid, one is refused, one is never paid in time; its money comes late, and is sent back.

Run it with ``python examples/webhook_payment.py``; it needs no server, and leaves no file behind.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from msgspec import Struct

from sagaflow import Engine, Saga, SagaHandle, step


class Order(Struct, frozen=True):
    """What is to be paid."""

    number: str
    cents: int


class Payment(Struct, frozen=True):
    """What the bank says in its webhook."""

    reference: str
    cents: int


class Webhook(Struct, frozen=True):
    """A request from the bank, as a web framework would hand it over."""

    event_id: str
    order: str
    payment: Payment | None = None
    refusal: str = ""


class Bank:
    """Stands for a service elsewhere, with a page on which customers pay."""

    async def open_page(self, order: Order, *, key: str) -> None:
        print(f"    the bank shows a page for {order.cents / 100:.2f}, {key}")

    async def close_page(self, *, key: str) -> None:
        print(f"    the bank closes the page {key}")

    async def send_back(self, payment: Payment) -> None:
        print(f"    the bank sends back {payment.reference}")


@dataclass
class OrderSaga(Saga[Order]):
    """Keep the goods, wait for the money, send the goods."""

    bank: Bank

    @step(compensate="put_back")
    async def put_aside(self, order: Order) -> str:
        return f"goods of {order.number}"

    async def put_back(self, order: Order, goods: str | None) -> None:
        print(f"    put back the {goods or 'goods, if any'}")

    @step(waits_for=Payment, deadline=timedelta(seconds=1), compensate="refund")
    async def pay(self, order: Order) -> None:
        await self.bank.open_page(order, key=self.idempotency_key)

    async def refund(self, order: Order, payment: Payment | None) -> None:
        if payment is None:  # nobody knows whether it is on its way; should it come, this is called again, with it
            await self.bank.close_page(key=self.step_key)
        else:
            await self.bank.send_back(payment)

    @step
    async def send(self, order: Order, put_aside: str, pay: Payment) -> str:
        return f"{put_aside} sent, paid by {pay.reference}"


async def on_webhook(engine: Engine, webhook: Webhook) -> str:
    """What a web handler does: hand the answer over. The bank repeats webhooks, so their ids tell which are one."""
    if webhook.payment is None:
        answer = await engine.fail_step(webhook.order, OrderSaga.pay, webhook.refusal, token=webhook.event_id)
    else:
        answer = await engine.complete_step(webhook.order, OrderSaga.pay, webhook.payment, token=webhook.event_id)
    return str(answer)


async def until_it_waits(handle: SagaHandle[Order]) -> None:
    """Return once the saga waits for the bank."""
    async for saga in handle.changes():
        if saga.waits_for:
            print(f"    {handle.id} waits for {saga.waits_for[0]}")
            return


async def main() -> None:
    """Play all three orders, with an engine that works in this process."""
    async with Engine(sagas=[partial(OrderSaga, Bank())], store="memory://", broker="memory://") as engine:
        print("1. An order that is paid; the bank says so twice")
        handle = await OrderSaga.start(Order("o-1", 9_900), id="o-1")
        await until_it_waits(handle)
        paid = Webhook("evt-1", "o-1", Payment("tx-1", 9_900))
        for _ in range(2):
            print(f"    webhook: {await on_webhook(engine, paid)}")
        saga = await handle.result()
        print(f"  {saga.status}: {saga.output(OrderSaga.send)}")

        print("2. An order whose card is refused")
        handle = await OrderSaga.start(Order("o-2", 5_000), id="o-2")
        await until_it_waits(handle)
        print(f"    webhook: {await on_webhook(engine, Webhook('evt-2', 'o-2', refusal='stolen card'))}")
        saga = await handle.wait()
        print(f"  {saga.status}: {saga.error.message if saga.error else saga.reason}")

        print("3. An order that is not paid in time, and the money that comes late")
        handle = await OrderSaga.start(Order("o-3", 700), id="o-3")
        saga = await handle.wait()
        print(f"  {saga.status}: {saga.reason}")
        print(f"    webhook: {await on_webhook(engine, Webhook('evt-3', 'o-3', Payment('tx-3', 700)))}")
        saga = await handle.wait()
        print(f"  {saga.status}: {saga.reason}; late: {saga.steps['pay'].late_outputs}")


if __name__ == "__main__":
    asyncio.run(main())
