"""Conditions, probes, the point of no return, locks, and the smaller options."""

# mypy: disable-error-code="empty-body, untyped-decorator"
# pyright: reportReturnType=false
# (Steps that are never called need no body.)

from __future__ import annotations

import functools
import operator
import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from types import new_class
from typing import Any, Generic, TypeVar

import pytest
from msgspec import Struct

from sagaflow import saga as face
from sagaflow.core.definition import Derived
from sagaflow.core.retry import Retry
from sagaflow.probing import Happened, NotHappened, StillUnknown
from sagaflow.saga import DefinitionWarning, Saga
from tests.unit.test_definition_faults import faults

step: Any = face.step  # the faults are what the checkers see too


class Customer(Struct):
    name: str


class Order(Struct):
    n: int
    customer: Customer
    is_gift: bool = False


def saga(body: dict[str, Any], context: Any = Order, **keywords: Any) -> Any:
    """A class statement, as an expression."""
    return new_class("Shop", (Saga[context],), keywords, lambda namespace: namespace.update(body))


async def declared(self: Any, order: Any) -> Any: ...


def options_of(**options: Any) -> list[tuple[str, str, str]]:
    return faults(lambda: saga({"a": step(**options)(declared)}))


# ---------------------------------------------------------------------------------------- when


def test_a_condition_is_a_plain_method_or_a_function_of_the_context() -> None:
    def is_gift(order: Order) -> bool: ...

    class Shop(Saga[Order]):
        @step
        async def price(self, order: Order) -> int: ...

        @step(when="is_dear", after=())
        async def wrap(self, order: Order) -> str: ...

        def is_dear(self, order: Order, price: int) -> bool: ...

        @step(when=is_dear, after=())
        async def bow(self, order: Order) -> str: ...

        @step(when=is_gift)
        async def card(self, order: Order, wrap: str | None, bow) -> str: ...  # type: ignore[no-untyped-def]

    price, wrap, bow, card = Shop.definition
    assert price.when is None
    assert wrap.when == bow.when == Derived(method="is_dear", inputs=("price",))
    assert wrap.after == bow.after == ("price",)
    assert card.when == Derived(function=is_gift)
    assert Shop.resolve_types().outputs["wrap"] is str


@pytest.mark.parametrize("fn", [operator.attrgetter("is_gift"), bool, lambda order, strict=False: True, type])
def test_whatever_takes_the_context_decides(fn: Any) -> None:
    assert saga({"a": step(when=fn)(declared)}).definition["a"].when == Derived(function=fn)


def test_an_override_of_a_condition_wins() -> None:
    class Base(Saga[Order]):
        def is_dear(self, order: Order) -> bool: ...

        @step(when=is_dear)
        async def a(self, order: Order) -> int: ...

        @step
        async def b(self, order: Order) -> int: ...

    async def is_dear(self: Any, order: Order) -> bool: ...

    assert Base.definition["a"].when == Derived(method="is_dear")
    assert [rule for _, rule, _ in faults(lambda: new_class("Child", (Base,), {}, lambda n: n.update(is_dear=is_dear)))]


def test_what_takes_the_output_of_a_step_that_may_be_skipped_admits_none() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(when=lambda order: order.is_gift)
            async def wrap(self, order: Order) -> str: ...

            @step(when="is_dear")
            async def tell(self, order: Order, wrap: str) -> int: ...

            def is_dear(self, order: Order, wrap: str) -> bool: ...

            @step
            async def ship(self, order: Order, tell: str) -> None: ...

    rule = "wants wrap: str, but step 'wrap' has when=, and yields None if it is skipped"
    assert faults(body) == [
        ("step 'tell'", rule, "Write 'wrap: str | None'."),
        ("step 'tell'", f"when='is_dear' {rule}", "Write 'wrap: str | None'."),
        ("step 'ship'", "wants tell: str, but step 'tell' yields int", "Write 'tell: int | None'."),
    ]


T = TypeVar("T")


class Box(Generic[T]):
    pass


