"""Annotations are checked as far as they can be read at the class statement, and wholly when an engine asks."""

# mypy: disable-error-code="empty-body, untyped-decorator"
# pyright: reportReturnType=false
# (Steps that are never called need no body.)

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from msgspec import Struct

from sagaflow import saga as face
from sagaflow.errors import DefinitionError
from sagaflow.saga import DefinitionWarning, Saga, SagaMeta

if TYPE_CHECKING:
    from decimal import Decimal

step: Any = face.step  # the faults are what the checkers see too


class Order(Struct):
    n: int


class Payment(Struct):
    ref: str


def faults(act: Callable[[], Any]) -> list[tuple[str, str, str]]:
    """Offender, rule and remedy of each fault of the class that is declared or taken."""
    with pytest.raises(DefinitionError) as caught:
        act()
    return [(fault.offender, fault.rule, fault.remedy) for fault in caught.value.faults]


# ---------------------------------------------------------------------------------------- at the class statement


def test_a_step_that_takes_another_context() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step
            async def a(self, order: Payment) -> int: ...

    assert faults(body) == [
        ("step 'a'", "takes Payment as its context, but the saga is Saga[Order]", "Write 'order: Order'.")
    ]


def test_a_compensation_that_takes_another_context() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(compensate="undo")
            async def a(self, order: Order) -> int: ...

            async def undo(self, payment: Payment) -> None: ...

    assert faults(body) == [
        ("compensation 'undo'", "takes Payment as its context, but the saga is Saga[Order]", "Write 'payment: Order'.")
    ]


def test_an_input_of_another_type() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step
            async def charge(self, order: Order) -> Payment | None: ...

            @step
            async def ship(self, order: Order, charge: Payment) -> int: ...

    assert faults(body) == [
        (
            "step 'ship'",
            "wants charge: Payment, but step 'charge' yields Payment | None",
            "Write 'charge: Payment | None'.",
        )
    ]


def test_a_compensation_that_takes_another_output() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(compensate="refund")
            async def charge(self, order: Order) -> Payment: ...

            async def refund(self, order: Order, payment: str | None) -> None: ...

    assert faults(body) == [
        (
            "compensation 'refund'",
            "wants payment: str | None, but step 'charge' yields Payment",
            "Write 'payment: Payment | None'.",
        )
    ]


def test_the_remedy_says_none_once() -> None:
    def body() -> None:
        class Shop(Saga[Order]):
            @step(compensate="refund")
            async def charge(self, order: Order) -> Payment | None: ...

            async def refund(self, order: Order, payment: Payment) -> None: ...

    assert faults(body) == [
        (
            "compensation 'refund'",
            "wants payment: Payment, but step 'charge' yields Payment | None",
            "Write 'payment: Payment | None'.",
        )
    ]


def test_without_annotations_nothing_is_said_and_outputs_are_anything() -> None:
    class Shop(Saga[Order]):
        @step(compensate="undo")
        async def a(self, order): ...  # type: ignore[no-untyped-def]

        @step
        async def b(self, order, a): ...  # type: ignore[no-untyped-def]

        async def undo(self, order, a): ...  # type: ignore[no-untyped-def]

    assert dict(Shop.resolve_types().outputs) == {"a": Any, "b": Any}
    assert Shop.definition["a"].accepts_unknown


def test_types_that_are_local_to_a_function_are_read_at_once() -> None:
    class Local(Struct):
        n: int

    class Shop(Saga[Order]):
        class Nested(Struct):
            n: int

        @step
        async def a(self, order: Order) -> Local: ...

        @step
        async def b(self, order: Order, a: Local) -> Nested: ...

    assert dict(Shop.resolve_types().outputs) == {"a": Local, "b": Shop.Nested}

    def body() -> None:
        class Child(Shop):
            @step
            async def c(self, order: Order, a: int) -> None: ...

    assert faults(body) == [("step 'c'", "wants a: int, but step 'a' yields Local", "Write 'a: Local'.")]


def test_types_around_a_class_in_a_class_in_a_function_are_read() -> None:
    class Local(Struct):
        n: int

    class Outer:
        class Inner(Saga[Order]):
            @step
            async def a(self, order: Order) -> Local: ...

    assert Outer.Inner.resolve_types().outputs["a"] is Local


def make_with_a_type_of_its_caller() -> type[Saga[Order]]:
    class Shop(Saga[Order]):
        @step
        async def a(self, order: Order) -> OfTheCaller: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    return Shop


def test_types_of_a_caller_are_not_seen() -> None:
    class OfTheCaller(Struct):
        n: int

    assert OfTheCaller(1).n == 1
    saga = make_with_a_type_of_its_caller()
    ((_, rule, _),) = faults(saga.resolve_types)
    assert rule == "the type 'OfTheCaller' in its annotations cannot be found at run time"


