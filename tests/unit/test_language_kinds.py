"""Steps of other kinds: done for each element of a list, done by another saga, done by the outside."""

# mypy: disable-error-code="empty-body, untyped-decorator"
# pyright: reportReturnType=false
# (Steps that are never called need no body.)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from types import new_class
from typing import Any, NamedTuple, NewType, TypedDict, TypeVar

import attrs
import pytest
from msgspec import Struct

from sagaflow import saga as face
from sagaflow.core.definition import Derived, StepKind
from sagaflow.core.fields import element_of
from sagaflow.core.retry import Retry
from sagaflow.record import SagaRecord
from sagaflow.saga import ChildStep, EachStep, Saga, WaitStep
from tests.unit.test_definition_faults import faults

step: Any = face.step  # the faults are what the checkers see too


class Item(Struct):
    sku: str


class Order(Struct):
    n: int
    customer: str
    items: list[Item]


class Shipment(Struct):
    to: str


class Payment(Struct):
    ref: str


class Shipping(Saga[Shipment], name="shipping"):
    @step(compensate=None)
    async def book(self, shipment: Shipment) -> str: ...


class Foreign:
    pass


Numbers = NewType("Numbers", list[int])


def saga(body: dict[str, Any], context: Any = Order, **keywords: Any) -> Any:
    """A class statement, as an expression."""
    return new_class("Shop", (Saga[context],), keywords, lambda namespace: namespace.update(body))


async def declared(self: Any, order: Any) -> Any: ...
async def for_each(self: Any, order: Any, element: Any) -> Any: ...


# ---------------------------------------------------------------------------------------- each


def test_a_list_is_an_earlier_step_a_field_a_method_or_a_function() -> None:
    def cheap(order: Order) -> list[Item]: ...

    class Shop(Saga[Order]):
        @step
        async def boxes(self, order: Order) -> list[Item]: ...

        @step(each=boxes, after=())
        async def by_step(self, order: Order, box: Item) -> int: ...

        @step(each="boxes", after=boxes)
        async def by_name(self, order: Order, box: Item) -> int: ...

        @step(each="items", at_once=3)
        async def by_field(self, order: Order, item: Item, boxes: list[Item]) -> str: ...

        @step(each="heavy", after=())
        async def by_method(self, order: Order, item: Item) -> None: ...

        def heavy(self, order: Order, boxes: list[Item]) -> Iterable[Item]: ...

        @step(each=heavy, after=())
        async def by_its_function(self, order: Order, item: Item) -> None: ...

        @step(each=cheap)
        async def by_function(self, order, item): ...  # type: ignore[no-untyped-def]

    by = {one.name: one for one in Shop.definition}
    assert isinstance(Shop.by_step, EachStep)
    assert by["boxes"].kind is StepKind.ACTION
    assert not by["boxes"].takes_item
    assert all(one.kind is StepKind.EACH and one.takes_item for one in Shop.definition if one.name != "boxes")
    assert by["by_step"].each == by["by_name"].each == Derived(step="boxes", inputs=("boxes",))
    assert by["by_step"].after == by["by_name"].after == ("boxes",)
    assert by["by_field"].each == Derived(field="items")
    assert by["by_field"].inputs == ("boxes",)
    assert (by["by_field"].at_once, by["by_name"].at_once) == (3, None)
    assert by["by_method"].each == by["by_its_function"].each == Derived(method="heavy", inputs=("boxes",))
    assert by["by_method"].after == ("boxes",)
    assert by["by_function"].each == Derived(function=cheap)


def test_later_steps_see_the_list_of_what_was_returned() -> None:
    class Shop(Saga[Order]):
        @step(each="items")
        async def pick(self, order: Order, item: Item) -> int: ...

        @step
        async def total(self, order: Order, pick: list[int]) -> int: ...

        @step(each="items")
        async def label(self, order, item): ...  # type: ignore[no-untyped-def]

    types = Shop.resolve_types()
    assert dict(types.outputs) == {"pick": list[int], "total": int, "label": list[Any]}
    assert dict(types.returns) == {"pick": int, "total": int, "label": Any}
    assert dict(types.items) == {"pick": Item, "label": Item}