def test_what_a_condition_takes_is_checked_as_for_a_step() -> None:  # noqa: C901  # a class is no branch
    def body() -> None:
        class Shop(Saga[Order]):
            @step
            async def price(self, order: Order) -> int: ...

            @step(when="first")
            async def a(self, order: Order) -> None: ...

            @step(when="second")
            async def b(self, order: Order) -> None: ...

            @step(when="third")
            async def c(self, order: Order) -> None: ...

            @step(when="fourth")
            async def d(self, order: Order) -> None: ...

            @step(when="fifth")
            async def e(self, order: Order) -> None: ...

            def first(self, order: Customer, price: str) -> bool: ...
            def second(self, order: Order, pricf: int, b: None, c: None) -> bool: ...
            def third(self) -> bool: ...
            def fourth(self, *args: Any) -> bool: ...
            def fifth(self, order: Order, price: int, /) -> bool: ...

    assert faults(body) == [
        ("step 'b'", "when='second' parameter 'pricf' names no step", "Did you mean 'price'?"),
        (
            "step 'b'",
            "when='second' takes its own output",
            "Call the parameter like the step whose output it takes.",
        ),
        (
            "step 'b'",
            "when='second' takes the output of 'c', which is declared below it",
            "Declare 'c' above 'b'.",
        ),
        ("step 'c'", "when='third' takes no context", "Write 'def third(self, context, ...)'."),
        (
            "step 'd'",
            "when='fourth' takes *args or **kwargs, which name no step",
            "Write a parameter for each step whose output it takes.",
        ),
        (
            "step 'e'",
            "when='fifth' takes 'price' by position only, but outputs are handed over by name",
            "Write the '/' right after the context, or leave it out.",
        ),
        (
            "step 'a'",
            "when='first' takes Customer as its context, but the saga is Saga[Order]",
            "Write 'order: Order'.",
        ),
        ("step 'a'", "when='first' wants price: str, but step 'price' yields int", "Write 'price: int'."),
    ]


async def generating(self: Any, order: Any) -> AsyncIterator[bool]:
    yield True


PLAIN = "Decide in plain code; fetch what that needs in an earlier step, and take its output."
WRITE = "Write 'def decide(self, context, ...)'."


@pytest.mark.parametrize(
    ("member", "rule", "remedy"),
    [
        (declared, "is an async function", PLAIN),
        (generating, "is an async function", PLAIN),
        (staticmethod(declared), "is a static method", WRITE),
        (classmethod(declared), "is a class method", WRITE),
        (functools.partial(declared), "is no method, but an object of type partial", WRITE),
        (step(declared), "is itself a step", "Name a plain method that takes its output."),
    ],
    ids=["async", "generator", "static method", "class method", "partial", "step"],
)
def test_a_condition_that_is_no_plain_method(member: Any, rule: str, remedy: str) -> None:
    body = {"a": step(when="decide")(declared), "decide": member}
    assert faults(lambda: saga(body)) == [("step 'a'", f"when='decide' {rule}", remedy)]


def test_a_condition_that_there_is_not() -> None:
    assert options_of(when="decide") == [("step 'a'", "when='decide' names no method of the class", WRITE)]
    body = {"a": step(when="decid")(declared), "decide": lambda self, order: True}
    assert faults(lambda: saga(body)) == [
        ("step 'a'", "when='decid' names no method of the class", "Did you mean 'decide'?")
    ]


def test_a_condition_that_is_no_function_of_the_context() -> None:
    def two(order: Order, price: int) -> bool: ...

    takes = "Write lambda context: ..., or name a method of the class."
    async_rule = ("step 'a'", "when= is an async function", PLAIN)
    assert options_of(when=two) == [("step 'a'", "when= takes (order, price), but is called with the context", takes)]
    assert options_of(when=lambda: True) == [
        ("step 'a'", "when= takes (nothing), but is called with the context", takes)
    ]
    assert async_rule in options_of(when=declared)
    assert options_of(when=3) == [
        (
            "step 'a'",
            "when=3 is neither a method's name nor a function of the context",
            "Write when='a_method', or when=lambda context: ....",
        )
    ]
    other = step(declared)
    assert faults(lambda: saga({"other": other, "a": step(when=other)(declared)})) == [
        (
            "step 'a'",
            "when=other is itself a step",
            "Name a plain method that takes the step's output and says yes or no.",
        )
    ]


