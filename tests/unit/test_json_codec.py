"""What the codec accepts comes back equal; all else is refused, in words that show no customer's data."""

from __future__ import annotations

import enum
import math
import traceback
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import GenericAlias
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from sagaflow.adapters.json_codec import MAX_DEPTH, JsonCodec
from sagaflow.core.annotations import show
from sagaflow.core.payloads import is_plain, why_not_storable
from sagaflow.errors import PayloadError, PayloadTooLarge

codec = JsonCodec()
BERLIN = ZoneInfo("Europe/Berlin")
SECRET = "4111-1111-1111-1111"


class Item(Struct, frozen=True):
    sku: str
    price: Decimal


class Order(Struct):
    items: list[Item]
    due: datetime | None = None
    tags: frozenset[str] = frozenset()


class Bigger(Item, frozen=True):
    more: str = "x"


class Same(Item, frozen=True):
    pass


class ById(Struct, eq=False):
    n: int
    inner: list[Item]


class Loose(Struct):
    """Says that it equals what has the same id, whatever else it holds."""

    id: int
    data: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose) and other.id == self.id

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Plain:
    n: int
    hidden: Any = field(default=None, compare=False)


@dataclass
class PlainMore(Plain):
    more: str = "x"


@dataclass(eq=False)
class Identity:
    n: int


@attrs.define
class Attrs:
    n: int
    when: datetime | None = None


class Row(TypedDict):
    n: int


class Pair(NamedTuple):
    one: int
    other: str


class Short(NamedTuple):
    one: int
    other: str = "x"


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Tree(Struct):
    children: list[Tree]


class Checked(Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise ValueError(f"Expected `int` above zero, got {self.n} for {SECRET}")


class Picky(Struct):
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise KeyError(SECRET)


class Fickle(Struct):
    n: int

    def __eq__(self, other: object) -> bool:
        raise RuntimeError(SECRET)

    __hash__ = None  # type: ignore[assignment]


UserId = NewType("UserId", str)


def unfinished() -> Order:
    order = Order([])
    del order.items
    return order


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ACCEPTED: list[tuple[Any, Any]] = [
    (1, int),
    (2**200, Any),
    (1, float),
    (1.0, float),
    (-0.0, float),
    (True, bool),
    ("ä\n\u2028\0", str),
    (b"\0\xff", bytes),
    (None, None),
    (None, type(None)),
    (None, int | None),
    (Decimal("1.10"), Decimal),
    (Decimal("Infinity"), Decimal),
    (1, Decimal),
    (UUID(int=5), UUID),
    (datetime(2020, 1, 1, 1, 1, 1, 123456), datetime),  # without a zone, that is the point  # noqa: DTZ001  # without a zone on purpose
    (datetime(2020, 1, 1, tzinfo=UTC), datetime),
    (datetime(2020, 7, 1, tzinfo=BERLIN), datetime),
    (datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1), datetime),
    (Attrs(1, datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=0)), Attrs),
    ([datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)], list[datetime]),
    (date(2020, 1, 1), date),
    (time(1, 2, 3), time),
    (timedelta(days=-3, microseconds=1), timedelta),
    ({1, 2, 3}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ((1, "a"), tuple[int, str]),
    ((1, 2), tuple[int, ...]),
    (Pair(1, "a"), Pair),
    ([Pair(1, "a")], list[Pair]),
    ({"a": [1, 2]}, dict[str, list[int]]),
    ({1: "a"}, dict[int, str]),
    ({UUID(int=1): Color.RED}, dict[UUID, Color]),
    (OrderedDict(a=1), dict[str, int]),
    (defaultdict(int, a=1), dict[str, int]),
    (Color.RED, Color),
    (Level.LOW, Level),
    (Level.LOW, int),
    (Word.YES, str),
    ("a", Literal["a", "b"]),
    (Row(n=1), Row),
    (Order([Item("a", Decimal("1.5"))], datetime(2020, 1, 1, tzinfo=UTC), frozenset({"x"})), Order),
    (ById(1, [Item("a", Decimal(1))]), ById),
    (Loose(1, [2]), Loose),
    (Plain(1), Plain),
    (PlainMore(1, None, "y"), PlainMore),
    (Identity(1), Identity),
    (Attrs(1), Attrs),
    (Tree([Tree([]), Tree([Tree([])])]), Tree),
    (UserId("u"), UserId),
    (5, Annotated[int, Meta(ge=5)]),
    (5, Annotated[int, ["unhashable"]]),
    ({"a": [1, None, True, 1.5, "x", {}]}, Any),
    ([1, "a"], object),
    (nested(MAX_DEPTH), Any),
    (["[" * 100, "{" * 100, '"[', "\\", '\\"[[['], list[str]),
    ([[1]] * 200, list[list[int]]),
]