def test_a_class_of_a_module_keeps_no_names_of_its_own() -> None:
    assert vars(Forward)["__saga_names__"] == {}


def test_a_base_that_only_stands_for_others_is_passed_over() -> None:
    class Stand:
        def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
            return ()

    stand: Any = Stand()

    class Shop(Saga[Order], stand):  # type: ignore[misc]
        @step
        async def a(self, order: Order) -> None: ...

    assert Shop.resolve_types().context is Order


def test_what_surrounds_a_class_is_not_kept_alive_by_it() -> None:
    secret = {"password": "hunter2"}

    class Shop(Saga[Order]):
        @step
        async def a(self, order: Order) -> None: ...

    assert secret
    assert "secret" not in vars(Shop)["__saga_names__"]


def test_a_step_that_is_called_like_a_type_is_not_mistaken_for_it() -> None:
    class Shop(Saga[Order]):
        @step
        async def Payment(self, order: Order) -> None: ...  # noqa: N802

        @step
        async def b(self, order: Order) -> Payment: ...  # type: ignore[valid-type]

    assert Shop.resolve_types().outputs["b"] is Payment


T = TypeVar("T", bound=Struct)


def test_a_base_without_its_type_arguments_does_not_say_what_the_context_is() -> None:
    class Base(Saga[T], abstract=True):
        @step
        async def a(self, context: T) -> int: ...

    def body() -> None:
        class Shop(Base):  # type: ignore[type-arg]
            pass

    assert [(offender, rule) for offender, rule, _ in faults(body)] == [
        ("the class", "does not say what its context is")
    ]


def test_inherited_types_are_checked_as_the_subclass_sees_them() -> None:
    class Base(Saga[T]):
        @step
        async def a(self, context: T) -> T: ...

    class Right(Base[Order]):
        @step
        async def b(self, order: Order, a: Order) -> list[Order]: ...

    def body() -> None:
        class Wrong(Base[Order]):
            @step
            async def b(self, order: Order, a: Payment) -> None: ...

    assert dict(Right.resolve_types().outputs) == {"a": Order, "b": list[Order]}
    assert faults(body) == [("step 'b'", "wants a: Payment, but step 'a' yields Order", "Write 'a: Order'.")]


# ---------------------------------------------------------------------------------------- unknown outcomes


def test_a_compensation_that_does_not_admit_none_warns_at_the_class_statement() -> None:
    with pytest.warns(DefinitionWarning) as caught:

        class Shop(Saga[Order]):
            @step(compensate="refund")
            async def charge(self, order: Order) -> Payment: ...

            async def refund(self, order: Order, payment: Payment) -> None: ...

    (warning,) = caught
    assert not Shop.definition["charge"].accepts_unknown
    assert Shop.definition["charge"].takes_output
    assert warning.filename == __file__
    assert warning.lineno == Shop.refund.__code__.co_firstlineno - 4
    assert str(warning.message).startswith(
        "Shop: compensation 'refund' wants payment: Payment. If the outcome of step 'charge' is unknown there is no "
        "output to give it, and the saga would end as failed. Write 'payment: Payment | None' and let it find out by "
        "self.step_key."
    )
    assert "test_definition_types.py" in str(warning.message)


@pytest.mark.parametrize("hint", [Any, object, None, Payment | None, "untyped"])
def test_a_compensation_that_admits_none_accepts_an_unknown_outcome(hint: Any) -> None:
    async def undo(self: Any, order: Order, output: Any) -> None: ...

    undo.__annotations__["output"] = hint
    if hint == "untyped":
        del undo.__annotations__["output"]

    async def charge(self: Any, order: Order) -> Any: ...

    charge.__annotations__["return"] = None if hint is None else Payment

    class Shop(Saga[Order]):
        refund = undo
        pay = step(compensate=refund)(charge)

    assert Shop.definition["pay"].accepts_unknown
    assert Shop.resolve_types().definition["pay"].accepts_unknown


def test_a_shared_compensation_warns_once_for_each_step() -> None:
    with pytest.warns(DefinitionWarning) as caught:

        class Shop(Saga[Order]):
            @step(compensate="undo")
            async def a(self, order: Order) -> int: ...

            @step(compensate="undo")
            async def b(self, order: Order) -> int: ...

            async def undo(self, order: Order, output: int) -> None: ...

    assert len(caught) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Shop.resolve_types()


# ---------------------------------------------------------------------------------------- when an engine takes it


class Forward(Saga[Order]):
    @step
    async def a(self, order: Order) -> Later: ...

    @step
    async def b(self, order: Order, a: Later) -> None: ...