class Late(Saga[Order]):
    @step(when="decide")
    async def a(self, order: Order) -> None: ...

    def decide(self, order: Order) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


def test_a_condition_whose_annotations_cannot_be_read() -> None:
    ((offender, rule, _),) = faults(Late.resolve_types)
    assert offender == "step 'a'"
    assert rule == "when='decide' the type 'Nowhere' in its annotations cannot be found at run time"


# ---------------------------------------------------------------------------------------- probe


def test_a_probe_is_an_async_method_that_says_what_happened() -> None:
    class Shop(Saga[Order]):
        @step(compensate="refund", probe="find")
        async def charge(self, order: Order) -> int: ...

        async def refund(self, order: Order, payment: int) -> None: ...

        async def find(self, order: Order) -> Happened[int] | NotHappened | StillUnknown: ...

        async def know(self, order: Order) -> NotHappened: ...

        @step(probe=know)
        async def ship(self, order: Order) -> int: ...

        @step(probe=None)
        async def tell(self, order: Order) -> int: ...

        @step(waits_for=int, probe="find")
        async def ask(self, order: Order) -> None: ...

    charge, ship, tell, ask = Shop.definition
    assert [charge.probe, ship.probe, tell.probe, ask.probe] == ["find", "know", None, "find"]
    assert not charge.accepts_unknown
    assert Shop.resolve_types().definition["charge"].probe == "find"


def test_a_probe_that_says_something_else() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(probe="first")
            async def a(self, order: Order) -> int: ...

            @step(probe="second")
            async def b(self, order: Order) -> int: ...

            async def first(self, order: Customer) -> bool: ...
            async def second(self, order: Order) -> Happened[str] | None: ...

    remedy = "Write '-> Happened[int] | NotHappened | StillUnknown'."
    assert faults(body) == [
        ("probe 'first'", "takes Customer as its context, but the saga is Saga[Order]", "Write 'order: Order'."),
        ("probe 'first'", "returns bool, which does not say what happened", remedy),
        ("probe 'second'", "returns Happened[str], but step 'b' yields int", remedy),
        ("probe 'second'", "returns None, which does not say what happened", remedy),
    ]


async def with_output(self: Any, order: Any, output: Any) -> Any: ...
def plainly(self: Any, order: Any) -> Any: ...


def test_a_probe_that_cannot_be_called() -> None:
    def probed(probe: Any, **members: Any) -> list[tuple[str, str, str]]:
        return faults(lambda: saga({"a": step(probe=probe)(declared), **members}))

    other = step(declared)
    beside = "Name a method without @step: a step is done, a probe finds out whether it was."
    write = "Write 'async def find(self, context)'"
    assert probed("find") == [("step 'a'", "probe='find' names no method of the class", f"{write}.")]
    assert probed("find", find=with_output) == [
        (
            "probe 'find'",
            "takes (order: 'Any', output: 'Any'), but is called by position, with the context",
            f"{write}.",
        )
    ]
    assert probed("find", find=plainly) == [
        ("probe 'find'", "is not an async function", f"{write}; wrap blocking calls in asyncio.to_thread.")
    ]
    assert probed("find", find=functools.partial(declared)) == [
        ("probe 'find'", "is no method, but an object of type partial", f"{write}.")
    ]
    assert probed("other", other=other) == [("step 'a'", "probe='other' is itself a step", beside)]
    assert probed(other, other=other) == [("step 'a'", "probe=other is itself a step", beside)]
    assert probed(3) == [
        ("step 'a'", "probe=3 is neither a method nor a method's name", "Name an async method of the class.")
    ]


# ---------------------------------------------------------------------------------------- pivot


