"""Generic sagas in the syntax of Python 3.12, at run time. The source is text, for Pythons that cannot parse it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from sagaflow.errors import DefinitionError

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")

SOURCE = """
from typing import Any

from msgspec import Struct

from sagaflow.saga import Saga, step

class Order(Struct):
    n: int

class Money(Struct):
    cents: int

type Price = Money
type Prices = list[Price]
type Several[T] = list[T]

class Base[T](Saga[T], abstract=True):
    @step(compensate="undo")
    async def log(self, context: T) -> str: ...

    async def undo(self, context: T, out: str | None) -> None: ...

class Pair[T, V](Base[T]):
    @step(compensate="unmake")
    async def make(self, context: T, log: str) -> list[V]: ...

    async def unmake(self, context: T, out: list[V] | None) -> None: ...

class Concrete(Pair[Order, Money]):
    @step
    async def more(self, context: Order, log: str, make: list[Money]) -> Prices: ...

    @step
    async def last(self, context: Order, more: list[Money]) -> Several[Order]: ...

    @step
    async def generic[X](self, context: Order, last: list[Order]) -> list[X]: ...

def wrong() -> Any:
    class Wrong(Pair[Order, Money]):
        @step
        async def more(self, context: Order, make: list[str]) -> int: ...

def wrong_alias() -> Any:
    class Wrong(Concrete):
        @step
        async def after(self, context: Order, last: list[str]) -> int: ...

def in_a_function() -> Any:
    class Local(Struct):
        n: int

    class Inner[T](Saga[T], abstract=True):
        @step
        async def a(self, context: T) -> Local: ...

        @step
        async def b(self, context: T, a: Local) -> dict[str, T]: ...

    class Outer(Inner[Order]):
        pass

    return Outer, Local
"""


@pytest.fixture(params=["from __future__ import annotations\n", ""], ids=["as text", "evaluated"])
def module(request: pytest.FixtureRequest) -> Any:
    made = ModuleType("pep695")
    sys.modules[made.__name__] = made  # where annotations that are text are looked up
    exec(compile(request.param + SOURCE, "pep695.py", "exec"), vars(made))
    yield made
    del sys.modules[made.__name__]


def test_generic_bases_and_aliases_are_read(module: Any) -> None:
    types = module.Concrete.resolve_types()

    assert [(declared.name, declared.after) for declared in types.definition] == [
        ("log", ()),
        ("make", ("log",)),
        ("more", ("make",)),
        ("last", ("more",)),
        ("generic", ("last",)),
    ]
    assert types.context is module.Order
    assert types.outputs["make"] == list[module.Money]


def test_generic_sagas_are_abstract(module: Any) -> None:
    with pytest.raises(TypeError, match="Pair is abstract"):
        module.Pair.resolve_types()


def test_faults_show_what_stands_for_a_type_parameter(module: Any) -> None:
    with pytest.raises(DefinitionError, match=r"wants make: list\[str\], but step 'make' yields list\[Money\]"):
        module.wrong()
    with pytest.raises(DefinitionError, match=r"wants last: list\[str\], but step 'last' yields Several\[Order\]"):
        module.wrong_alias()


def test_types_around_a_generic_class_in_a_function_are_read(module: Any) -> None:
    saga, local = module.in_a_function()
    assert dict(saga.resolve_types().outputs) == {"a": local, "b": dict[str, module.Order]}
