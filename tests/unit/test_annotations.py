"""Types are compared so that only certain mistakes are called mistakes, and shown as their author wrote them."""

# unions are tested in both of their forms
# ruff: noqa: PYI061, UP007, UP045
# pyright: reportGeneralTypeIssues=false
# (Unions are tested in both of their forms, and type variables outside of any function.)

import collections.abc
import enum
import sys
import types
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    Never,
    NewType,
    NoReturn,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from sagaflow.core.annotations import (
    Unresolved,
    admits_none,
    assignable,
    hints_of,
    show,
    show_optional,
    substitute,
    typelike,
)


class Base(Struct):
    n: int


class Sub(Base):
    pass


class Other(Struct):
    n: int


class Color(enum.StrEnum):
    RED = "red"


class Row(TypedDict):
    n: int


class HasN(Protocol):
    n: int


T = TypeVar("T")
U = TypeVar("U")
UserId = NewType("UserId", str)
OrderId = NewType("OrderId", str)
Number = NewType("Number", int)


class Box(Generic[T]):
    pass


class Alias:
    """What ``type Alias = value`` makes, for Pythons that cannot say so."""

    def __init__(self, value: Any, *parameters: Any) -> None:
        self.__name__ = "Alias"
        self.__value__ = value
        self.__type_params__ = parameters

    def __getitem__(self, arguments: Any) -> Any:
        return types.GenericAlias(self, arguments)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


FITS: list[tuple[Any, Any]] = [
    (int, int),
    (Any, int),
    (int, Any),
    (int, object),
    (Sub, Base),
    (int, float),
    (int, complex),
    (float, complex),
    (bool, int),
    (Color, str),
    (None, None),
    (None, type(None)),
    (None, Optional[int]),
    (int, int | None),
    (int | str, str | int | None),
    (Union[int, str], int | str),
    (list[int], list[int]),
    (list[Sub], list[Base]),
    (list[int], list),
    (list, list[int]),
    (list[int], collections.abc.Sequence[str]),  # in doubt: another class
    (Annotated[int, "positive"], int),
    (int, Annotated[int, "positive"]),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (str, Literal["a"]),  # in doubt
    (UserId, str),
    (str, UserId),  # in doubt
    (UserId, OrderId),  # in doubt
    (T, int),
    (int, T),
    (Other, HasN),  # in doubt: a protocol
    (Row, dict),
    (dict, Row),  # in doubt: TypedDict answers no such question
    (Box[int], Box[int]),
    (Box, Box[int]),
    (NoReturn, int),
    (Never, int),
    (tuple[int, ...], tuple[int, ...]),
    (tuple[int, str], tuple[int, ...]),
    (Alias(int), int),
    (int, Alias(Alias(int | None))),
    (Alias(list[T], T)[int], list[int]),  # type: ignore[valid-type]
]

FITS_NOT: list[tuple[Any, Any]] = [
    (int, str),
    (float, int),
    (Base, Sub),
    (Other, Base),
    (None, int),
    (int | None, int),
    (int | str, int),
    (int, str | None),
    (list[int], list[str]),
    (list[int], dict[int, int]),
    (Box[int], Box[str]),
    (Annotated[int, "positive"], str),
    (Literal["a", 1], str),
    (Literal["a"], int),
    (UserId, int),
    (int, UserId),
    (Number, UserId),
    (Alias(int), str),
    (Alias(list[T], T)[int], list[str]),  # type: ignore[valid-type]
    (dict[str, int], dict[str, str]),
]


def ids(pairs: list[tuple[Any, Any]]) -> list[str]:
    return [f"{number}-{show(one)}-{show(other)}" for number, (one, other) in enumerate(pairs)]


@pytest.mark.parametrize(("given_", "wanted"), FITS, ids=ids(FITS))
def test_what_fits_or_may_fit(given_: Any, wanted: Any) -> None:
    assert assignable(given_, wanted)


@pytest.mark.parametrize(("given_", "wanted"), FITS_NOT, ids=ids(FITS_NOT))
def test_what_certainly_does_not_fit(given_: Any, wanted: Any) -> None:
    assert not assignable(given_, wanted)


hints = st.recursive(
    st.sampled_from([int, str, float, None, Base, Sub, Other, Color, UserId, Row, Any, Literal["a"]]),
    lambda inner: st.one_of(
        inner.map(lambda hint: list[hint]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda pair: Union[pair[0], pair[1]]),
        st.tuples(inner, inner).map(lambda pair: dict[pair[0], pair[1]]),  # type: ignore[valid-type]
        inner.map(lambda hint: Annotated[hint, "meta"]),
        inner.map(Alias),
    ),
    max_leaves=6,
)