def test_a_compensation_and_a_probe_of_each_take_the_element() -> None:
    class Shop(Saga[Order]):
        @step(each="items", compensate="unpick")
        async def pick(self, order: Order, item: Item) -> int: ...

        async def unpick(self, order: Order, item: Item, picked: int | None) -> None: ...

        @step(each="items", compensate="forget", probe="find")
        async def label(self, order: Order, item: Item) -> int: ...

        async def forget(self, order: Order, item: Item) -> None: ...

        async def find(self, order: Order, item: Item): ...  # type: ignore[no-untyped-def]

    pick, label = Shop.definition
    assert (pick.compensation, pick.takes_output, pick.accepts_unknown) == ("unpick", True, True)
    assert (label.compensation, label.takes_output, label.probe) == ("forget", False, "find")


class Data(TypedDict):
    lines: list[Item]


@dataclass
class Plain:
    lines: list[Item]

    @property
    def made(self) -> list[Item]: ...

    @cached_property
    def kept(self) -> list[Item]: ...


@attrs.define
class Attrs:
    lines: list[Item]


class Tuple(NamedTuple):
    lines: list[Item]


class Unreadable(Struct):
    lines: list[Nowhere]  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


Named = NewType("Named", Plain)


@pytest.mark.parametrize("context", [Data, Plain, Attrs, Tuple, Named], ids=str)
def test_the_fields_of_any_context_are_known(context: Any) -> None:
    async def wrong(self: Any, order: Any, n: int) -> None: ...

    made = saga({"a": step(each="lines")(for_each)}, context)
    assert made.definition["a"].each == Derived(field="lines")
    assert made.resolve_types().items["a"] is Any
    assert faults(lambda: saga({"a": step(each="lines")(wrong)}, context)) == [
        ("step 'a'", "wants n: int, but each= gives Item", "Write 'n: Item'.")
    ]
    ((_, rule, remedy),) = faults(lambda: saga({"a": step(each="line")(for_each)}, context))
    assert rule.startswith("each='line' is no earlier step, no field of ")
    assert remedy == "Did you mean 'lines'?"


@pytest.mark.parametrize("field", ["made", "kept"])
def test_properties_are_fields_whose_types_are_not_looked_at(field: str) -> None:
    assert saga({"a": step(each=field)(for_each)}, Plain).definition["a"].each == Derived(field=field)


@pytest.mark.parametrize("context", [Any, dict[str, Any], Foreign, Order | Payment], ids=str)
def test_what_is_not_known_of_a_context_is_let_pass(context: Any) -> None:
    def lines(self: Any, order: Any) -> Any: ...

    assert saga({"a": step(each="lines")(for_each)}, context).definition["a"].each == Derived(field="lines")
    made = saga({"lines": lines, "a": step(each="lines")(for_each)}, context)
    assert made.definition["a"].each == Derived(method="lines")


def test_fields_that_cannot_be_read_hold_anything() -> None:
    assert saga({"a": step(each="lines")(for_each)}, Unreadable).definition["a"].each == Derived(field="lines")


@pytest.mark.parametrize(
    ("yields", "element"),
    [
        (list[int], int),
        (tuple[int, ...], int),
        (tuple[int, int], int),
        (tuple[int, str], int | str),
        (Sequence[int], int),
        (list[int] | None, int),
        (Numbers, int),
        (list, Any),
        (tuple, Any),
        (Any, Any),
    ],
    ids=str,
)
def test_the_elements_of_what_a_step_yields(yields: Any, element: Any) -> None:
    async def listing(self: Any, order: Any) -> Any: ...
    async def one(self: Any, order: Any, n): ...  # type: ignore[no-untyped-def]

    listing.__annotations__["return"] = yields
    made = saga({"listing": step(listing), "a": step(each="listing")(one)})
    assert made.resolve_types().items["a"] == element


def test_the_elements_of_several_lists_are_not_told_apart() -> None:
    assert element_of(list[int] | tuple[str, ...]) is Any
    assert element_of(TypeVar("Unbound")) is Any


@pytest.mark.parametrize("yields", [int, str, bytes, Payment, dict[str, int], set[int], None, int | None], ids=str)
def test_what_a_step_yields_is_no_list(yields: Any) -> None:
    async def listing(self: Any, order: Any) -> Any: ...

    listing.__annotations__["return"] = yields
    ((offender, rule, remedy),) = faults(lambda: saga({"listing": step(listing), "a": step(each="listing")(for_each)}))
    assert (offender, remedy) == ("step 'a'", "Let it return a list.")
    assert rule.startswith("each='listing' yields ")
    assert rule.endswith(", which is no list")