@pytest.mark.parametrize(("value", "kind"), ACCEPTED, ids=[str(number) for number in range(len(ACCEPTED))])
def test_what_is_accepted_comes_back(value: Any, kind: Any) -> None:
    text = codec.encode(value, kind)
    back = codec.decode(text, kind)

    assert codec.encode(back, kind) == text or isinstance(value, (set, frozenset, Level, int, Order))
    if not isinstance(value, (Identity, ById)) and "2024-10-27" not in text:
        assert back == value


def test_a_time_in_the_hour_that_is_repeated_in_autumn_keeps_its_instant() -> None:
    for fold in (0, 1):
        moment = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold)
        assert codec.decode(codec.encode(moment, datetime), datetime).timestamp() == moment.timestamp()


REFUSED: list[tuple[Any, Any, str]] = [
    ("1", int, r"This is no int: Expected `int`, got `str`\."),
    (True, int, "Expected `int`, got `bool`"),
    (1.5, int, "Expected `int`, got `float`"),
    (1, None, "Expected `null`, got `int`"),
    (None, int, "Expected `int`, got `null`"),
    (2**53 + 1, float, r"at \$ a int would come back as float"),
    (0.1, Decimal, r"at \$ a float would come back as Decimal"),
    ("1.5", Decimal, r"at \$ a str would come back as Decimal"),
    ("red", Color, r"at \$ a str would come back as Color"),
    ("2020-01-01", date, r"at \$ a str would come back as date"),
    (b"x", str, r"at \$ a bytes would come back as str"),
    (math.nan, float, "Expected `float`, got `null`"),
    (math.inf, float, "Expected `float`, got `null`"),
    (math.nan, float | None, r"at \$ a float would come back as NoneType"),
    ({"a": [-math.inf]}, Any, r"at \$\[\.\.\.\]\[0\] a float would come back as NoneType"),
    (Decimal("NaN"), Decimal, r"at \$ another Decimal would come back"),
    ((1, 2), list[int], r"at \$ a tuple would come back as list"),
    ([1, 2], tuple[int, ...], r"at \$ a list would come back as tuple"),
    ({1}, list[int], r"at \$ a set would come back as list"),
    ((1,), Short, r"at \$ another length would come back"),
    ((1, 2), Any, r"at \$ a tuple would come back as list"),
    ({1: "a"}, Any, r"at \$ other keys would come back"),
    (Item("a", Decimal(1)), Any, r"at \$ a Item would come back as dict"),
    (Plain(1), Any, r"at \$ a Plain would come back as dict"),
    (Bigger("a", Decimal(1)), Item, r"A Bigger cannot be stored as Item: at \$ a Bigger would come back as Item"),
    (Same("a", Decimal(1)), Item, r"at \$ a Same would come back as Item"),
    (Order([Item("a", Decimal(1)), Bigger("b", Decimal(1))]), Order, r"at \$\.items\[1\] a Bigger would come back"),
    ({"x": Bigger("b", Decimal(1))}, dict[str, Item], r"at \$\[\.\.\.\] a Bigger would come back as Item"),
    (PlainMore(1), Plain, r"at \$ a PlainMore would come back as Plain"),
    (Plain(1, (1,)), Plain, r"at \$\.hidden a tuple would come back as list"),
    (Loose(1, (1,)), Loose, r"at \$\.data a tuple would come back as list"),
    ({"n": 1, "m": 2}, Row, r"at \$ other keys would come back"),
    ({}, Row, r"Object missing required field `n`"),
    (datetime(2020, 1, 1), date, "a value is not what the type allows"),  # without a zone, that is the point  # noqa: DTZ001  # without a zone on purpose
    (datetime(1850, 1, 1, tzinfo=BERLIN), datetime, r"at \$ another time would come back"),
    (datetime(2020, 1, 1, tzinfo=timezone(timedelta(seconds=30))), datetime, r"at \$ another time would come back"),
    (datetime(2020, 1, 1, tzinfo=UTC), Any, r"at \$ a datetime would come back as str"),
    ("2020-01-01T00:00:00", datetime, r"at \$ a str would come back as datetime"),
    (4, Annotated[int, Meta(ge=5)], "Expected `int` >= 5"),
    ("c", Literal["a", "b"], "a value is not what the type allows"),
    (object(), Any, "Encoding objects of type object is unsupported"),
    ([Exception(SECRET)], Any, "Encoding objects of type Exception is unsupported"),
    ("\ud800", str, "it has text with lone surrogates"),
    ({"\ud800": 1}, Any, "it has text with lone surrogates"),
    ({True: 1}, Any, "writing it raises TypeError"),
    (nested(MAX_DEPTH + 1), Any, f"it is nested more than {MAX_DEPTH} deep"),
    (unfinished(), Order, "writing it raises AttributeError"),
    (int, Any, "Encoding objects of type type is unsupported"),
    (Item, Any, "Encoding objects of type"),
]


