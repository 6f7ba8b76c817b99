"""Tags in a SQLite file: they cost nothing where there are none, and processes that know of none do them no harm."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.adapters.store_rules import encode_state
from sagaflow.core.state import SagaState
from sagaflow.ports import Outcome, Page, Query
from sagaflow.testing.store_states import change, changed, claimed, new_saga


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "sagas.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def earlier(store: SQLiteStore, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A process of an earlier version on the same file."""
    connection = sqlite3.connect(tmp_path / "sagas.db", isolation_level=None)
    yield connection
    connection.close()


def without_tags(state: SagaState) -> str:
    """The state as an earlier version writes it, which has no such field."""
    fields: dict[str, Any] = msgspec.json.decode(encode_state(state))
    del fields["tags"]
    return msgspec.json.encode(fields).decode()


async def test_a_saga_without_tags_is_kept_and_changed_by_no_statement_more(store: SQLiteStore) -> None:
    statements: list[str] = []
    await store._run(lambda connection: connection.set_trace_callback(statements.append))
    state = new_saga()
    await store.insert(state, None)
    assert await store.commit([change(state)]) == [Outcome.COMMITTED]
    assert [statement for statement in statements if "tags" in statement.replace('"tags":[]', "")] == []


async def test_an_earlier_version_that_changes_a_saga_leaves_it_its_tags(
    store: SQLiteStore, earlier: sqlite3.Connection
) -> None:
    before = new_saga("a", context='{"tags":null,"n":1.10}', tags=('"quoted"', "channel:web", "ß☂🧨"))
    plain = new_saga("b", steps=("tags",))
    await store.insert(before, 5.0)
    await store.insert(plain, 5.0)
    for state in (before, plain):
        after = claimed(replace(state, tags=()), "worker", next(iter(state.steps)))
        written = earlier.execute(
            "UPDATE sagas SET revision = ?, body = ? WHERE id = ? AND revision = ?",
            (after.revision, without_tags(after), state.id, state.revision),
        )
        assert written.rowcount == 1
        found = (await store.load([state.id]))[state.id].state
        assert found == replace(after, tags=state.tags)
        assert await store.commit([change(found, changed(found, reason="on it goes"))]) == [Outcome.COMMITTED]
    assert [state.id for state in (await store.find(Query(tags=("channel:web",)))).sagas] == ["a"]


async def test_what_an_earlier_version_forgets_leaves_no_tag(store: SQLiteStore, earlier: sqlite3.Connection) -> None:
    await store.insert(new_saga("a", tags=("vip", "web")), None)
    await store.insert(new_saga("b", tags=("vip",)), None)
    earlier.execute("DELETE FROM sagas WHERE id = 'a'")
    assert earlier.execute("SELECT tag, saga_id FROM tags").fetchall() == [("vip", "b")]
    again = new_saga("a", tags=("web",))
    assert await store.insert(again, None)
    assert await store.find(Query(tags=("web",))) == Page((again,))


async def test_what_an_earlier_version_has_started_has_no_tags(store: SQLiteStore, earlier: sqlite3.Connection) -> None:
    state = new_saga("a")
    earlier.execute(
        "INSERT INTO sagas (id, revision, status, saga, fingerprint, due_at, created_at, updated_at, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(state.id, state.revision, state.status, state.saga, state.fingerprint),
            *(5.0, state.created_at, state.updated_at, without_tags(state)),
        ),
    )
    assert (await store.load(["a"]))["a"].state == state
    assert await store.commit([change(state)]) == [Outcome.COMMITTED]
