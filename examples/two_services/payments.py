"""The payment service: a worker without a front door. It has the key of the payment provider, and nobody else has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shop import Order, Payment, Shop

from sagaflow import Engine

from .selling import BROKER, STORE, Sale


class NotAuthorized(Exception):
    """The provider has answered 401."""


@dataclass
class PaymentProvider:
    """Stands for the provider's client library, with its server, which applies each idempotency key once."""

    api_key: str
    books: Shop

    async def charge(self, order: Order, *, key: str) -> Payment:
        self._authorize()
        return await self.books.charge(order, key=key)

    async def refund(self, reference: str) -> None:
        self._authorize()
        await self.books.refund(reference)

    def _authorize(self) -> None:
        if self.api_key != "live":
            raise NotAuthorized("the provider does not know the key in PAYMENTS_API_KEY")


def service() -> Engine:
    """The worker, for ``sagaflow worker two_services.payments:service``."""
    provider = PaymentProvider(os.environ.get("PAYMENTS_API_KEY", "live"), Shop(Path("payments.db")))
    return Engine(sagas=[partial(Sale, provider=provider)], store=STORE, broker=BROKER, queues=["payments"])