class Backward(Saga[Order]):
    @step
    async def a(self, order: Order) -> Later: ...

    @step
    async def b(self, order: Order, a: Other) -> None: ...


class Strict(Saga[Order]):
    @step(compensate="undo")
    async def a(self, order: Order) -> Later: ...

    async def undo(self, order: Order, output: Later) -> None: ...


class Hidden(Saga[Order]):
    @step(compensate="undo")
    async def a(self, order: Order) -> Decimal: ...

    async def undo(self, order: Order, output: Decimal | None) -> None: ...


class Odd(Saga[Order]):
    @step
    async def a(self, order: Order) -> warnings.nothing: ...  # type: ignore[name-defined]  # pyright: ignore[reportAttributeAccessIssue]


class Later(Struct):
    n: int


class Other(Struct):
    n: int


def test_forward_references_are_read_when_an_engine_takes_the_saga() -> None:
    types = Forward.resolve_types()

    assert types.context is Order
    assert dict(types.outputs) == {"a": Later, "b": type(None)}
    assert types.definition is Forward.definition
    assert Forward.resolve_types() is types


def test_forward_references_are_checked_when_an_engine_takes_the_saga() -> None:
    assert Backward.definition.name == "Backward"
    for _ in range(2):  # a second engine hears of it too
        assert faults(Backward.resolve_types) == [
            ("step 'b'", "wants a: Other, but step 'a' yields Later", "Write 'a: Later'.")
        ]


def test_whether_none_is_admitted_is_final_when_an_engine_takes_the_saga() -> None:
    assert Strict.definition["a"].accepts_unknown
    with pytest.warns(DefinitionWarning, match="wants output: Later") as caught:
        Strict.resolve_types()
    assert caught[0].filename == __file__
    assert not Strict.definition["a"].accepts_unknown


def test_what_is_imported_for_checkers_only_is_a_fault_with_its_remedy() -> None:
    remedy = "Import it at run time (not under TYPE_CHECKING), or define it at module level."
    rule = "the type 'Decimal' in its annotations cannot be found at run time"
    assert faults(Hidden.resolve_types) == [("step 'a'", rule, remedy), ("compensation 'undo'", rule, remedy)]


def test_annotations_that_raise_are_a_fault() -> None:
    ((offender, rule, _),) = faults(Odd.resolve_types)
    assert offender == "step 'a'"
    assert rule.startswith("its annotations cannot be read (AttributeError: module 'warnings' has no")


class Foreign:
    pass


def test_types_that_cannot_be_stored_are_faults() -> None:
    class Shop(Saga[Foreign]):
        @step
        async def a(self, order: Foreign) -> Foreign: ...

        @step
        async def b(self, order: Foreign) -> Order | Payment: ...

        @step
        async def c(self, order: Foreign) -> dict[str, list[Foreign]]: ...

        @step
        async def d(self, order: Foreign) -> dict[tuple[int, int] | str, int]: ...

    remedy = "Use a msgspec.Struct, a dataclass, an attrs class, a TypedDict, or plain types."
    found = faults(Shop.resolve_types)
    assert [offender for offender, _, _ in found] == ["the class", "step 'a'", "step 'b'", "step 'c'", "step 'd'"]
    assert {given for _, _, given in found} == {remedy}
    rules = [rule for _, rule, _ in found]
    assert rules[0] == "has the context Foreign, which cannot be stored: msgspec does not know Foreign"
    assert rules[1] == "yields Foreign, which cannot be stored: msgspec does not know Foreign"
    assert rules[2].startswith("yields Order | Payment, which cannot be stored: If a type union contains multiple")
    assert rules[3].endswith("cannot be stored: msgspec does not know Foreign")
    assert rules[4].endswith("the keys of a dict must be text, numbers, or something that is written as text")


class Tree(Struct):
    children: dict[str, Tree]
    anything: object = None


def test_types_that_contain_themselves_can_be_stored() -> None:
    class Shop(Saga[Tree]):
        @step
        async def a(self, tree: Tree) -> list[Tree]: ...

    assert Shop.resolve_types().context is Tree


def test_annotations_of_the_payload_that_cannot_be_read_are_faults_too() -> None:
    class Broken(Struct):
        n: Nowhere  # type: ignore[name-defined]  # pyright: ignore[reportUndefinedVariable]  # noqa: F821

    class Shop(Saga[Broken]):
        @step
        async def a(self, broken: Broken) -> None: ...

    ((_, rule, _),) = faults(Shop.resolve_types)
    assert rule == "has the context Broken, which cannot be stored: NameError: name 'Nowhere' is not defined"


def test_an_abstract_saga_has_no_types() -> None:
    with pytest.raises(TypeError, match="Saga is abstract"):
        Saga.resolve_types()
    assert isinstance(Saga, SagaMeta)
