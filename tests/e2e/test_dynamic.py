"""Sagas whose steps are data run as others do, on every engine that has the actions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from sagaflow import (
    Abort,
    ConfigurationError,
    DefinitionError,
    Engine,
    PayloadError,
    Saga,
    SagaExists,
    StepSpec,
    StepStatus,
    step,
)

from .stacks import QUICK, Stack, connected

SOON = timedelta(seconds=20)


class Order(Struct, frozen=True):
    order_id: str
    customer: str


class Item(Struct, frozen=True):
    product: str
    quantity: int


class Charge(Struct, frozen=True):
    amount: int
    card: str = "visa"


@dataclass
class Shop:
    lines: list[str] = field(default_factory=list[str])


@dataclass
class Inventory(Saga[Order], abstract=True):
    shop: Shop

    async def create_order(self, order: Order) -> str:
        self.shop.lines.append(f"create {order.order_id}")
        return f"ref-{order.order_id}"

    async def cancel_order(self, order: Order, reference: str | None) -> None:
        self.shop.lines.append(f"cancel {reference}")

    async def reserve_inventory(self, order: Order, item: Item) -> int:
        self.shop.lines.append(f"reserve {item.quantity} {item.product}")
        return item.quantity

    async def release_inventory(self, order: Order, item: Item, reserved: int | None) -> None:
        self.shop.lines.append(f"release {reserved} {item.product}")


@dataclass
class Bank(Saga[Order], abstract=True):
    shop: Shop

    async def charge_payment(self, order: Order, charge: Charge, create: str) -> str:
        if charge.card == "stolen":
            raise Abort("the card is stolen")
        self.shop.lines.append(f"charge {charge.amount} for {create}")
        return f"tx-{charge.amount}"

    async def refund_payment(self, order: Order, charge: Charge, transaction: str | None) -> None:
        self.shop.lines.append(f"refund {transaction}")


ORDER = Order("o-1", "ada")
CREATE = [StepSpec(name="create", action="create_order", compensation="cancel_order")]
RESERVE = [
    StepSpec(name=product, action="reserve_inventory", compensation="release_inventory", input=Item(product, quantity))
    for product, quantity in (("pens", 2), ("ink", 1))
]


def charge(card: str = "visa") -> list[StepSpec]:
    spec = StepSpec(name="pay", action="charge_payment", compensation="refund_payment", input=Charge(990, card))
    return [spec]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def engine_with(stack: Stack, *actions: Any, **options: Any) -> Engine:
    """An engine that has libraries of actions, and perhaps classes too."""
    return Engine(
        options.pop("sagas", ()), actions=actions, store=stack.store(), broker=stack.broker(), settings=QUICK, **options
    )


async def test_an_order_made_of_smaller_lists_is_done_in_order_with_an_input_for_each_step(
    stack: Stack, shop: Shop
) -> None:
    async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)) as engine:
        handle = await engine.start_steps("order", [*CREATE, *RESERVE, *charge()], ORDER, id="o-1")
        record = await handle.result(timeout=SOON)
        (listed,) = (await engine.list(saga="order")).sagas
    assert shop.lines == ["create o-1", "reserve 2 pens", "reserve 1 ink", "charge 990 for ref-o-1"]
    assert record.outputs == {"create": "ref-o-1", "pens": 2, "ink": 1, "pay": "tx-990"}
    assert record.context == ORDER
    assert record.steps["ink"].action == "reserve_inventory"
    assert record.steps["ink"].compensation == "release_inventory"
    assert listed.id == record.id
    assert listed.context == ORDER


async def test_what_fails_is_undone_in_reverse_order(stack: Stack, shop: Shop) -> None:
    async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)) as engine:
        handle = await engine.start_steps("order", [*CREATE, *RESERVE, *charge("stolen")], ORDER)
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert record.steps["pay"].status is StepStatus.FAILED
    assert record.error is not None
    assert record.error.message == "the card is stolen"
    assert shop.lines[3:] == ["release 1 ink", "release 2 pens", "cancel ref-o-1"]


async def test_a_completed_one_can_be_compensated(stack: Stack, shop: Shop) -> None:
    async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)) as engine:
        handle = await engine.start_steps("order", [*CREATE, *charge()], ORDER)
        await handle.result(timeout=SOON)
        await handle.compensate()
        assert (await handle.wait(timeout=SOON)).is_compensated
    assert shop.lines[2:] == ["refund tx-990", "cancel ref-o-1"]


async def test_steps_are_read_from_json(stack: Stack, shop: Shop) -> None:
    text = """[
        {"name": "create", "action": "create_order", "compensation": "cancel_order"},
        {"name": "pens", "action": "reserve_inventory", "input": {"product": "pens", "quantity": 3}, "parallel": "all"},
        {"name": "ink", "action": "reserve_inventory", "input": {"product": "ink", "quantity": 4}, "parallel": "all"},
        {"name": "pay", "action": "charge_payment", "input": {"amount": 7}, "after": ["create", "ink"], "timeout": 30}
    ]"""
    steps = msgspec.json.decode(text, type=list[StepSpec], strict=False)
    async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)) as engine:
        record = await (await engine.start_steps("order", steps, ORDER)).result(timeout=SOON)
        wrong = [*steps, StepSpec(name="bad", action="reserve_inventory", input={"product": 7})]
        with pytest.raises(PayloadError):
            await engine.start_steps("order", wrong, ORDER)
    assert record.outputs == {"create": "ref-o-1", "pens": 3, "ink": 4, "pay": "tx-7"}


async def test_all_faults_are_told_at_once_and_nothing_is_started(stack: Stack, shop: Shop) -> None:
    steps = [
        StepSpec(name="create", action="create_ordr", compensation="cancel_order"),
        StepSpec(name="pay", action="create_order"),
        StepSpec(name="pay", action="create_order"),
        StepSpec(name="tax", action="charge_payment", compensation="refund_paymnt", input=Charge(1)),
        StepSpec(name="last", action="create_order", after=["nowhere"]),
    ]
    async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)) as engine:
        with pytest.raises(DefinitionError) as caught:
            await engine.start_steps("order", steps, ORDER)
        assert (await engine.list()).sagas == ()
    text = str(caught.value)
    assert len(caught.value.faults) >= 4
    assert all(word in text for word in ("'create_ordr'", "'create_order'", "'refund_paymnt'", "'nowhere'", "'pay'"))


async def test_no_steps_are_done_at_once(stack: Stack, shop: Shop) -> None:
    async with engine_with(stack, partial(Inventory, shop)) as engine:
        record = await (await engine.start_steps("nothing", [], ORDER)).result(timeout=SOON)
    assert record.is_completed
    assert dict(record.steps) == {}


async def test_the_same_id_with_the_same_steps_is_the_same_saga_and_with_others_an_error(
    stack: Stack, shop: Shop
) -> None:
    plain = {"product": "pens", "quantity": 2}
    turned = {"quantity": 2, "product": "pens"}
    async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)) as engine:

        async def start(name: str, given: Any, context: Order = ORDER, *more: StepSpec) -> Any:
            reserve = StepSpec(name="reserve", action="reserve_inventory", input=given)
            return await engine.start_steps(name, [*CREATE, reserve, *more], context, id="o-1")

        await (await start("order", plain)).result(timeout=SOON)
        for same in (plain, turned, Item("pens", 2)):
            assert (await start("order", same)).id == "o-1"
        with pytest.raises(SagaExists, match="with other steps"):
            await start("order", Item("pens", 3))
        with pytest.raises(SagaExists, match="with other steps"):
            await start("order", plain, ORDER, *charge())
        with pytest.raises(SagaExists, match="with another context"):
            await start("order", plain, Order("o-1", "eve"))
        with pytest.raises(SagaExists, match="as a order"):
            await start("purchase", plain)
    assert shop.lines == ["create o-1", "reserve 2 pens"]


async def test_another_engine_than_the_one_that_started_it_runs_it(stack: Stack, shop: Shop) -> None:
    elsewhere = Shop()
    async with (
        engine_with(stack, partial(Inventory, elsewhere), partial(Bank, elsewhere)),
        engine_with(stack, partial(Inventory, shop), partial(Bank, shop), work="none") as starter,
    ):
        for number in range(3):  # each of a graph that the other engine has not seen
            steps = [*CREATE, *RESERVE[:number], *charge("stolen")]
            record = await (await starter.start_steps(f"order {number}", steps, ORDER)).wait(timeout=SOON)
            assert record.is_compensated
    assert shop.lines == []
    assert elsewhere.lines.count("cancel ref-o-1") == 3


class Plain(Saga[str]):
    @step
    async def only(self, text: str) -> str:
        return text


async def test_an_engine_without_the_actions_leaves_it_to_one_that_has_them(stack: Stack, shop: Shop) -> None:
    elsewhere = Shop()
    async with (
        engine_with(stack, partial(Inventory, shop), partial(Bank, shop), work="none") as starter,
        engine_with(stack, partial(Inventory, elsewhere)),
    ):
        handle = await starter.start_steps("order", [*CREATE, *charge()], ORDER)
        # Neither one that has other actions nor one that has none at all is disturbed, also if it comes later.
        async with engine_with(stack, sagas=[Plain]) as stranger:
            await (await stranger.start(Plain, "x")).result(timeout=SOON)
            await connected(stranger)
            assert stranger.health.ok
            seen = await stranger.get(handle.id)
            assert seen.context == {"order_id": "o-1", "customer": "ada"}
            assert not seen.is_terminal
            async with engine_with(stack, partial(Inventory, shop), partial(Bank, shop)):
                await handle.result(timeout=SOON)
    assert shop.lines == ["create o-1", "charge 990 for ref-o-1"]
    assert elsewhere.lines == []


async def test_a_library_is_no_saga_and_two_of_one_engine_do_not_quarrel(stack: Stack, shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="write an abstract saga class"):
        engine_with(stack, object)
    async with engine_with(stack, partial(Inventory, shop), partial(Inventory, shop)) as engine:
        await (await engine.start_steps("order", CREATE, ORDER)).result(timeout=SOON)


class Depot(Saga[str], abstract=True, queue="depot"):
    async def store(self, text: str) -> str:
        return text


async def test_the_queue_that_a_library_names_is_served(stack: Stack) -> None:
    async with engine_with(stack, Depot) as engine:
        steps = [StepSpec(name="put", action="store")]
        record = await (await engine.start_steps("storage", steps, "box")).result(timeout=SOON)
    assert record.outputs == {"put": "box"}