def test_a_field_or_a_method_that_is_no_list() -> None:
    def number(self: Any, order: Order) -> int: ...

    assert faults(lambda: saga({"a": step(each="customer")(for_each)})) == [
        ("step 'a'", "each='customer' is a field of type str, which is no list", "Name a field that is a list.")
    ]
    assert faults(lambda: saga({"number": number, "a": step(each="number")(for_each)})) == [
        ("step 'a'", "each='number' returns int, which is no list", "Return a list.")
    ]


def test_elements_of_another_type() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(each="items", compensate="undo", probe="find")
            async def a(self, order: Order, item: Item) -> int: ...

            async def undo(self, order: Order, item: Payment, output: str | None) -> None: ...

            async def find(self, order: Order, item: Payment): ...  # type: ignore[no-untyped-def]

    assert faults(body) == [
        ("probe 'find'", "wants item: Payment, but step 'a' takes Item", "Write 'item: Item'."),
        ("compensation 'undo'", "wants item: Payment, but step 'a' takes Item", "Write 'item: Item'."),
        ("compensation 'undo'", "wants output: str | None, but step 'a' yields int", "Write 'output: int | None'."),
    ]


def test_a_list_that_is_no_earlier_step() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(parallel="both")
            async def a(self, order: Order) -> list[int]: ...

            @step(parallel="both", each=a)
            async def b(self, order: Order, n: int) -> list[int]: ...

            @step(each="c")
            async def c(self, order: Order, n: int) -> None: ...

            @step(each="e")
            async def d(self, order: Order, n: int) -> None: ...

            @step
            async def e(self, order: Order) -> list[int]: ...

            @step(each=Shipping.book)
            async def f(self, order: Order, n: int) -> None: ...

    assert faults(body) == [
        ("step 'b'", "each='a' runs beside it, in the same group", "Take one of them out of the group."),
        ("step 'c'", "each='c' is the step itself: that is a cycle", "Name the steps that it waits for."),
        (
            "step 'd'",
            "each='e' is declared below it: that would make a cycle",
            "Declare 'e' above 'd'; a step waits for what stands above it.",
        ),
        ("step 'f'", "each='book' is no step of this saga", "Declare it above."),
    ]


def test_a_list_that_is_nothing_at_all() -> None:
    assert faults(lambda: saga({"a": step(each="zzz")(for_each)})) == [
        (
            "step 'a'",
            "each='zzz' is no earlier step, no field of Order, and no method of the class",
            "Write 'def zzz(self, context, ...)'.",
        )
    ]


async def no_element(self: Any, order: Any) -> None: ...
async def by_keyword(self: Any, order: Any, *, element: Any) -> None: ...


@pytest.mark.parametrize("fn", [no_element, by_keyword])
def test_a_step_that_takes_no_element(fn: Any) -> None:
    assert faults(lambda: saga({"a": step(each="items")(fn)})) == [
        ("step 'a'", "takes no element", "Write 'async def a(self, context, element, ...)'.")
    ]


def test_an_element_that_is_called_like_a_step() -> None:
    async def taking(self: Any, order: Any, a: Any) -> None: ...

    assert faults(lambda: saga({"a": step(declared), "b": step(each="items")(taking)})) == [
        (
            "step 'b'",
            "takes its element as 'a', which is the name of a step",
            "Write 'async def b(self, context, element, ...)', with another name for the element.",
        )
    ]


def test_an_element_may_be_called_like_the_step_itself() -> None:
    async def taking(self: Any, order: Any, a: Any) -> None: ...

    assert saga({"a": step(each="items")(taking)}).definition["a"].takes_item


def test_methods_beside_each_take_the_element() -> None:
    body = {"undo": declared, "find": declared, "a": step(each="items", compensate="undo", probe="find")(for_each)}
    assert faults(lambda: saga(body)) == [
        (
            "compensation 'undo'",
            "takes (order: 'Any'), but is called by position, with the context, the element and perhaps the output",
            "Write 'async def undo(self, context, element, output)' or 'async def undo(self, context, element)'.",
        ),
        (
            "probe 'find'",
            "takes (order: 'Any'), but is called by position, with the context and the element",
            "Write 'async def find(self, context, element)'.",
        ),
    ]


