"""The bytes of a hint, and what becomes of bytes that are none."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagaflow.adapters import rabbitmq_wire as wire
from sagaflow.adapters.dead_letter import DeadLetter
from sagaflow.core.state import Direction
from sagaflow.ports.broker import Hint, Lane

HINT = Hint("saga", Lane("orders", Direction.UNDO))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def test_a_hint_is_this_to_the_byte() -> None:
    assert wire.encode(HINT).body == b'{"v":1,"id":"saga","queue":"orders","direction":"undo"}'


@given(st.builds(Hint, TEXT, st.builds(Lane, TEXT, st.sampled_from(Direction))))
def test_hints_survive_the_wire(hint: Hint) -> None:
    assert wire.decode(wire.encode(hint).body) == hint


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: repr(value).encode())
)
def test_whatever_else_comes_is_garbage(body: bytes) -> None:
    with pytest.raises(wire.Garbage):
        wire.decode(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"v":1,"id":"","queue":"orders","direction":"undo"}', "fields"),
        (b'{"v":1,"id":"saga","queue":"","direction":"undo"}', "fields"),
        (b'{"v":1,"id":7,"queue":"orders","direction":"undo"}', "fields"),
        (b'{"v":1,"id":"saga","queue":"orders"}', "fields"),
        (b'{"v":1,"id":"saga","queue":"orders","direction":"undo","w":1}', "fields"),
        (b'{"v":"1","id":"saga","queue":"orders","direction":"undo"}', "fields"),
        (b'{"v":0,"id":"saga","queue":"orders","direction":"undo"}', "version"),
        (b'{"v":99,"and":"what not"}', "version"),
        (b'{"v":1,"id":"saga","queue":"orders","direction":"undo"} more', "JSON"),
        (b'{"v":1,"id":"\xff","queue":"orders","direction":"undo"}', "JSON"),
        (b'{"v":1,"x":' + b"[" * 60_000, "nested"),
        (b" " * (wire.BODY_LIMIT + 1), "bytes"),
    ],
)
def test_garbage_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(wire.Garbage, match=reason):
        wire.decode(body)


def test_a_hint_that_is_too_large_is_not_sent() -> None:
    fits = wire.BODY_LIMIT - len(wire.encode(HINT).body) + len(HINT.saga_id)
    assert len(wire.encode(Hint("x" * fits, HINT.lane)).body) == wire.BODY_LIMIT

    with pytest.raises(ValueError, match="65,537 bytes"):
        wire.encode(Hint("x" * (fits + 1), HINT.lane))


def test_a_reason_is_cut_and_always_sendable() -> None:
    letter = wire.dead_letter(b"anything", "\udcff" * 2_000, "orders.steps")

    assert letter.headers == {wire.REASON_HEADER: "?" * 1_000, wire.QUEUE_HEADER: "orders.steps"}
    assert letter.body == b"anything"


@pytest.mark.parametrize(
    ("headers", "reason", "queue"),
    [
        ({wire.REASON_HEADER: "no saga", wire.QUEUE_HEADER: "q"}, "no saga", "q"),
        ({wire.REASON_HEADER: "no saga"}, "no saga", ""),
        ({"x-death": [{"reason": "delivery_limit", "queue": "q"}, {"reason": "older"}]}, "delivery_limit", "q"),
        ({"x-death": []}, "unknown", ""),
        ({"x-death": "forged"}, "unknown", ""),
        ({}, "unknown", ""),
    ],
)
def test_dead_letters_are_read_whoever_wrote_them(headers: dict[str, Any], reason: str, queue: str) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    message: Any = SimpleNamespace(body=wire.encode(HINT).body, headers=headers, timestamp=at, message_id="m-1")

    assert wire.read_dead_letter(message) == DeadLetter(reason, queue, HINT, at.timestamp(), "m-1")


def test_a_dead_letter_need_not_be_a_hint() -> None:
    message: Any = SimpleNamespace(body=b"junk", headers={}, timestamp=None, message_id=None)

    assert wire.read_dead_letter(message) == DeadLetter("unknown", "", None, None)
