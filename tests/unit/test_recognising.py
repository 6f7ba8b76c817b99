"""An output that a saga has already is known as that, however its codec has written it this time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from sagaflow import Saga, step
from sagaflow.adapters.encrypted_codec import EncryptedCodec
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.decide import fold, new_saga
from sagaflow.core.events import (
    Claimed,
    Decided,
    Event,
    Probed,
    Resolution,
    ResolutionRequested,
    Signalled,
    SkipRequested,
    Succeeded,
    Ticked,
)
from sagaflow.core.state import Direction, Received, SagaState
from sagaflow.engine.binding import Binding
from sagaflow.engine.recognising import recognised
from sagaflow.ports import Codec

OLD, NEW, LOST = (EncryptedCodec.new_key() for _ in range(3))


@dataclass(frozen=True)
class Payment:
    cents: int
    transaction: str = field(default="", compare=False)


class Order(Saga[list[str]]):
    @step
    async def charge(self, goods: list[str]) -> Payment:
        return Payment(1)

    @step
    async def pick(self, goods: list[str]) -> set[int]:
        return set()

    @step
    async def look(self, goods: list[str]) -> Any: ...

    @step(waits_for=Payment, signal="paid")
    async def pay(self, goods: list[str]) -> None: ...


class Parcels(Saga[list[str]]):
    @step(each=lambda goods: goods)
    async def wrap(self, goods: list[str], item: str) -> str:
        return item


def codec(*keys: str) -> Codec:
    return EncryptedCodec(JsonCodec(), keys or [OLD])


def bound(codec: Codec, saga: type[Saga[list[str]]] = Order) -> tuple[Binding, SagaState]:
    binding = Binding.of(saga, codec)
    return binding, new_saga(binding.definition, "s-1", binding.encode_context(["a", "b"], 1_000), 1.0)


def succeeded(name: str, output: str) -> Succeeded:
    return Succeeded(name, Direction.FORWARD, 1, output, 2.0)


def with_output(state: SagaState, name: str, **fields: Any) -> SagaState:
    return state.with_step(name, replace(state.steps[name], **fields))


def is_known(codec: Codec, name: str, recorded: str, text: str) -> bool:
    """Whether the output of a step is taken for that which is recorded."""
    binding, state = bound(codec)
    event = recognised(binding, with_output(state, name, output=recorded), succeeded(name, text))
    assert event in (succeeded(name, recorded), succeeded(name, text))
    return event == succeeded(name, recorded)


@pytest.mark.parametrize(
    ("name", "kind", "one", "other"),
    [
        ("charge", Payment, Payment(7, "tx-1"), Payment(7, "tx-1")),
        ("pick", set[int], {0, 8}, {8, 0}),
        ("look", Any, {"a": 1, "b": None}, {"b": None, "a": 1}),
    ],
)
def test_an_equal_output_gets_the_text_that_is_recorded(name: str, kind: Any, one: object, other: object) -> None:
    for used in (JsonCodec(), codec()):
        assert is_known(used, name, used.encode(one, kind), used.encode(other, kind))


@pytest.mark.parametrize(
    ("name", "kind", "one", "other"),
    [
        ("charge", Payment, Payment(7, "tx-1"), Payment(8, "tx-1")),
        ("charge", Payment, Payment(7, "tx-1"), Payment(7, "tx-2")),  # which are equal by their own account
        ("look", Any, 1, True),
        ("look", Any, [1, 2], [2, 1]),
    ],
)
def test_another_output_keeps_its_own(name: str, kind: Any, one: object, other: object) -> None:
    for used in (JsonCodec(), codec()):
        assert not is_known(used, name, used.encode(one, kind), used.encode(other, kind))


def test_an_output_is_known_when_the_key_has_been_changed_between() -> None:
    before, after = (one.encode(Payment(7), Payment) for one in (codec(OLD), codec(NEW, OLD)))
    assert is_known(codec(NEW, OLD), "charge", before, after)


def test_what_cannot_be_read_is_another_output() -> None:
    for recorded in (codec(LOST).encode(Payment(7), Payment), codec().encode("no payment", str)):
        assert not is_known(codec(), "charge", recorded, codec().encode(Payment(7), Payment))


def test_all_that_carries_an_output_is_compared_with_all_that_has_come() -> None:
    binding, state = bound(codec())
    one, late, paid, again = (codec().encode(Payment(cents), Payment) for cents in (1, 2, 3, 3))
    state = with_output(state, "charge", output=one, late=(late,))
    state = with_output(state, "pay", output=one)
    state = replace(state, signals={"paid": Received("t", 1.0, paid)})
    for cents, known in ((1, one), (2, late)):
        text = codec().encode(Payment(cents), Payment)
        events: list[Event] = [
            succeeded("charge", text),
            Probed("charge", 1, True, 2.0, output=text),
            SkipRequested("ada", "why", 2.0, "charge", output=text),
            ResolutionRequested("ada", "why", 2.0, "charge", Resolution.HAPPENED, output=text),
        ]
        assert [recognised(binding, state, event) for event in events] == [
            replace(event, output=known) for event in events
        ]
    of_pay = {again: paid, codec().encode(Payment(1), Payment): one}
    for text, known in of_pay.items():
        for event in (Probed("pay", 1, True, 2.0, output=text), Signalled("paid", "u", 2.0, output=text)):
            assert recognised(binding, state, event) == replace(event, output=known)


def test_an_element_of_a_list_is_known_by_its_own_output() -> None:
    binding, state = bound(codec(), Parcels)
    elements = tuple(codec().encode(item, str) for item in ("a", "b"))
    state = fold(binding.definition, state, [Ticked(1.0), Decided("wrap", 2.0, elements=elements)])
    one, two = codec().encode("one", str), codec().encode("two", str)
    state = with_output(with_output(state, "wrap[0]", output=one), "wrap[1]", output=two)
    assert recognised(binding, state, succeeded("wrap[0]", codec().encode("one", str))) == succeeded("wrap[0]", one)
    other = succeeded("wrap[1]", codec().encode("one", str))
    assert recognised(binding, state, other) is other


def test_what_carries_no_output_or_is_of_no_step_is_left_alone() -> None:
    binding, state = bound(codec())
    state = with_output(state, "charge", output=codec().encode(Payment(1), Payment))
    text = codec().encode(Payment(1), Payment)
    events: list[Event] = [
        Ticked(2.0),
        Claimed("charge", Direction.FORWARD, "w-1", 2.0),
        Succeeded("charge", Direction.UNDO, 1, None, 2.0),
        Probed("charge", 1, None, 2.0),
        Signalled("paid", "t", 2.0, error=text),
        Signalled("unheard-of", "t", 2.0, output=text),
        succeeded("unheard-of", text),
        succeeded("look", text),
    ]
    for event in events:
        assert recognised(binding, state, event) is event