@pytest.mark.parametrize(
    ("options", "rule", "remedy"),
    [
        (
            {"each": 3},
            "each=3 is neither a step, nor a field of the context, nor a function of it",
            "Write each='items', or each=lambda context: ....",
        ),
        (
            {"each": "items", "at_once": 0},
            "at_once=0 is no number of at least 1",
            "Write at_once=10, or leave it out for no bound.",
        ),
        (
            {"each": "items", "at_once": True},
            "at_once=True is no number of at least 1",
            "Write at_once=10, or leave it out for no bound.",
        ),
        (
            {"each": "items", "at_once": "3"},
            "at_once='3' is no number of at least 1",
            "Write at_once=10, or leave it out for no bound.",
        ),
        (
            {"each": lambda: [1]},
            "each= takes (nothing), but is called with the context",
            "Write lambda context: ..., or name a method of the class.",
        ),
    ],
)
def test_wrong_options_of_each(options: dict[str, Any], rule: str, remedy: str) -> None:
    assert faults(lambda: saga({"a": step(**options)(for_each)})) == [("step 'a'", rule, remedy)]


# ---------------------------------------------------------------------------------------- saga


def test_a_child_is_done_by_another_saga_and_yields_its_record() -> None:
    class Shop(Saga[Order]):
        @step(saga=Shipping, compensate=None, queue="parents")
        async def ship(self, order: Order) -> Shipment: ...

        @step
        async def tell(self, order: Order, ship: SagaRecord[Shipment]) -> None: ...

    ship = Shop.definition["ship"]
    assert isinstance(Shop.ship, ChildStep)
    assert (ship.kind, ship.child, ship.compensation, ship.is_undoable) == (StepKind.CHILD, "shipping", None, True)
    types = Shop.resolve_types()
    assert types.outputs["ship"] == SagaRecord[Shipment]
    assert types.returns["ship"] is Shipment
    assert dict(types.children) == {"ship": Shipping}


def test_the_context_or_the_record_of_another_saga() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(saga=Shipping)
            async def ship(self, order: Order) -> Payment: ...

            @step
            async def tell(self, order: Order, ship: SagaRecord[Payment]) -> None: ...

    assert faults(body) == [
        (
            "step 'ship'",
            "returns Payment, but the context of Shipping is Shipment",
            "Write '-> Shipment'.",
        ),
        (
            "step 'tell'",
            "wants ship: SagaRecord[Payment], but step 'ship' yields SagaRecord[Shipment]",
            "Write 'ship: SagaRecord[Shipment]'.",
        ),
    ]


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("compensate", "undo", "Drop it: the child's own compensations undo what it did."),
        ("compensation_retry", Retry(), "Drop it, or give the child a compensation_retry= of its own."),
        ("probe", "find", "Drop it: what became of the child is always known."),
        (
            "abort_on",
            (KeyError,),
            "Drop it, or write it in the steps of the child; here only the child's context is made.",
        ),
        (
            "heartbeat_timeout",
            timedelta(seconds=1),
            "Drop it, or write it in the steps of the child; here only the child's context is made.",
        ),
    ],
)
def test_options_that_say_nothing_of_a_child(option: str, value: Any, remedy: str) -> None:
    body = {"undo": declared, "find": declared, "a": step(saga=Shipping, **{option: value})(declared)}
    assert faults(lambda: saga(body)) == [("step 'a'", f"has saga=, of which {option}= says nothing", remedy)]


def test_what_is_no_saga_to_be_started() -> None:
    remedy = "Write saga=ShippingSaga, a subclass of Saga."
    for given, shown in ((3, "3"), (Order, repr(Order)), (declared, "the method 'declared'")):
        body = {"a": step(saga=given)(declared)}
        assert faults(partial(saga, body)) == [("step 'a'", f"saga={shown} is no saga class", remedy)]
    assert faults(lambda: saga({"a": step(saga=Saga)(declared)})) == [
        ("step 'a'", "saga=Saga is abstract", "Name a concrete subclass of it.")
    ]


def test_a_saga_that_would_start_itself() -> None:
    class Inner(Saga[Order], name="shop"):
        @step
        async def a(self, order: Order) -> None: ...

    class Middle(Saga[Order]):
        @step(saga=Inner)
        async def a(self, order: Order) -> Order: ...

    for child in (Inner, Middle):
        assert faults(partial(saga, {"a": step(saga=child)(declared)}, name="shop")) == [
            (
                "step 'a'",
                f"saga={child.__name__} leads back to a saga 'shop': it would start itself without end",
                "Start another saga; or, if that is one, give one of them a name= of its own.",
            )
        ]


