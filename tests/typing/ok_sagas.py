"""What users write; both checkers accept every line, and infer what is asserted. Never executed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Generic, Literal, TypeVar, assert_type

from msgspec import Struct

from sagaflow import (
    Engine,
    Retry,
    Saga,
    SagaCompensated,
    SagaHandle,
    SagaNotCompleted,
    SagaRecord,
    SagaStatus,
    Step,
    StepRecord,
    StepRef,
    step,
)
from sagaflow.testing.unit import executing


class Order(Struct, frozen=True):
    order_id: str


class Reservation(Struct, frozen=True):
    reservation_id: str


class Payment(Struct, frozen=True):
    transaction_id: str


class Shipment(Struct, frozen=True):
    order_id: str


class CardDeclined(Exception): ...


class ShippingSaga(Saga[Shipment], name="shipping"):
    @step
    async def book(self, shipment: Shipment) -> str:
        return shipment.order_id


@dataclass
class Shop:
    name: str


@dataclass
class OrderSaga(
    Saga[Order],
    name="order",
    deadline=timedelta(hours=1),
    retry=Retry(attempts=5),
    compensation_retry=Retry(attempts=50),
    queue="orders",
):
    shop: Shop

    async def release(self, order: Order, reservation: Reservation | None) -> None: ...
    async def release_strict(self, order: Order, reservation: Reservation) -> None: ...
    async def forget(self, order: Order) -> None: ...

    @step(compensate=release, parallel="checks", retry=Retry(attempts=5))
    async def reserve(self, order: Order) -> Reservation:
        return Reservation(self.idempotency_key)

    @step(compensate=release_strict, parallel="checks", compensation_retry=Retry(), abort_on=(CardDeclined, KeyError))
    async def reserve_strict(self, order: Order) -> Reservation:
        return Reservation(self.saga_id)

    @step(compensate=forget)
    async def maybe(self, order: Order) -> Reservation | None:
        return None

    @step(compensate=release)
    async def maybe_too(self, order: Order) -> Reservation | None:
        return None

    @step(compensate="refund", after=[reserve, "reserve_strict"], timeout=timedelta(seconds=30), queue="payments")
    async def charge(self, order: Order, reserve: Reservation, *, reserve_strict: Reservation) -> Payment:
        print(self.shop.name, self.attempt, self.deadline, self.step_name)
        return Payment(reserve.reservation_id)

    async def refund(self, order: Order, payment: Payment | None) -> None:
        assert_type(self.outcome, Literal["completed", "unknown"])

    @step(after=charge, timeout=None)
    async def wrap(self, order: Order) -> str:
        return "wrapped"

    @step(compensate=None, after="wrap")
    async def ship(self, order: Order, charge: Payment) -> Shipment:
        return Shipment(order.order_id)

    @step()
    async def tell(self, order: Order) -> None: ...


async def caller(engine: Engine) -> None:
    order, res = Order("o-1"), Reservation("r")
    handle = await OrderSaga.start(order, id="o-1")
    assert_type(handle, SagaHandle[Order])
    assert_type(await engine.start(OrderSaga, order), SagaHandle[Order])
    saga = await handle.result(timeout=timedelta(seconds=3))
    assert_type(saga, SagaRecord[Order])
    assert_type(saga.context, Order)
    assert_type(saga.status, SagaStatus)
    assert_type(saga.output(OrderSaga.charge), Payment)
    assert_type(saga.output(OrderSaga.reserve), Reservation)
    assert_type(saga.output(OrderSaga.reserve_strict), Reservation)
    assert_type(saga.output(OrderSaga.maybe), Reservation | None)
    assert_type(saga.output(OrderSaga.maybe_too), Reservation | None)
    assert_type(saga.output(OrderSaga.tell), None)
    assert_type(saga.output(OrderSaga.wrap, None), str | None)
    assert_type(saga.output(OrderSaga.wrap, 0), str | int)
    assert_type(saga.outputs["charge"], object)
    assert_type(saga.steps["charge"], StepRecord)
    try:
        await handle.result()
    except SagaCompensated as undone:
        assert_type(undone.saga, SagaRecord[Any])
    except SagaNotCompleted as ended:
        assert_type(ended.saga.reason, str | None)

    # Direct calls, as in a unit test.
    shop = Shop("s")
    assert_type(await OrderSaga(shop).charge(order, res, reserve_strict=res), Payment)
    assert_type(await OrderSaga(shop).charge(order=order, reserve=res, reserve_strict=res), Payment)
    assert_type(await OrderSaga(shop).ship(order, Payment("t")), Shipment)
    await OrderSaga(shop).release(order, None)
    assert_type(executing(OrderSaga(shop), step="charge"), OrderSaga)
    assert_type(executing(OrderSaga(shop), step=OrderSaga.charge, outcome="unknown"), OrderSaga)
    assert_type(OrderSaga(shop).idempotency_key, str)


def declared() -> None:
    step_: Step[..., Payment] = OrderSaga.charge
    reference: StepRef[Payment] = OrderSaga.charge
    method: Callable[[Order, Payment], Coroutine[Any, Any, Shipment]] = OrderSaga(Shop("s")).ship
    print(step_, reference, method, OrderSaga.definition, OrderSaga.resolve_types().context)


class Needy(Saga[Order]):
    def __init__(self, client: str) -> None:
        self.client = client

    @step
    async def only(self, order: Order) -> str:
        return self.client


Engine(sagas=[ShippingSaga, partial(OrderSaga, Shop("s")), partial(Needy, client="c")])
Engine([lambda: Needy("c")])


# ---- reuse

HasId = TypeVar("HasId", Order, Shipment)


class Base(Saga[HasId], Generic[HasId]):
    @step(compensate="undo")
    async def log(self, context: HasId) -> str:
        return context.order_id

    async def undo(self, context: HasId, out: str | Payment | None) -> None: ...

    @step
    @abstractmethod
    async def work(self, context: HasId) -> Payment: ...


class Mail(Saga[HasId], abstract=True):
    @step
    async def mail(self, context: HasId) -> None: ...


class Concrete(Base[Order], Mail[Order], deadline=None):
    @step(retry=Retry(), compensate="undo")
    async def work(self, context: Order) -> Payment:
        return Payment("p")

    @step(compensate=Base[Order].undo)
    async def more(self, context: Order, log: str, work: Payment) -> str:
        return log


async def reuse(record: SagaRecord[Order]) -> None:
    assert_type(await Concrete.start(Order("o")), SagaHandle[Order])
    assert_type(record.output(Concrete.work), Payment)
    assert_type(record.output(Concrete.log), str)
    assert_type(await Concrete().log(Order("o")), str)