@given(hints, hints)
def test_anything_fits_itself_and_a_union_with_itself(one: Any, other: Any) -> None:
    assert assignable(one, one)
    if not isinstance(one, Alias) and not isinstance(other, Alias):
        assert assignable(one, Union[one, other])


@given(hints, hints)
def test_a_union_fits_only_if_all_its_members_do(one: Any, other: Any) -> None:
    if not isinstance(one, Alias) and not isinstance(other, Alias):
        assert assignable(Union[one, other], Base) == (assignable(one, Base) and assignable(other, Base))


@pytest.mark.parametrize(
    "hint",
    [
        Any,
        object,
        None,
        int | None,
        Optional[int],
        int | Any,
        Annotated[int | None, 1],
        Literal[None, 1],
        Alias(int | None),
    ],
)
def test_what_admits_none(hint: Any) -> None:
    assert admits_none(hint)
    assert show_optional(hint) == show(hint)


@pytest.mark.parametrize("hint", [int, str | int, list[None], Literal["None"], T, HasN, UserId, Base])
def test_what_does_not_certainly_admit_none(hint: Any) -> None:
    assert not admits_none(hint)
    assert show_optional(hint) == f"{show(hint)} | None"


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (Base, "Base"),
        (None, "None"),
        (type(None), "None"),
        (Any, "Any"),
        (Optional[Base], "Base | None"),
        (Union[int, Base], "int | Base"),
        (list[Base], "list[Base]"),
        (dict[str, list[Base | None]], "dict[str, list[Base | None]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Annotated[Base, "x"], "Base"),
        (Literal["a.b", 1], "Literal['a.b', 1]"),
        (collections.abc.Callable[[int, Base], str], "Callable[[int, Base], str]"),
        (Box[Base], "Box[Base]"),
        (UserId, "UserId"),
        (T, "T"),
        (Alias(int), "Alias"),
        ("Later", "Later"),
    ],
)
def test_types_are_shown_as_they_are_written(hint: Any, text: str) -> None:
    assert show(hint) == text


@pytest.mark.parametrize(
    ("hint", "result"),
    [
        (T, int),
        (U, U),
        (list[T], list[int]),  # type: ignore[valid-type]
        (dict[T, U], dict[int, U]),  # type: ignore[valid-type]
        (Optional[T], Optional[int]),
        (list[T] | None, list[int] | None),  # type: ignore[valid-type]
        (Annotated[T, "x"], Annotated[int, "x"]),
        (Box[T], Box[int]),  # type: ignore[valid-type]
        (Box, Box),
        (str, str),
    ],
    ids=str,
)
def test_type_variables_are_replaced_wherever_they_stand(hint: Any, result: Any) -> None:
    assert substitute(hint, {T: int}) == result


def test_only_what_annotations_can_mean_is_kept_of_a_namespace() -> None:
    kept = {
        "a": int,
        "b": list[int],
        "c": int | None,
        "d": Optional[int],
        "e": T,
        "f": UserId,
        "g": sys,
        "h": Annotated[int, 1],
    }
    dropped = {"i": 1, "j": "secret", "k": {}, "l": lambda: None, "m": types.SimpleNamespace(), "n": object()}

    assert typelike(kept | dropped) == kept


def test_the_type_parameters_of_a_function_are_seen() -> None:
    def generic(x: Any) -> Any: ...

    generic.__annotations__ = {"x": "V", "return": "list[V]"}
    V = TypeVar("V")
    generic.__type_params__ = (V,)  # type: ignore[attr-defined, unused-ignore]  # pyright: ignore[reportFunctionMemberAccess, reportAttributeAccessIssue]

    assert hints_of(generic, {}, {V: int}) == {"x": int, "return": list[int]}


@pytest.mark.parametrize(
    ("annotation", "rule"),
    [
        ("Nowhere", "the type 'Nowhere' in its annotations cannot be found at run time"),
        ("list[Nowhere]", "the type 'Nowhere' in its annotations cannot be found at run time"),
        ("int[", "its annotations cannot be read"),
        ("1 / 0", r"its annotations cannot be read \(ZeroDivisionError: division by zero\)"),
    ],
)
def test_what_cannot_be_read_says_why(annotation: str, rule: str) -> None:
    def fn(x: Any) -> None: ...

    fn.__annotations__["x"] = annotation
    with pytest.raises(Unresolved, match=rule):
        hints_of(fn, {}, {})
