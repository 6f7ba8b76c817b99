"""As ``ok_sagas``, in the syntax of Python 3.12. Never executed."""

from __future__ import annotations

from typing import Protocol, assert_type

from msgspec import Struct

from sagaflow import Engine, Saga, SagaHandle, SagaRecord, step


class HasId(Protocol):
    @property
    def order_id(self) -> str: ...


class Order(Struct, frozen=True):
    order_id: str


class Money(Struct, frozen=True):
    cents: int


type Price = Money
type Prices = list[Price]


class Base[T: HasId](Saga[T], abstract=True):
    @step(compensate="undo")
    async def log(self, context: T) -> str:
        return context.order_id

    async def undo(self, context: T, out: str | None) -> None: ...


class Pair[T: HasId, V](Base[T]):
    @step(compensate="unmake")
    async def make(self, context: T, log: str) -> list[V]:
        return []

    async def unmake(self, context: T, out: list[V] | None) -> None: ...


class Concrete(Pair[Order, Money]):
    @step
    async def more(self, context: Order, log: str, make: list[Money]) -> Prices:
        return []

    @step
    async def last(self, context: Order, more: list[Money]) -> None: ...


async def reuse(engine: Engine, record: SagaRecord[Order]) -> None:
    assert_type(await Concrete.start(Order("o")), SagaHandle[Order])
    assert_type(await engine.start(Concrete, Order("o")), SagaHandle[Order])
    assert_type(record.output(Concrete.log), str)
    assert_type(record.output(Concrete.make), list[Money])
    assert_type(await Concrete().log(Order("o")), str)
