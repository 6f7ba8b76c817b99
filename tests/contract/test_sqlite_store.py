"""The store in a SQLite file keeps the contract, between processes and through trouble too."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.core.state import SCHEMA, SagaStatus
from sagaflow.errors import ConfigurationError, StoreUnavailable
from sagaflow.ports import Due, Graph, Outcome, Posted, Query, Signal, Store
from sagaflow.testing.store_contract import StoreContract
from sagaflow.testing.store_states import ENDLESS, REQUESTS, change, changed, claimed, new_saga, request, ticket

# Another process on the same file: it commits on one saga as often as it can win, and says when it has.
COMMITTER = """
import asyncio, sys
from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.ports import Outcome
from sagaflow.testing.store_states import change, changed, new_saga

async def main(path, wins):
    store = SQLiteStore(path)
    await store.open()
    await store.insert(new_saga("shared"), None)
    while wins:
        state = (await store.load(["shared"]))["shared"].state
        if await store.commit([change(state, changed(state))]) == [Outcome.COMMITTED]:
            wins -= 1
            print(state.revision + 1, flush=True)
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sagas.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path, timeout=0.2)
    await store.open()
    yield store
    await store.close()


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    async def store(self, path: Path) -> AsyncIterator[Store]:
        store = SQLiteStore(path)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def other_store(self, store: Store, path: Path) -> AsyncIterator[Store]:
        other = SQLiteStore(path)
        await other.open()
        yield other
        await other.close()