@pytest.mark.parametrize(("value", "kind", "text"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_would_not_come_back_is_refused(value: Any, kind: Any, text: str) -> None:
    with pytest.raises(PayloadError, match=text):
        codec.encode(value, kind)


def test_a_value_that_contains_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(PayloadError, match="it contains itself, or is nested too deep"):
        codec.encode(value, Any)


def test_a_class_whose_equality_raises_is_compared_all_the_same() -> None:
    assert codec.decode(codec.encode(Fickle(1), Fickle), Fickle).n == 1


def test_an_equality_that_raises_is_an_ordinary_refusal() -> None:
    with pytest.raises(PayloadError, match="comparing it raises InvalidOperation"):
        codec.encode(Decimal("sNaN"), Decimal)


# ---------------------------------------------------------------------------------------- reading


UNREADABLE: list[tuple[str, Any, str]] = [
    (f'"{SECRET}"', int, r"This is no int: Expected `int`, got `str`\."),
    (f'{{"items": [{{"sku": "{SECRET}", "price": []}}]}}', Order, r"Expected `decimal`.* - at `\$\.items\[0\]\.price`"),
    (f'{{"{SECRET}": 1}}', dict[int, int], "Expected `int`, got `str` - at `key` in `\\$`"),
    (f'{{"{SECRET}": "x"}}', dict[str, int], r"Expected `int`, got `str` - at `\$\[\.\.\.\]`"),
    (f'["{SECRET}"]', list[Color], r"a value is not what the type allows - at `\$\[0\]`"),
    (f'["{SECRET}"]', list[UUID], r"a value is not what the type allows - at `\$\[0\]`"),
    (f'"{SECRET}', str, "it is no JSON"),
    (f"{SECRET}", str, "This is no str"),
    ("", int, "it is no JSON"),
    ("[1] 2", list[int], "it is no JSON"),
    ('"\\ud800"', str, "it is no JSON"),
    ('"\ud800"', str, "it has lone surrogates"),
    ('[{"n": -1}]', list[Checked], r"making it raises ValueError - at `\$\[0\]`"),
    ('[{"n": -1}]', list[Picky], "reading it raises KeyError"),
    ("9" * 5000, Any, "This is no Any"),
    ("[" * 65 + "]" * 65, Any, "nested more than 64 deep"),
    ('{"a":' * 65 + "1" + "}" * 65, Any, "nested more than 64 deep"),
    ("[" * 100_000, Any, "nested more than 64 deep"),
    ("[" * 65 + "}" * 65, Any, "nested more than 64 deep"),
]


@pytest.mark.parametrize(("stored", "kind", "text"), UNREADABLE, ids=[str(number) for number in range(len(UNREADABLE))])
def test_what_cannot_be_read_says_why_without_showing_it(stored: str, kind: Any, text: str) -> None:
    with pytest.raises(PayloadError, match=text) as caught:
        codec.decode(stored, kind)
    assert SECRET not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True)).replace(__file__, "")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (SECRET, int),
        (SECRET, Color),
        (Bigger(SECRET, Decimal(1), SECRET), Item),
        ({SECRET: (SECRET,)}, Any),
        ({SECRET: SECRET}, Row),
        (SECRET, Annotated[str, Meta(max_length=3)]),
        (SECRET, UUID),
        ([SECRET, "\ud800"], Any),
    ],
    ids=[str(number) for number in range(8)],
)
def test_what_cannot_be_written_is_not_shown(value: Any, kind: Any) -> None:
    with pytest.raises(PayloadError) as caught:
        codec.encode(value, kind)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_depth_is_bounded_exactly() -> None:
    small = JsonCodec(max_depth=2)
    assert small.decode('[{"a": "[[["}, {"b": 1}, {"c": 2}]', Any) == [{"a": "[[["}, {"b": 1}, {"c": 2}]
    with pytest.raises(PayloadError, match="nested more than 2 deep"):
        small.decode('[{"a": []}]', Any)


@given(
    st.recursive(
        st.text('[]{}"\\a', max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text('["\\'), inner)
    )
)
def test_brackets_in_texts_are_not_counted(value: Any) -> None:
    def depth(part: Any) -> int:
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    deepest = depth(value)
    assert JsonCodec(max_depth=deepest).encode(value, Any)
    if deepest:
        with pytest.raises(PayloadError, match=f"nested more than {deepest - 1} deep"):
            JsonCodec(max_depth=deepest - 1).encode(value, Any)


