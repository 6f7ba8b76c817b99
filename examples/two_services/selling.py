"""What the two services have in common: the saga that they do together. Neither needs the code of the other.

In projects of their own this would be a small package that both depend on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn, Protocol

from shop import CardDeclined, Order, Payment, Reservation

from sagaflow import Retry, Saga, step

STORE: Final = os.environ.get("SAGAFLOW_STORE", "mongodb://localhost:27017/shop?replicaSet=rs0")
"""Where both keep their sagas; by default the MongoDB of ``examples/compose.yaml``."""

BROKER: Final = os.environ.get("SAGAFLOW_BROKER", "amqp://guest:guest@localhost:5672/")
"""What tells each that there is work for it; by default the RabbitMQ of ``examples/compose.yaml``."""


class Warehouse(Protocol):
    """What the order service does for a sale."""

    async def reserve(self, order: Order, *, key: str) -> Reservation: ...

    async def release(self, reference: str) -> None: ...

    async def create(self, order: Order, *, key: str) -> str: ...

    async def cancel(self, reference: str) -> None: ...


class Provider(Protocol):
    """What the payment service does for a sale."""

    async def charge(self, order: Order, *, key: str) -> Payment: ...

    async def refund(self, reference: str) -> None: ...


class Elsewhere:
    """Stands for what the other service does, and is never called: its steps are on a queue that is not served here."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{name}() is the other service's: does this worker serve a queue that is not its own?")


ELSEWHERE: Final[Any] = Elsewhere()

_SOON: Final = Retry(attempts=2, backoff=timedelta(milliseconds=200))
"""So that nobody who tries this out waits for long. In production let it take minutes: most faults mend themselves."""


@dataclass
class Sale(Saga[Order], name="sale", queue="orders", deadline=timedelta(days=1)):
    """Sell one order: everything happens, or nothing remains."""

    warehouse: Warehouse = ELSEWHERE
    provider: Provider = ELSEWHERE

    @step(compensate="release")
    async def reserve(self, order: Order) -> Reservation:
        return await self.warehouse.reserve(order, key=self.idempotency_key)

    async def release(self, order: Order, reservation: Reservation | None) -> None:
        await self.warehouse.release(reservation.reservation_id if reservation else self.step_key)

    # Of what the provider can answer, only a declined card proves that nothing was charged.
    @step(
        queue="payments",
        compensate="refund",
        timeout=timedelta(seconds=10),
        abort_on=(CardDeclined,),
        retry=_SOON,
        compensation_retry=_SOON,
    )
    async def charge(self, order: Order) -> Payment:
        return await self.provider.charge(order, key=self.idempotency_key)

    async def refund(self, order: Order, payment: Payment | None) -> None:
        await self.provider.refund(payment.transaction_id if payment else self.step_key)

    @step(compensate="cancel")
    async def confirm(self, order: Order) -> str:
        return await self.warehouse.create(order, key=self.idempotency_key)

    async def cancel(self, order: Order, reference: str | None) -> None:
        await self.warehouse.cancel(reference or self.step_key)