def committer(path: Path, wins: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", COMMITTER, str(path), str(wins)], stdout=subprocess.PIPE, text=True)


async def test_processes_create_and_share_one_file(path: Path) -> None:
    processes = [committer(path, 40) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    revisions = sorted(int(line) for output in outputs for line in output.split())
    assert revisions == list(range(1, 161))


async def test_what_was_confirmed_survives_a_kill(path: Path) -> None:
    process = committer(path, 1_000_000)
    assert process.stdout is not None
    confirmed = max(int(process.stdout.readline()) for _ in range(50))
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    confirmed = max([confirmed, *map(int, rest.split())])
    store = SQLiteStore(path)
    await store.open()
    revision = (await store.summaries(["shared"]))["shared"].revision
    await store.close()
    assert revision in {confirmed, confirmed + 1}  # the last may have been made, and not been said


async def test_a_file_that_another_process_holds_is_unavailable_for_a_bounded_time(
    store: SQLiteStore, path: Path
) -> None:
    state = new_saga("a")
    await store.insert(state, 5.0)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    assert await store.commit([change(state), change(new_saga())]) == [Outcome.UNSURE] * 2
    with pytest.raises(StoreUnavailable, match="locked") as raised:
        await store.insert(new_saga(), None)
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
    with pytest.raises(StoreUnavailable):
        await store.post("a", request("token"))
    with pytest.raises(StoreUnavailable):
        await store.defer([Due("a", 5.0)], [9.0])
    heart = store.heart()
    with pytest.raises(StoreUnavailable):
        heart.beat("worker")
    assert time.monotonic() - begun < 5
    assert (await store.load(["a"]))["a"].state == state  # readers do not wait for writers
    holder.execute("ROLLBACK")
    holder.close()
    assert await store.commit([change(state)]) == [Outcome.COMMITTED]
    assert heart.beat("worker").alive
    heart.close()


async def test_a_full_disk_takes_nothing_and_is_survived(store: SQLiteStore, path: Path) -> None:
    small, large = new_saga(), new_saga()
    for state in (small, large):
        await store.insert(state, None)
    await _execute(store, "PRAGMA max_page_count = 1")  # as many as it has already
    filled = changed(large, context="x" * 1_000_000)
    assert await store.commit([change(small), change(large, filled)]) == [Outcome.UNSURE] * 2
    with pytest.raises(StoreUnavailable, match="full"):
        await store.insert(new_saga(context="x" * 1_000_000), None)
    assert await store.summaries([small.id]) == await store.summaries([small.id])
    await _execute(store, "PRAGMA max_page_count = 1000000")
    assert await store.commit([change(small), change(large, filled)]) == [Outcome.COMMITTED] * 2


async def test_a_cancelled_caller_leaves_the_store_in_order(store: SQLiteStore) -> None:
    states = [new_saga() for _ in range(50)]
    for state in states:
        await store.insert(state, None)
    for state in states:
        committing = asyncio.create_task(store.commit([change(state, changed(state, reason="made"))]))
        await asyncio.sleep(0)
        committing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await committing
    stored = await store.load([state.id for state in states])
    for state in states:
        found = stored[state.id].state
        assert (found.revision, found.reason) in {(0, None), (1, "made")}
        assert await store.commit([change(found)]) == [Outcome.COMMITTED]


async def test_no_query_goes_through_a_whole_table(store: SQLiteStore, path: Path) -> None:
    for number in range(300):
        saga = new_saga(f"saga-{number}", created_at=float(number), status=SagaStatus.COMPLETED)
        await store.insert(saga, None)
    await _execute(store, "ANALYZE")
    statements: list[str] = []
    await store._run(lambda connection: connection.set_trace_callback(statements.append))
    state = new_saga("traced")
    taken = claimed(state, "worker")
    await store.insert(state, 5.0)
    await store.post("traced", request("token"))
    await store.commit([change(state, taken, consumed=("token",), inbox_size=1, wake_at=5.0)])
    await store.defer(await store.due(10.0, 10), [20.0])
    await store.due(10.0, 10, ["f-1", "f-2"])
    await store.orphans(10)
    await store.orphans(10, ["f-1"])
    await store.claimed_by("worker", 10)
    await store.load(["traced"])
    await store.summaries(["traced"])
    page = await store.find(Query(limit=2))
    await store.find(Query(limit=2, cursor=page.cursor))
    await store.find(Query(sagas=("Order",), created_before=200.0))
    await store.find(Query(statuses=(SagaStatus.STARTED, SagaStatus.FAILED)))
    await store.find(Query(sagas=("Order",), statuses=(SagaStatus.FAILED,), updated_before=5.0))
    await store.insert(new_saga("tagged", tags=("vip", "web")), None)
    await store.find(Query(tags=("vip",), cursor=page.cursor))
    await store.find(Query(tags=("vip", "web"), statuses=(SagaStatus.FAILED,), created_before=200.0))
    await store.queue_up("key", ticket("a"))
    await store.queue("key")
    await store.leave_queue("key", ticket("a"))
    await store.keep_graph(Graph("f-1", "Order", "[]"))
    await store.graphs(["Order", "Trip"])
    await store.insert(new_saga("ended", named=True, status=SagaStatus.COMPLETED, expire_at=5.0), None)
    await store.expire(10.0, 10, 60.0)
    await store.tombstone("ended")
    await store._run(lambda connection: connection.set_trace_callback(None))
    explained = 0
    with sqlite3.connect(path) as connection:
        for statement in statements:
            if statement.split()[0] in {"BEGIN", "COMMIT"}:
                continue
            explained += 1
            for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                assert not step.startswith("SCAN") or " INDEX " in step, f"{step}: {statement}"
    connection.close()
    assert explained > 20


async def test_the_dead_are_forgotten_after_a_day_but_not_while_they_hold_claims(
    store: SQLiteStore,
) -> None:
    heart = store.heart()
    for worker in ("holder", "free", "recent"):
        heart.beat(worker)
        heart.leave(worker)
    held = claimed(new_saga("a"), "holder")
    await store.insert(held, None)
    await _execute(store, "UPDATE workers SET dead_at = dead_at - 86500 WHERE id <> 'recent'")
    other = store.heart()
    other.beat("newcomer")
    (rows,) = [await _execute(store, "SELECT id FROM workers ORDER BY id")]
    assert rows == [("holder",), ("newcomer",), ("recent",)]
    assert not heart.beat("free").alive  # forgotten, and not resurrected
    assert [orphan.owner for orphan in await store.orphans(10)] == ["holder"]
    heart.close()
    other.close()


async def test_the_file_can_be_read_by_people(store: SQLiteStore) -> None:
    await store.insert(new_saga("a", context='{"customer":"Zoë"}'), 5.0)
    rows = await _execute(
        store, "SELECT id, status, due_at, json_extract(body, '$.context') FROM sagas WHERE saga = 'Order'"
    )
    assert rows == [("a", "started", 5.0, '{"customer":"Zoë"}')]


@pytest.mark.parametrize(("level", "number"), [("FULL", 2), ("NORMAL", 1)])
async def test_the_level_of_durability_is_what_was_asked_for(path: Path, level: str, number: int) -> None:
    store = SQLiteStore(path, synchronous="NORMAL" if level == "NORMAL" else "FULL")
    await store.open()
    assert await _execute(store, "PRAGMA synchronous") == [(number,)]
    assert await _execute(store, "PRAGMA journal_mode") == [("wal",)]
    await store.close()


async def test_a_saga_of_a_later_version_is_refused(store: SQLiteStore) -> None:
    await store.insert(replace(new_saga("later"), schema=SCHEMA + 1), 5.0)
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        await store.load(["later"])
    await _execute(store, f'UPDATE sagas SET body = \'{{"schema": {SCHEMA + 1}, "new": []}}\'')
    with pytest.raises(ConfigurationError, match="Update SagaFlow"):
        await store.find(Query())


# The tables that the first version made, and a saga that it inserted.
PREVIOUS = (
    """CREATE TABLE sagas (
        id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, status TEXT NOT NULL, saga TEXT NOT NULL,
        fingerprint TEXT NOT NULL, due_at REAL, dispatches INTEGER NOT NULL DEFAULT 0, created_at REAL NOT NULL,
        updated_at REAL NOT NULL, body TEXT NOT NULL
    )""",
    """CREATE TABLE inbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, saga_id TEXT NOT NULL, token TEXT NOT NULL, due_at REAL NOT NULL,
        body TEXT NOT NULL, UNIQUE (saga_id, token)
    )""",
    "CREATE TABLE claims (owner TEXT NOT NULL, saga_id TEXT NOT NULL, PRIMARY KEY (owner, saga_id)) WITHOUT ROWID",
    "CREATE TABLE workers (id TEXT PRIMARY KEY NOT NULL, beats INTEGER NOT NULL DEFAULT 0, dead_at REAL) WITHOUT ROWID",
    "PRAGMA user_version = 1",
)
PREVIOUS_INSERT = """
    INSERT OR IGNORE INTO sagas (id, revision, status, saga, fingerprint, due_at, created_at, updated_at, body)
    VALUES (?, 0, 'started', 'Order', 'f-1', 5.0, 1.0, 1.0, json_object(
        'id', ?, 'saga', 'Order', 'fingerprint', 'f-1', 'status', 'started', 'revision', 0, 'context', '{}',
        'steps', json_object('reserve', json_object()), 'created_at', 1.0, 'updated_at', 1.0, 'schema', 1
    ))
"""


@pytest.fixture
def previous(path: Path) -> Iterator[sqlite3.Connection]:
    """A process of the previous version, which made the file and stays connected to it."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in PREVIOUS:
        connection.execute(statement)
    connection.execute(PREVIOUS_INSERT, ("a", "a"))
    yield connection
    connection.close()


async def test_a_file_of_the_previous_version_is_read_and_goes_on(previous: sqlite3.Connection, path: Path) -> None:
    store = SQLiteStore(path)
    await store.open()
    previous.execute(PREVIOUS_INSERT, ("b", "b"))
    for saga_id in ("a", "b"):
        for asked in REQUESTS:
            accepted = asked.kind != "retry"
            assert await store.post(saga_id, Signal(asked.kind, asked)) == Posted(accepted, SagaStatus.STARTED)
        stored = (await store.load([saga_id]))[saga_id]
        assert stored.state.schema == 1
        tokens = tuple(signal.token for signal in stored.inbox)
        after = changed(stored.state, committed=True)
        assert await store.commit([change(stored.state, after, consumed=tokens)]) == [Outcome.COMMITTED]
        assert (await store.load([saga_id]))[saga_id].state == replace(after, schema=SCHEMA)
        assert await store.post(saga_id, request("late")) == Posted(False, SagaStatus.STARTED)
    assert await _execute(store, "PRAGMA user_version") == [(1,)]  # a process of that version opens it still
    await store.close()


async def test_many_add_what_is_missing_to_a_file_of_the_previous_version_at_once(
    previous: sqlite3.Connection, path: Path
) -> None:
    stores = [SQLiteStore(path) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    assert [await store.insert(new_saga("c"), None) for store in stores] == [True] + [False] * 7
    for store in stores:
        await store.close()


async def test_the_previous_version_cannot_start_again_what_left_a_tombstone(
    previous: sqlite3.Connection, path: Path
) -> None:
    store = SQLiteStore(path)
    await store.open()
    ended = new_saga("ended", named=True, status=SagaStatus.COMPLETED, expire_at=5.0)
    await store.insert(ended, None)
    assert await store.expire(10.0, 10, 60.0) == 1
    assert previous.execute(PREVIOUS_INSERT, ("ended", "ended")).rowcount == 0
    assert previous.execute(PREVIOUS_INSERT, ("other", "other")).rowcount == 1
    assert (await store.load(["ended", "other"])).keys() == {"other"}
    await store.close()


async def test_a_file_of_a_later_version_is_refused(store: SQLiteStore, path: Path) -> None:
    await _execute(store, "PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match="later version"):
        await SQLiteStore(path).open()


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no-such-directory.*does not exist"):
        await SQLiteStore(tmp_path / "no-such-directory" / "sagas.db").open()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("These are my notes, and they are long enough to be looked at. " * 20)
    with pytest.raises(ConfigurationError, match="not a SQLite database"):
        await SQLiteStore(text).open()
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await SQLiteStore(tmp_path).open()


@pytest.mark.parametrize("name", ["", ":memory:"])
def test_a_store_without_a_file_is_pointed_to_memory(name: str) -> None:
    with pytest.raises(ConfigurationError, match="memory://"):
        SQLiteStore(name)


def test_an_unknown_level_of_durability_is_refused(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'FULL' or 'NORMAL'"):
        SQLiteStore(path, synchronous="OFF")  # type: ignore[arg-type]  # what is tested


async def test_a_closed_store_is_unavailable_and_can_be_opened_again(store: SQLiteStore) -> None:
    state = new_saga("a")
    await store.insert(state, None)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.due(ENDLESS, 10)
    assert await store.commit([change(state)]) == [Outcome.UNSURE]
    await store.open()
    await store.open()
    assert await store.commit([change(state)]) == [Outcome.COMMITTED]


async def _execute(store: SQLiteStore, statement: str) -> "list[tuple[object, ...]]":
    """Run a statement on the store's own connection."""
    return await store._run(lambda connection: connection.execute(statement).fetchall())