def test_after_the_pivot_steps_are_tried_for_ever_unless_they_say_otherwise() -> None:
    class Shop(Saga[Order]):
        @step(compensate=None)
        async def check(self, order: Order) -> None: ...

        @step(pivot=True, probe="find")
        async def pay(self, order: Order) -> None: ...

        async def find(self, order: Order) -> NotHappened: ...

        @step
        async def ship(self, order: Order) -> None: ...

        @step(retry=Retry(attempts=2), compensate=None)
        async def tell(self, order: Order) -> None: ...

    class Patient(Shop, retry=Retry(attempts=7, factor=3)):
        pass

    check, pay, ship, tell = Shop.definition
    assert Shop.definition.pivot is pay
    assert [one.retry for one in Shop.definition] == [Retry(), Retry(), Retry(attempts=None), Retry(attempts=2)]
    assert [one.retry.attempts for one in Patient.definition] == [7, 7, None, 2]
    assert Patient.definition["ship"].retry.factor == 3
    assert [one.pivot for one in (check, pay, ship, tell)] == [False, True, False, False]


class Child(Saga[Order]):
    @step
    async def a(self, order: Order) -> None: ...


def test_before_the_pivot_a_step_says_how_it_is_undone_and_the_pivot_what_happened() -> None:
    with pytest.warns(DefinitionWarning) as caught:

        class Shop(Saga[Order]):
            @step
            async def check(self, order: Order) -> None: ...

            @step(saga=Child)
            async def child(self, order: Order) -> Order: ...

            @step(pivot=True)
            async def pay(self, order: Order) -> None: ...

    pay, check = (str(one.message).partition("\n")[0] for one in caught)
    assert pay == (
        "Shop: the pivot 'pay' has no probe. If its outcome is unknown nobody can say whether there is a way back, and "
        "the saga would end as failed. Write probe='a_method' that finds out."
    )
    assert check == (
        "Shop: step 'check' stands before the pivot 'pay', and nothing says how it is undone. Write compensate=None if "
        "there is nothing to undo."
    )
    assert all("\n     at tests/unit/test_language_options.py:" in str(one.message) for one in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Shop.resolve_types()


def test_a_child_as_the_pivot_needs_no_probe() -> None:
    class Shop(Saga[Order]):
        @step(saga=Child, pivot=True)
        async def child(self, order: Order) -> Order: ...

        @step(saga=Child)
        async def another(self, order: Order) -> Order: ...

    assert Shop.definition["another"].retry.attempts is None


def test_a_child_that_can_pass_its_pivot_stands_at_or_after_that_of_its_parent() -> None:
    class Sells(Saga[Order]):
        @step(pivot=True, probe="find")
        async def pay(self, order: Order) -> None: ...

        async def find(self, order: Order) -> Happened[None] | NotHappened: ...

    with pytest.warns(DefinitionWarning) as caught:

        class Shop(Saga[Order]):
            @step(saga=Sells)
            async def sell(self, order: Order) -> Order:
                return order

    (warning,) = caught
    assert str(warning.message).startswith(
        "Shop: step 'sell' runs Sells, which has the pivot 'pay': once that has begun, the step cannot be undone. Make "
        "it the pivot of this saga, or put it after the pivot."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Careful(Saga[Order]):
            @step(saga=Sells, pivot=True)
            async def sell(self, order: Order) -> Order:
                return order

            @step(saga=Sells)
            async def sell_again(self, order: Order) -> Order:
                return order


def test_what_does_not_go_with_a_pivot() -> None:
    def body() -> None:
        class Shop(Saga[Any]):
            @step(compensate=None)
            async def first(self, order: Any) -> None: ...

            @step(pivot=True, compensate="undo", when=bool, each="items", probe="find")
            async def pay(self, order: Any, item: Any) -> None: ...

            @step(after=first)
            async def beside(self, order: Any) -> None: ...

            @step(compensate="undo")
            async def ship(self, order: Any) -> None: ...

            @step(pivot=True)
            async def again(self, order: Any) -> None: ...

            async def undo(self, order: Any, item: Any = None) -> None: ...
            async def find(self, order: Any, item: Any) -> NotHappened: ...

    assert faults(body) == [
        (
            "step 'again'",
            "is a second pivot, after 'pay'",
            "Keep one of them: a saga has one point of no return.",
        ),
        ("step 'pay'", "is the pivot, but has when=", "Drop when=: a saga always passes its point of no return."),
        (
            "step 'pay'",
            "is the pivot, but has each=: of its elements some may fail when others are done",
            "Make the pivot a step of its own, that happens at one stroke.",
        ),
        (
            "step 'pay'",
            "is the pivot, but has compensate=: once it has begun there is no way back",
            "Write probe= instead, which finds out what happened.",
        ),
        (
            "step 'beside'",
            "runs beside the pivot 'pay', so that nobody knows whether there is a way back for it",
            "Write after='pay', or let the pivot wait for it with after='beside'.",
        ),
        (
            "step 'ship'",
            "has compensate=, but stands after the pivot 'pay': there is no way back",
            "Drop compensate=, or move the step above the pivot.",
        ),
    ]


# ---------------------------------------------------------------------------------------- locks


class Typed(Struct, Generic[T]):
    inner: T


def test_a_lock_is_a_template_or_a_function_of_the_context() -> None:
    def key(order: Order) -> str: ...

    class Shop(Saga[Order], lock="order:{n}:{customer.name}"):
        @step(lock=key)
        async def a(self, order: Order) -> None: ...

        @step(lock="{{all}}")
        async def b(self, order: Order) -> None: ...

        @step
        async def c(self, order: Order) -> None: ...

    class Inheriting(Shop):
        pass

    assert Shop.definition.lock == Inheriting.definition.lock == Derived(template="order:{n}:{customer.name}")
    assert [one.lock for one in Shop.definition] == [Derived(function=key), Derived(template="{{all}}"), None]
    assert saga({"a": step(declared)}, lock=key).definition.lock == Derived(function=key)
    assert saga({"a": step(declared)}, Any, lock="{x.y}").definition.lock == Derived(template="{x.y}")
    assert saga({"a": step(declared)}, Typed[Customer], lock="{inner.name}").definition.lock is not None


@pytest.mark.parametrize(
    ("lock", "rule", "remedy"),
    [
        ("o:{m}", "lock='o:{m}' names 'm', which is no field of Order", "Name a field of it."),
        (
            "o:{custome.name}",
            "lock='o:{custome.name}' names 'custome', which is no field of Order",
            "Did you mean 'customer'?",
        ),
        (
            "o:{customer.nam}",
            "lock='o:{customer.nam}' names 'nam', which is no field of Customer",
            "Did you mean 'name'?",
        ),
        (
            "o:{n.real}",
            "lock='o:{n.real}' names 'real', which is no field of int",
            "Name a field of it.",
        ),
        (
            "o:{n",
            "lock='o:{n' is no template: expected '}' before end of string",
            "Write each field as '{field}', and a brace of its own as '{{'.",
        ),
        (
            "o:{n!r:>3}",
            "lock='o:{n!r:>3}' has {n!r:>3} in it",
            "Write plain '{field}' or '{field.field}' only, or a function of the context.",
        ),
        (
            "o:{n[0]}",
            "lock='o:{n[0]}' has {n[0]} in it",
            "Write plain '{field}' or '{field.field}' only, or a function of the context.",
        ),
        (
            "o:{}",
            "lock='o:{}' has {} in it",
            "Write plain '{field}' or '{field.field}' only, or a function of the context.",
        ),
        (
            "",
            "lock='' is neither a template nor a function of the context",
            "Write lock='order:{order_id}', or lock=lambda context: ....",
        ),
        (
            3,
            "lock=3 is neither a template nor a function of the context",
            "Write lock='order:{order_id}', or lock=lambda context: ....",
        ),
        (
            lambda: "x",
            "lock= takes (nothing), but is called with the context",
            "Write lambda context: ..., or name a method of the class.",
        ),
    ],
)
def test_a_wrong_lock_of_a_step_or_of_the_class(lock: Any, rule: str, remedy: str) -> None:
    assert options_of(lock=lock) == [("step 'a'", rule, remedy)]
    assert faults(lambda: saga({"a": step(declared)}, lock=lock)) == [("the class", rule, remedy)]


def test_a_step_is_no_lock() -> None:
    other = step(declared)
    ((_, rule, _),) = faults(lambda: saga({"other": other, "a": step(lock=other)(declared)}))
    assert rule.endswith("is neither a template nor a function of the context")


# ---------------------------------------------------------------------------------------- the smaller ones


def test_the_smaller_options_are_kept_as_they_are_written() -> None:
    class Shop(Saga[Order], cancel_siblings=True, compensation_deadline=timedelta(days=1)):
        @step(
            delay=timedelta(minutes=1),
            heartbeat_timeout=timedelta(seconds=3),
            formerly="bill",
        )
        async def charge(self, order: Order) -> None: ...

        @step(formerly=["send", "post"], delay=timedelta(0))
        async def ship(self, order: Order) -> None: ...

    charge, ship = Shop.definition
    assert (charge.delay, charge.heartbeat_timeout, charge.formerly) == (
        timedelta(minutes=1),
        timedelta(seconds=3),
        ("bill",),
    )
    assert (ship.delay, ship.heartbeat_timeout, ship.formerly) == (timedelta(0), None, ("send", "post"))
    assert Shop.definition.cancel_siblings
    assert Shop.definition.compensation_deadline == timedelta(days=1)
    assert Shop.definition.lock is None


def test_an_earlier_name_belongs_to_one_step_that_is_gone() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(formerly="ship")
            async def charge(self, order: Order) -> None: ...

            @step(formerly=["send", "send"])
            async def ship(self, order: Order) -> None: ...

            @step(formerly="send")
            async def tell(self, order: Order) -> None: ...

    once = "A step of an earlier version became one step: say it once."
    assert faults(body) == [
        (
            "step 'charge'",
            "formerly='ship' is the name of a step that there is",
            "Name what the step was called in an earlier version of the class.",
        ),
        ("step 'ship'", "formerly='send' is said of 'ship' already", once),
        ("step 'tell'", "formerly='send' is said of 'ship' already", once),
    ]


@pytest.mark.parametrize(
    ("option", "value", "rule", "remedy"),
    [
        ("delay", 3, "delay=3 is no timedelta", "Write delay=timedelta(seconds=3)."),
        ("delay", None, "delay=None is no timedelta", "Leave delay= out for no wait."),
        (
            "delay",
            timedelta(seconds=-1),
            "delay=datetime.timedelta(days=-1, seconds=86399) is negative",
            "Write a time of at least zero, or leave delay= out.",
        ),
        (
            "heartbeat_timeout",
            timedelta(0),
            "heartbeat_timeout=datetime.timedelta(0) leaves no time at all",
            "Write a time above zero, or leave heartbeat_timeout= out for no limit.",
        ),
        ("pivot", 1, "pivot=1 is neither True nor False", "Write pivot=True, or leave it out."),
        (
            "formerly",
            3,
            "formerly=3 is neither a name nor several",
            "Write formerly='charge', or formerly=['charge', 'pay'].",
        ),
        ("formerly", [3], "formerly=3 is no name", "Write a str of 1 to 100 printable characters."),
    ],
)
def test_a_smaller_option_with_a_wrong_value(option: str, value: Any, rule: str, remedy: str) -> None:
    assert options_of(**{option: value}) == [("step 'a'", rule, remedy)]


def test_a_class_made_twice_is_checked_and_warned_of_once() -> None:
    with pytest.warns(DefinitionWarning) as caught:

        @dataclass(slots=True)
        class Shop(Saga[Order], lock="{n}"):
            name: str

            @step(pivot=True)
            async def pay(self, order: Order) -> None: ...

    assert len(caught) == 1
    assert Shop.definition.lock == Derived(template="{n}")