def test_size_is_bounded_both_ways() -> None:
    small = JsonCodec(max_size=8)
    assert small.decode(small.encode("123456", str), str) == "123456"
    for act in (lambda: small.encode("1234567", str), lambda: small.decode('"1234567"', str)):
        with pytest.raises(PayloadTooLarge) as caught:
            act()
        assert (caught.value.size, caught.value.limit) == (9, 8)


class Foreign:
    pass


@dataclass
class Holder:
    foreign: Foreign


class Named(NamedTuple):
    foreign: Foreign


class Recursive(Struct):
    inner: dict[str, Recursive | None]
    foreign: list[Foreign]


@pytest.mark.parametrize(
    "kind",
    [
        Holder,
        Named,
        Recursive,
        tuple[int, Foreign],
        tuple[Foreign, ...],
        Foreign | None,
        dict[str, Foreign],
        set[Foreign],
    ],
    ids=show,
)
def test_a_foreign_type_is_found_wherever_it_hides(kind: Any) -> None:
    assert why_not_storable(kind) == "msgspec does not know Foreign"


@pytest.mark.parametrize(
    "kind", [Any, object, int, Order, Tree, dict[str | int, int], dict[Color, Item], Row], ids=show
)
def test_what_can_be_stored(kind: Any) -> None:
    assert why_not_storable(kind) is None


@pytest.mark.parametrize(
    "kind", [dict[bool, int], dict[None, int], dict[str | None, int], list[dict[Item, int]]], ids=show
)
def test_keys_must_be_written_as_text(kind: Any) -> None:
    assert why_not_storable(kind) == "the keys of a dict must be text, numbers, or something that is written as text"


@pytest.mark.parametrize(
    ("kind", "plain"), [(Order, True), (dict[str, Loose], False), (list[Plain], False), (Attrs, False)]
)
def test_only_structs_with_their_own_equality_are_trusted_to_compare_all(kind: Any, plain: bool) -> None:
    assert is_plain(kind) is plain


@pytest.mark.parametrize(
    "act", [lambda: codec.encode(Foreign(), Foreign), lambda: codec.decode("1", Foreign)], ids=["encode", "decode"]
)
def test_a_type_that_msgspec_does_not_know(act: Callable[[], Any]) -> None:
    with pytest.raises(PayloadError, match="Foreign cannot be stored: msgspec does not know Foreign"):
        act()


# ---------------------------------------------------------------------------------------- any value of any type

scalars: list[tuple[st.SearchStrategy[Any], Any]] = [
    (st.none(), None),
    (st.booleans(), bool),
    (st.integers(-(2**63), 2**64 - 1), int),
    (st.floats(allow_nan=False, allow_infinity=False), float),
    (st.text(st.characters(exclude_categories=["Cs"])), str),
    (st.binary(), bytes),
    (st.decimals(allow_nan=False), Decimal),
    (st.uuids(), UUID),
    (st.datetimes(), datetime),
    (st.dates(), date),
    (st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)), timedelta),
    (st.sampled_from(Color), Color),
    (st.builds(Item, st.text(st.characters(exclude_categories=["Cs"])), st.decimals(allow_nan=False)), Item),
]


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 3) -> tuple[Any, Any]:
    """A value, and the type that it is declared to be."""
    shape = draw(st.sampled_from(["scalar", "list", "dict", "tuple", "optional"])) if depth else "scalar"
    if shape == "scalar":
        values, kind = draw(st.sampled_from(scalars))
        return draw(values), kind
    value, kind = draw(typed_values(depth - 1))
    if shape == "list":
        return [value] * draw(st.integers(0, 3)), GenericAlias(list, kind)
    if shape == "dict":
        return {"k": value}, GenericAlias(dict, (str, kind))
    if shape == "tuple":
        return (value, 1), GenericAlias(tuple, (kind, int))
    return draw(st.sampled_from([None, value])), kind | None if kind is not None else None


@given(typed_values())
def test_any_value_of_its_type_comes_back_equal(pair: tuple[Any, Any]) -> None:
    value, kind = pair
    assert codec.decode(codec.encode(value, kind), kind) == value


@given(typed_values(), typed_values())
def test_whatever_is_accepted_as_any_type_comes_back_equal(one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    value, kind = one[0], other[1]
    try:
        text = codec.encode(value, kind)
    except PayloadError:
        return
    assert codec.decode(text, kind) == value


@given(st.text(), typed_values())
def test_any_text_is_read_or_refused(text: str, pair: tuple[Any, Any]) -> None:
    try:
        codec.decode(text, pair[1])
    except PayloadError:
        return
