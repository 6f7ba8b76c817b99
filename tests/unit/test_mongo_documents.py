"""A saga and its document in MongoDB say the same, and a change touches only what differs."""

from datetime import UTC, datetime
from typing import Any

import bson
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagaflow.adapters.mongo_documents import (
    holds,
    is_at,
    to_date,
    to_document,
    to_due,
    to_state,
    to_stored,
    to_update,
)
from sagaflow.core.state import (
    SCHEMA,
    Lock,
    LockStatus,
    Received,
    SagaState,
    SagaStatus,
    StepState,
    StepStatus,
    Track,
)
from sagaflow.errors import ConfigurationError, PayloadError
from sagaflow.ports import Due
from sagaflow.testing.store_states import change, changed, claimed, new_saga
from sagaflow.testing.strategies import sagas


def stored(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it comes back from a server."""
    return bson.decode(bson.encode(document))


def applied(document: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """What MongoDB makes of a document: just the operators that are used, on paths that exist."""
    result, sets = stored(document), stored({"sets": update["$set"]})["sets"]
    for path, value in sets.items():
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place[parent]
        place[last] = value
    for path in update.get("$unset", {}):
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place[parent]
        place.pop(last, None)
    return result


@given(state=sagas(), wake_at=st.none() | st.floats(0, 4e9))
def test_a_document_gives_back_its_saga(state: SagaState, wake_at: float | None) -> None:
    document = stored(to_document(state, wake_at))
    assert to_state(document) == state
    assert to_stored(document).inbox == ()
    assert to_due(document) == (None if wake_at is None else Due(state.id, wake_at))
    assert document.get("owners", []) == list(state.owners)


@given(before=sagas(), after=sagas(), wake_at=st.none() | st.floats(0, 4e9))
def test_an_update_makes_of_the_old_document_the_new_one(
    before: SagaState, after: SagaState, wake_at: float | None
) -> None:
    after = replace(after, id=before.id)
    update = to_update(change(before, after, wake_at=wake_at, inbox_size=0))
    assert applied(to_document(before, 5.0), update) == stored(to_document(after, wake_at))


def test_only_what_differs_is_sent() -> None:
    before = claimed(new_saga(reason="a reason", created_at=1.0), "worker")
    done = replace(before.steps["reserve"], status=StepStatus.COMPLETED, forward=Track(attempt=1), output="7")
    update = to_update(change(before, changed(before.with_step("reserve", done), reason=None), wake_at=9.0))
    assert update == {
        "$set": {
            "revision": 2,
            "steps.reserve.status": "completed",
            "steps.reserve.forward": {"attempt": 1},
            "steps.reserve.output": "7",
            "wake_at": 9.0,
            "dispatches": 0,
        },
        "$unset": {"reason": "", "owners": ""},
    }


def test_of_many_steps_only_those_that_differ_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    before = claimed(new_saga(steps=[f"reserve[{number}]" for number in range(1_000)]), "worker", "reserve[7]")
    done = StepState(StepStatus.COMPLETED, forward=Track(attempt=1), output="7")
    after = changed(before.with_step("reserve[7]", done))
    looked_into: list[object] = []
    encode = msgspec.to_builtins

    def look_into(value: object) -> object:
        looked_into.append(value)
        return encode(value)

    monkeypatch.setattr(msgspec, "to_builtins", look_into)
    update = to_update(change(before, after))
    assert set(update["$set"]) == {
        "revision",
        "steps.reserve[7].status",
        "steps.reserve[7].forward",
        "steps.reserve[7].output",
        "dispatches",
    }
    assert [value for value in looked_into if isinstance(value, StepState)] == [before.steps["reserve[7]"], done]
    assert set(update["$unset"]) == {"owners", "wake_at"}


@pytest.mark.parametrize("key", ["$set", "a.b", "$[]", "", "0", "steps.reserve"])
def test_text_of_users_is_a_value_where_it_is_a_key_of_the_state(key: str) -> None:
    state = new_saga(locks={key: Lock(LockStatus.HELD, 1)}, signals={key: Received("token", 1.0, output="7")})
    document = stored(to_document(state, None))
    assert document["locks"] == [[key, {"status": "held", "term": 1, "holder": None, "freed": 0}]]
    assert document["signals"] == [[key, {"token": "token", "at": 1.0, "output": "7", "error": None}]]
    assert to_state(document) == state
    update = to_update(change(new_saga(state.id), changed(state)))
    assert update["$set"]["locks"] == document["locks"]
    assert update["$set"]["signals"] == document["signals"]
    gone = to_update(change(state, changed(state, locks={}, signals={})))
    assert {"locks", "signals"} <= gone["$unset"].keys()
    same = to_update(change(state, changed(state)))
    assert not {"locks", "signals"} & {*same["$set"], *same["$unset"]}


def test_what_is_accepted_is_sent_when_it_changes_and_when_it_was_not_there() -> None:
    state, old = new_saga(), new_saga(schema=1)
    assert to_document(state, None)["accepts"] == list(state.accepts)
    assert "accepts" not in to_update(change(state))["$set"]
    committed = changed(state, committed=True)
    assert to_update(change(state, committed))["$set"]["accepts"] == list(committed.accepts)
    update = to_update(change(old))
    assert (update["$set"]["accepts"], update["$set"]["schema"]) == (list(old.accepts), SCHEMA)


def test_a_document_of_the_previous_version_is_read() -> None:
    state = new_saga(schema=1)
    document = to_document(state, None)
    for later in ("accepts", "committed", "overdue", "paused", "named", "told"):
        del document[later]
    assert set(document) == {
        *("_id", "saga", "fingerprint", "status", "revision", "context", "steps", "created_at", "updated_at"),
        *("schema", "dispatches", "inbox"),
    }
    assert to_state(document) == state


AT = datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)


def test_the_server_is_told_when_it_may_delete_unless_a_tombstone_is_due() -> None:
    state = new_saga(status=SagaStatus.COMPLETED)
    ended = changed(state, expire_at=AT.timestamp())
    assert to_document(ended, None)["expires"] == AT
    assert to_update(change(state, ended, inbox_size=0))["$set"]["expires"] == AT
    assert to_update(change(state, ended, consumed=("a", "b"), inbox_size=2))["$set"]["expires"] == AT
    again = to_update(change(ended, changed(ended, expire_at=None)))
    assert again["$unset"].keys() >= {"expires", "expire_at"}
    assert "expires" not in to_document(replace(ended, named=True), None)
    named = to_update(change(replace(state, named=True), replace(ended, named=True), inbox_size=0))
    assert "expires" not in named["$set"]


def test_the_server_is_not_told_so_while_a_request_may_be_waiting() -> None:
    state = new_saga(status=SagaStatus.COMPLETED)
    ended = changed(state, expire_at=AT.timestamp())
    postponed = changed(ended, expire_at=AT.timestamp() + 60.0)
    for before, after in ((state, ended), (ended, postponed)):
        for update in (change(before, after), change(before, after, consumed=("a",), inbox_size=2)):
            assert "expires" in to_update(update)["$unset"]
    # What is there stays there: a request would have taken it away.
    assert not any("expires" in part for part in to_update(change(ended)).values())


@pytest.mark.parametrize(("at", "year"), [(-5.0, 1970), (0.0, 1970), (4e9, 2096), (1e11, 5138), (1e300, 9999)])
def test_every_time_has_a_date(at: float, year: int) -> None:
    assert to_date(at).year == year
    assert to_date(float("inf")) == to_date(1e300)


def test_a_step_that_is_new_is_sent_whole_and_one_that_is_gone_is_removed() -> None:
    before = new_saga(steps=["old", "both"])
    after = changed(before, steps={"both": StepState(), "new": StepState(unclean=True)})
    update = to_update(change(before, after))
    assert update["$set"]["steps.new"] == {"unclean": True}
    assert set(update["$unset"]) == {"steps.old", "wake_at"}
    assert not any(path.startswith("steps.both") for path in update["$set"])


def test_a_new_step_at_its_defaults_is_still_there() -> None:
    before = new_saga(steps=[])
    after = changed(before, steps={"new": StepState()})
    assert to_update(change(before, after))["$set"]["steps.new"] == {}


def test_what_is_consumed_is_pulled_by_its_token() -> None:
    update = to_update(change(new_saga(), consumed=("a", "$b")))
    assert update["$pull"] == {"inbox": {"token": {"$in": ["a", "$b"]}}}
    assert "$pull" not in to_update(change(new_saga()))


def test_a_transition_holds_by_revision_and_by_the_inbox_if_it_counts_on_it() -> None:
    before = new_saga("a", revision=3)
    assert holds(change(before)) == {"_id": "a", "revision": 3}
    assert holds(change(before, inbox_size=0)) == {"_id": "a", "revision": 3, "inbox": {"$size": 0}}


@pytest.mark.parametrize(
    ("wake_at", "inbox", "expected"),
    [(None, [], None), (5.0, [], 5.0), (None, [7.0, 6.0], 6.0), (5.0, [6.0], 5.0), (5.0, [4.0, 6.0], 4.0)],
)
def test_a_saga_is_due_at_the_earliest_of_its_times(
    wake_at: float | None, inbox: list[float], expected: float | None
) -> None:
    document = to_document(new_saga("a"), wake_at)
    document["inbox"] = [{"at": at} for at in inbox]
    due = to_due(document)
    assert (due.wake_at if due else None) == expected


def test_a_deferral_asks_for_the_very_time_that_was_found() -> None:
    condition = is_at(Due("a", 5.0, 2))
    assert (condition["_id"], condition["dispatches"]) == ("a", 2)
    assert condition["$or"] == [{"wake_at": 5.0}, {"inbox.at": 5.0}]


@pytest.mark.parametrize("name", ["", "a.b", "$set", "a\0"])
def test_a_name_that_could_be_a_path_is_no_name_of_a_step(name: str) -> None:
    state = new_saga(steps=["reserve"])
    with pytest.raises(ConfigurationError, match="Python identifier"):
        to_document(state.with_step(name, StepState()), None)
    with pytest.raises(ConfigurationError, match="Python identifier"):
        to_update(change(state, changed(state.with_step(name, StepState()))))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_lone_surrogates_are_refused_before_the_driver_sees_them(text: str) -> None:
    state = new_saga()
    step = StepState(output=text)
    for bad in (replace(state, reason=text), replace(state, id=text), state.with_step("reserve", step)):
        with pytest.raises(PayloadError, match="surrogate"):
            to_document(bad, None)
    with pytest.raises(PayloadError, match="surrogate"):
        to_update(change(state, changed(state.with_step("reserve", step))))


def test_a_document_of_a_later_version_is_refused_even_if_it_has_another_form() -> None:
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        to_state({"_id": "a", "schema": SCHEMA + 1, "new": True})


def test_unknown_fields_are_left_alone() -> None:
    state = new_saga(status=SagaStatus.FAILED)
    assert to_state({**to_document(state, None), "note": "mine"}) == state
