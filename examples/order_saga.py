"""Sell an order, or leave nothing behind. Three acts: one that goes well, one that is undone, one that is survived.

Run it with ``python examples/order_saga.py``; it needs no server, and leaves no file behind.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from asyncio.subprocess import Process, create_subprocess_exec
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic

from shop import CardDeclined, Order, Payment, Reservation, Shop

from sagaflow import Abort, Engine, Retry, Saga, SagaCompensated, SagaHandle, StepStatus, step


@dataclass
class OrderSaga(Saga[Order], deadline=timedelta(hours=1)):
    """Sell one order: everything happens, or nothing remains."""

    shop: Shop

    @step(compensate="cancel_order")
    async def create_order(self, order: Order) -> str:
        return await self.shop.create(order, key=self.idempotency_key)

    async def cancel_order(self, order: Order, order_ref: str | None) -> None:
        await self.shop.cancel(order_ref or self.step_key)

    @step(compensate="release", parallel="checks", retry=Retry(attempts=5))
    async def reserve(self, order: Order) -> Reservation:
        return await self.shop.reserve(order, key=self.idempotency_key)

    async def release(self, order: Order, reservation: Reservation | None) -> None:
        await self.shop.release(reservation.reservation_id if reservation else self.step_key)

    @step(parallel="checks")
    async def check_customer(self, order: Order) -> None:
        if not order.customer:
            raise Abort("nobody to sell to")

    @step(compensate="refund", timeout=timedelta(seconds=30), abort_on=(CardDeclined,))
    async def charge(self, order: Order, reserve: Reservation) -> Payment:
        if order.customer == "edsger" and self.attempt == 1:
            await asyncio.sleep(20)  # a slow bank, so that there is time to pull the plug
        return await self.shop.charge(order, key=self.idempotency_key)

    async def refund(self, order: Order, payment: Payment | None) -> None:
        await self.shop.refund(payment.transaction_id if payment else self.step_key)


async def follow(handle: SagaHandle[Order]) -> None:
    """Print what happens to a saga, as it happens."""
    seen: dict[str, str] = {}
    async for record in handle.changes():
        for name, its in record.steps.items():
            if its.status is not StepStatus.PENDING and seen.get(name) != its.status:
                seen[name] = its.status
                again = f" (attempt {its.attempts})" if its.attempts > 1 else ""
                print(f"    {name:<15} {its.status}{again}")


async def sell(shop: Shop, order: Order) -> None:
    """Start one order, and tell how it ends."""
    handle = await OrderSaga.start(order, id=order.order_id)
    await follow(handle)
    try:
        saga = await handle.result()
        print(f"  {saga.status}: {saga.output(OrderSaga.charge).transaction_id}")
    except SagaCompensated as undone:
        print(f"  {undone}")
    print(f"  in the books: {', '.join(shop.entries(order.order_id)) or 'nothing'}\n")


async def embedded(folder: Path) -> None:
    """Two orders, all in this process."""
    shop = Shop(folder / "books.db")
    async with Engine(sagas=[partial(OrderSaga, shop)], store=f"sqlite:///{folder}/sagas.db"):
        print("1. An order that goes well")
        await sell(shop, Order("o-1", "ada", 9_900))
        print("2. An order whose payment is declined: what was done is undone, in reverse")
        await sell(shop, Order("o-2", "grace", 990_000))


async def worker(folder: Path) -> None:
    """Work until told to stop: what each of the two worker processes does."""
    await Engine(sagas=[partial(OrderSaga, Shop(folder / "books.db"))], store=f"sqlite:///{folder}/sagas.db").run()


async def start_worker(folder: Path, stack: AsyncExitStack) -> Process:
    """Start a process that works, until the stack ends it."""
    process = await create_subprocess_exec(sys.executable, __file__, "worker", str(folder))

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
            await process.wait()

    stack.push_async_callback(end)
    return process


async def killed(folder: Path) -> None:
    """One order, whose worker is killed in the middle of a step; another process goes on with it."""
    shop = Shop(folder / "books.db")
    async with AsyncExitStack() as stack:
        # This process only starts the saga and looks on; others do the work.
        await stack.enter_async_context(
            Engine(sagas=[partial(OrderSaga, shop)], store=f"sqlite:///{folder}/sagas.db", work="none")
        )
        print("3. An order whose worker is killed in the middle of its payment")
        first = await start_worker(folder, stack)
        handle = await OrderSaga.start(Order("o-3", "edsger", 4_200), id="o-3")
        async for record in handle.changes():
            if record.steps["charge"].status is StepStatus.STARTED:
                break
        first.send_signal(signal.SIGKILL)
        await first.wait()
        killed_at = monotonic()
        print(f"    worker {first.pid} is killed while it charges the card")
        second = await start_worker(folder, stack)
        print(f"    worker {second.pid} is started; it takes over once the first is certainly dead")
        await follow(handle)
        saga = await handle.result()
        print(f"  {saga.status}, {monotonic() - killed_at:.1f} s after the kill")
        print(f"  in the books: {', '.join(shop.entries('o-3'))}")


async def main() -> None:
    """Play all three acts, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        await embedded(Path(folder))
        await killed(Path(folder))


if __name__ == "__main__":
    asyncio.run(worker(Path(sys.argv[2])) if sys.argv[1:2] == ["worker"] else main())
