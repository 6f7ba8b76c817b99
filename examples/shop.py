"""Small services behind the order saga: a shop that keeps its books in a file of its own.

They stand for services elsewhere, so they do what well-made services do: a key is applied once however often it comes,
and undoing works whether or not there is something to undo.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from msgspec import Struct


class Order(Struct, frozen=True):
    """What is to be sold, to whom."""

    order_id: str
    customer: str
    total_cents: int


class Reservation(Struct, frozen=True):
    """Goods that are put aside."""

    reservation_id: str


class Payment(Struct, frozen=True):
    """Money that has moved."""

    transaction_id: str


class CardDeclined(Exception):
    """The bank has said no: nothing was charged."""


@dataclass
class Shop:
    """Orders, stock and payments, in one file for all processes."""

    books: Path
    card_limit_cents: int = 100_000

    async def create(self, order: Order, *, key: str) -> str:
        return self._enter(key, f"order of {order.customer}")

    async def cancel(self, reference: str) -> None:
        self._strike(reference)

    async def reserve(self, order: Order, *, key: str) -> Reservation:
        return Reservation(self._enter(key, f"goods for {order.customer}"))

    async def release(self, reference: str) -> None:
        self._strike(reference)

    async def charge(self, order: Order, *, key: str) -> Payment:
        if order.total_cents > self.card_limit_cents:
            raise CardDeclined("over the card's limit")
        return Payment(self._enter(key, f"payment of {order.total_cents / 100:.2f} by {order.customer}"))

    async def refund(self, reference: str) -> None:
        self._strike(reference)

    def entries(self, order_id: str) -> list[str]:
        """What stands in the books for one order."""
        with self._open() as books:
            rows = books.execute("SELECT what FROM entries WHERE key LIKE ? ORDER BY rowid", (f"{order_id}/%",))
            return [what for (what,) in rows]

    def _enter(self, key: str, what: str) -> str:
        with self._open() as books:
            books.execute("INSERT OR IGNORE INTO entries VALUES (?, ?)", (key, what))
        return key

    def _strike(self, key: str) -> None:
        with self._open() as books:
            books.execute("DELETE FROM entries WHERE key = ?", (key,))

    def _open(self) -> sqlite3.Connection:
        books = sqlite3.connect(self.books, timeout=10)
        books.execute("CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, what TEXT NOT NULL)")
        return books
