"""What all stores refuse, and the cursors of their listings."""

import pytest
from hypothesis import given

from sagaflow.adapters.store_rules import (
    accepted_by_status,
    as_committed,
    check_ids,
    check_place,
    check_query,
    cursor_after,
    decode_signal,
    decode_state,
    encode_after,
    encode_request,
    encode_state,
)
from sagaflow.core.state import SCHEMA, SagaState, SagaStatus
from sagaflow.errors import ConfigurationError, PayloadError
from sagaflow.ports import Query, Signal, Ticket
from sagaflow.testing.store_states import new_saga
from sagaflow.testing.strategies import sagas, signals


@given(state=sagas())
def test_a_state_is_read_back_as_it_was_written(state: SagaState) -> None:
    assert decode_state(encode_state(state)) == state


@given(signal=signals())
def test_a_signal_is_read_back_as_it_was_written(signal: Signal) -> None:
    assert decode_signal(signal.token, encode_request(signal)) == signal


@given(state=sagas())
def test_a_cursor_says_where_the_page_ended(state: SagaState) -> None:
    assert check_query(Query(cursor=cursor_after(state))) == (state.created_at, state.id)


def test_a_first_page_begins_nowhere() -> None:
    assert check_query(Query()) is None


@pytest.mark.parametrize("cursor", ["", "?", "e30=", "WzFd", "bm90IGpzb24=", "/w==", "ü"])
def test_what_is_no_cursor_is_refused_with_a_clear_text(cursor: str) -> None:
    with pytest.raises(ValueError, match=r"give the one that Page\.cursor holds"):
        check_query(Query(cursor=cursor))


@pytest.mark.parametrize("wrong", [None, 1, b"a", {"$ne": None}, ["a"]])
def test_an_id_is_a_string(wrong: object) -> None:
    with pytest.raises(TypeError, match="id is a string"):
        check_ids(["right", wrong])


def test_an_id_is_text() -> None:
    check_ids(["", "ünïcödé", "$ne", "a.b"])
    with pytest.raises(PayloadError, match="surrogate"):
        check_ids(["\ud800"])


def test_a_place_in_a_line_is_text() -> None:
    check_place("$ne", Ticket("a.b", "", 1))
    with pytest.raises(TypeError, match="key of a lock is a string"):
        check_place(7)
    with pytest.raises(TypeError, match="id is a string"):
        check_place("key", Ticket("a", None, 1))  # type: ignore[arg-type]  # what is tested
    with pytest.raises(PayloadError, match="surrogate"):
        check_place("\ud800")


def test_of_a_status_alone_is_accepted_what_a_saga_without_a_pivot_accepts() -> None:
    for status in SagaStatus:
        assert accepted_by_status(status) == new_saga(status=status).accepts
    assert "compensate" in accepted_by_status(SagaStatus.COMPLETED)


def test_what_is_committed_has_todays_form() -> None:
    today, old = new_saga(), new_saga(schema=1)
    assert as_committed(today) is today
    assert as_committed(old).schema == SCHEMA
    assert decode_state(encode_after(old) or "").schema == SCHEMA
    assert decode_state(encode_state(old)).schema == 1


def test_a_state_of_the_previous_version_is_read() -> None:
    body = """{"id": "a", "saga": "Order", "fingerprint": "f-1", "status": "started", "revision": 0, "context": "{}",
        "steps": {"reserve": {}, "charge": {}}, "created_at": 1000, "updated_at": 1000, "schema": 1}"""
    assert decode_state(body) == new_saga("a", context="{}", schema=1)


def test_the_text_that_has_a_surrogate_is_not_shown() -> None:
    with pytest.raises(PayloadError, match="surrogate") as raised:
        encode_state(new_saga(context="secret \ud800"))
    assert "secret" not in str(raised.value)


def test_a_state_of_a_later_version_is_refused_even_if_it_has_another_form() -> None:
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        decode_state(f'{{"schema": {SCHEMA + 1}, "new": true}}')
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        decode_state(encode_state(new_saga(schema=SCHEMA + 1)))
