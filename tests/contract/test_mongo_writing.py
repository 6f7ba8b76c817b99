"""What is written together in MongoDB is written each by itself, and what became of it is known exactly."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, DocumentTooLarge

from sagaflow.adapters.mongo import MongoStore
from sagaflow.errors import StoreUnavailable
from sagaflow.ports import Outcome, Transition
from sagaflow.testing.store_states import change, changed, new_saga

from .test_mongo_store import store

__all__ = ["store"]  # a fixture

BulkWrite = Callable[..., Awaitable[Any]]


@pytest.fixture
async def transitions(store: MongoStore) -> list[Transition]:
    """Changes that can be made, of three sagas."""
    states = [new_saga(name) for name in "abc"]
    for state in states:
        await store.insert(state, None)
    return [change(state, changed(state, reason="mine")) for state in states]


def then(store: MongoStore, monkeypatch: pytest.MonkeyPatch, happens: BulkWrite) -> None:
    """In place of ``bulk_write`` this happens; it is given the true one."""
    bulk_write = store._sagas.bulk_write

    async def instead(*args: Any, **options: Any) -> Any:
        return await happens(lambda: bulk_write(*args, **options))

    monkeypatch.setattr(store._sagas, "bulk_write", instead)


async def reasons(store: MongoStore) -> list[str | None]:
    return [stored.state.reason for _, stored in sorted((await store.load(["a", "b", "c"])).items())]


async def test_what_somebody_else_went_on_from_is_unsure(
    store: MongoStore, mongo_url: str, transitions: list[Transition], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MongoStore.from_url(mongo_url)
    quicker = changed(transitions[1].before, reason="theirs")
    await other.commit([change(transitions[1].before, quicker)])

    async def overtaken(bulk_write: BulkWrite) -> Any:
        answer = await bulk_write()
        on_top = [change(after, changed(after, reason="on top")) for after in (transitions[2].after, quicker)]
        assert await other.commit(on_top) == [Outcome.COMMITTED] * 2
        return answer

    then(store, monkeypatch, overtaken)
    assert await store.commit(transitions) == [Outcome.COMMITTED, Outcome.UNSURE, Outcome.UNSURE]
    assert await reasons(store) == ["mine", "on top", "on top"]
    await other.close()


async def test_a_change_that_one_by_itself_went_on_from_is_known_to_be_made(
    store: MongoStore, transitions: list[Transition], monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit([change(transitions[1].before, changed(transitions[1].before, reason="theirs"))])

    async def overtaken(bulk_write: BulkWrite) -> Any:
        answer = await bulk_write()
        after = transitions[2].after
        assert await store.commit([change(after, changed(after, reason="on top"))]) == [Outcome.COMMITTED]
        return answer

    then(store, monkeypatch, overtaken)
    assert await store.commit(transitions) == [Outcome.COMMITTED, Outcome.CONFLICT, Outcome.COMMITTED]
    assert await reasons(store) == ["mine", "theirs", "on top"]


async def test_what_the_driver_does_not_send_for_one_of_them_is_sent_for_the_others(
    store: MongoStore, transitions: list[Transition], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused_in_the_middle(_: BulkWrite) -> Any:
        await store.commit([transitions[0]])
        raise DocumentTooLarge("one of them")

    then(store, monkeypatch, refused_in_the_middle)
    outcomes = await store.commit(transitions)
    # The first was made by another call, as far as can be seen: a conflict is safe to say of it.
    assert outcomes == [Outcome.CONFLICT, Outcome.COMMITTED, Outcome.COMMITTED]
    assert await reasons(store) == ["mine"] * 3


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("the reply was lost"),
        BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}], "nMatched": 3}),
    ],
    ids=["lost reply", "no majority in time"],
)
async def test_what_may_be_taken_back_or_may_not_have_come_through_is_unsure(
    store: MongoStore, transitions: list[Transition], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def unsure(bulk_write: BulkWrite) -> Any:
        await bulk_write()
        raise error

    then(store, monkeypatch, unsure)
    assert await store.commit(transitions) == [Outcome.UNSURE] * 3
    assert await reasons(store) == ["mine"] * 3


async def test_when_nobody_can_say_which_were_made_all_are_unsure(
    store: MongoStore, transitions: list[Transition], monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit([change(transitions[1].before, changed(transitions[1].before, reason="theirs"))])

    def away(*_: Any, **__: Any) -> Any:
        raise AutoReconnect("the server went away")

    monkeypatch.setattr(store._sagas, "find", away)
    assert await store.commit(transitions) == [Outcome.UNSURE] * 3


async def test_a_server_that_goes_away_takes_no_saga_for_started(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise AutoReconnect("the server went away")

    monkeypatch.setattr(store._sagas, "insert_many", away)
    with pytest.raises(StoreUnavailable, match="the server went away"):
        await store._insert_all([{"_id": "a"}, {"_id": "b"}])
    assert await store.load(["a", "b"]) == {}
