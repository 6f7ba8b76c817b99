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
from sagaflow.dynamic import DynamicSaga, StepSpec, compile_steps
from sagaflow.probing import Happened, NotHappened, StillUnknown
from sagaflow.saga import ChildStep, EachStep, WaitStep
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


class Item(Struct, frozen=True):
    sku: str


class Basket(Struct, frozen=True):
    basket_id: str
    items: list[Item]
    is_gift: bool = False


class BasketSaga(
    Saga[Basket], lock="basket:{basket_id}", cancel_siblings=True, compensation_deadline=timedelta(days=1)
):
    async def unpick(self, basket: Basket, item: Item, picked: Reservation | None) -> None: ...

    @step(compensate=None, formerly=["cartons", "crates"], delay=timedelta(seconds=1))
    async def boxes(self, basket: Basket) -> list[Item]:
        return basket.items

    @step(each="items", compensate="unpick", at_once=3)
    async def pick(self, basket: Basket, item: Item, boxes: list[Item]) -> Reservation:
        return Reservation(item.sku)

    @step(each=boxes, compensate=None)
    async def label(self, basket: Basket, box: Item, pick: list[Reservation]) -> int:
        return len(pick)

    @step(each=lambda basket: basket.items, compensate=unpick)
    async def weigh(self, basket: Basket, item: Item) -> Reservation:
        return Reservation(item.sku)

    @step(compensate=None)
    async def pair(self, basket: Basket) -> tuple[Item, ...]:
        return tuple(basket.items)

    @step(each=pair, probe="weighed")
    async def pack(self, basket: Basket, item: Item) -> str:
        return item.sku

    async def weighed(self, basket: Basket, item: Item) -> Happened[str] | NotHappened:
        return NotHappened()

    def wants_gift(self, basket: Basket, label: list[int]) -> bool:
        return bool(label) and basket.is_gift

    @step(when="wants_gift", compensate=None, lock="wrapper")
    async def wrap(self, basket: Basket) -> str:
        return "wrapped"

    @step(when=wants_gift, compensate=None)
    async def bow(self, basket: Basket) -> str:
        return "bow"

    @step(when=lambda basket: basket.is_gift, compensate=None, lock=lambda basket: f"card:{basket.basket_id}")
    async def card(self, basket: Basket, wrap: str | None) -> str:
        return "card"

    @step(waits_for=Payment, signal="bank", deadline=timedelta(days=3), compensate="cancel")
    async def ask_bank(self, basket: Basket) -> None:
        print(self.saga_id)

    async def cancel(self, basket: Basket, payment: Payment | None) -> None: ...

    @step(pivot=True, probe="committed", heartbeat_timeout=timedelta(seconds=5))
    async def commit(self, basket: Basket, ask_bank: Payment) -> str:
        return ask_bank.transaction_id

    async def committed(self, basket: Basket) -> Happened[str] | NotHappened | StillUnknown:
        return StillUnknown(timedelta(seconds=3))

    @step(saga=ShippingSaga)
    async def ship(self, basket: Basket, commit: str) -> Shipment:
        return Shipment(basket.basket_id)

    @step
    async def tell(self, basket: Basket, ship: SagaRecord[Shipment], pick: list[Reservation]) -> str:
        return ship.output(ShippingSaga.book)


async def kinds(saga: SagaRecord[Basket]) -> None:
    basket, item = Basket("b-1", []), Item("s")
    assert_type(saga.output(BasketSaga.pick), list[Reservation])
    assert_type(saga.output(BasketSaga.label), list[int])
    assert_type(saga.output(BasketSaga.weigh), list[Reservation])
    assert_type(saga.output(BasketSaga.pack), list[str])
    assert_type(saga.output(BasketSaga.ask_bank), Payment)
    assert_type(saga.output(BasketSaga.ship), SagaRecord[Shipment])
    assert_type(saga.output(BasketSaga.ship).output(ShippingSaga.book), str)
    assert_type(await BasketSaga().pick(basket, item, []), Reservation)
    assert_type(await BasketSaga().label(basket, item, pick=[]), int)
    assert_type(await BasketSaga().ask_bank(basket), None)
    assert_type(await BasketSaga().ship(basket, "c"), Shipment)
    each: EachStep[..., Reservation] = BasketSaga.pick
    child: ChildStep[..., Shipment] = BasketSaga.ship
    wait: WaitStep[..., Payment] = BasketSaga.ask_bank
    answer: StepRef[Payment] = BasketSaga.ask_bank
    several: StepRef[list[Reservation]] = BasketSaga.pick
    print(each, child, wait, answer, several)


class Actions(Saga[Basket], abstract=True):
    async def call(self, basket: Basket, item: Item) -> str:
        return item.sku


def dynamic() -> None:
    some = [StepSpec(name="a", action="call", input=Item("s"))]
    more = [StepSpec(name="b", action="call", input=Item("s"), after="a", timeout=timedelta(seconds=3))]
    assert_type(compile_steps("calls", [*some, *more], [Actions]), DynamicSaga)


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