# ---------------------------------------------------------------------------------------- waits_for


def test_a_step_that_waits_for_the_outside_yields_the_answer() -> None:
    class Shop(Saga[Order]):
        @step(waits_for=Payment, compensate="cancel", deadline=timedelta(days=3))
        async def ask(self, order: Order) -> None: ...

        async def cancel(self, order: Order, payment: Payment | None) -> None: ...

        @step(waits_for=list[int], signal="numbers")
        async def ask_again(self, order: Order, ask: Payment) -> None: ...

    ask, again = Shop.definition
    assert isinstance(Shop.ask, WaitStep)
    assert (ask.kind, ask.signal, ask.deadline, ask.compensation) == (
        StepKind.WAIT,
        "ask",
        timedelta(days=3),
        "cancel",
    )
    assert (again.signal, again.deadline, again.inputs) == ("numbers", None, ("ask",))
    types = Shop.resolve_types()
    assert dict(types.outputs) == {"ask": Payment, "ask_again": list[int]}
    assert dict(types.returns) == {"ask": type(None), "ask_again": type(None)}


@pytest.mark.parametrize("kind", [Payment, list[int], int | None, Numbers, Any, None], ids=str)
def test_any_type_can_be_waited_for(kind: Any) -> None:
    assert saga({"a": step(waits_for=kind)(declared)}).resolve_types().outputs["a"] == kind


def test_a_step_that_asks_and_answers() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(waits_for=Payment, compensate="cancel")
            async def ask(self, order: Order) -> Payment: ...

            async def cancel(self, order: Order, payment: Item | None) -> None: ...

    assert faults(body) == [
        ("step 'ask'", "returns Payment, but its output is the answer from outside", "Write '-> None': it only asks."),
        (
            "compensation 'cancel'",
            "wants payment: Item | None, but step 'ask' yields Payment",
            "Write 'payment: Payment | None'.",
        ),
    ]


@pytest.mark.parametrize(
    ("options", "rule", "remedy"),
    [
        ({"waits_for": 3}, "waits_for=3 is no type", "Write waits_for=Payment, the type of the answer."),
        (
            {"waits_for": "Payment"},
            "waits_for='Payment' is no type",
            "Write waits_for=Payment, the type of the answer.",
        ),
        (
            {"waits_for": Shipping},
            "waits_for=Shipping is a saga",
            "Write saga=Shipping: then this saga starts it, and waits for it.",
        ),
        (
            {"waits_for": int, "signal": ""},
            "signal='' is no name",
            "Write a str of 1 to 100 printable characters.",
        ),
        (
            {"waits_for": int, "deadline": 3},
            "deadline=3 is no timedelta",
            "Write deadline=timedelta(seconds=3).",
        ),
        (
            {"at_once": 3},
            "has at_once= without each=",
            "It says how many elements are worked on at a time; drop it, or write each=.",
        ),
        (
            {"signal": "x"},
            "has signal= without waits_for=",
            "It says under which name the outside answers; drop it, or write waits_for=.",
        ),
        (
            {"deadline": timedelta(1)},
            "has deadline= without waits_for=",
            "Write timeout= for one attempt, or deadline= as a keyword of the class.",
        ),
        (
            {"waits_for": int, "saga": Shipping},
            "has saga= and waits_for=, which exclude each other",
            "Make a step of each.",
        ),
    ],
)
def test_wrong_options_of_the_kinds(options: dict[str, Any], rule: str, remedy: str) -> None:
    assert faults(lambda: saga({"a": step(**options)(declared)})) == [("step 'a'", rule, remedy)]


# ---------------------------------------------------------------------------------------- payloads


def test_whatever_is_kept_of_a_step_must_be_storable() -> None:
    class Shop(Saga[Order]):
        @step(each="listed")
        async def a(self, order: Order, one: Foreign) -> Foreign: ...

        def listed(self, order: Order) -> list[Foreign]: ...

        @step(waits_for=Foreign)
        async def b(self, order: Order) -> None: ...

        @step(saga=Shipping)
        async def c(self, order: Order) -> Shipment: ...

    reason = "Foreign, which cannot be stored: msgspec does not know Foreign"
    assert [(who, rule) for who, rule, _ in faults(Shop.resolve_types)] == [
        ("step 'a'", f"takes {reason}"),
        ("step 'a'", f"yields {reason}"),
        ("step 'b'", f"waits for {reason}"),
    ]
