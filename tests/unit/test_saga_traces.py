"""The trace that a saga carries: kept as it is, decided by nowhere, and unknown to whoever knows of none."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from sagaflow.adapters import rabbitmq_wire as wire
from sagaflow.adapters.mongo_documents import to_document, to_state, to_update
from sagaflow.adapters.store_rules import decode_state, encode_state
from sagaflow.core.digest import digest_of
from sagaflow.core.state import SCHEMA, Direction
from sagaflow.ports import Hint, Lane
from sagaflow.testing.store_states import change, changed, new_saga

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LANE = Lane("orders", Direction.FORWARD)


def test_a_saga_without_a_trace_has_the_document_that_it_had_before_there_were_any() -> None:
    assert "trace" not in to_document(new_saga(), None)


def test_a_trace_is_kept_by_every_form_and_by_changes_of_the_saga() -> None:
    saga = new_saga(trace=TRACE)
    assert to_state(to_document(saga, None)).trace == TRACE
    assert decode_state(encode_state(saga)).trace == TRACE
    update = to_update(change(saga, changed(saga, reason="it turned back")))
    assert "trace" not in update["$set"]
    assert "trace" not in update.get("$unset", {})


def test_what_was_stored_before_there_were_traces_is_read_and_carries_none() -> None:
    fields = msgspec.json.decode(encode_state(new_saga()))
    del fields["trace"]
    assert decode_state(msgspec.json.encode(fields).decode()).trace is None
    assert SCHEMA == 2, "a field that may be missing is no new form"


def test_workers_that_know_of_no_trace_make_the_same_digest() -> None:
    saga = new_saga()
    assert digest_of(replace(saga, trace=TRACE)) == digest_of(saga)


@pytest.mark.parametrize(("trace", "headers"), [(TRACE, {"traceparent": TRACE}), (None, {})])
def test_a_hint_shows_the_trace_in_its_headers_and_its_body_is_as_before(
    trace: str | None, headers: dict[str, str]
) -> None:
    message = wire.encode(Hint("o-1", LANE, trace))
    assert message.headers == headers
    assert message.body == wire.encode(Hint("o-1", LANE)).body
    assert wire.decode(message.body) == Hint("o-1", LANE)
