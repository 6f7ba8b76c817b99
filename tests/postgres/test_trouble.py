"""The example of a store in PostgreSQL is exact about what it has kept, whatever happens to its server."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial

import asyncpg
import msgspec
import pytest
from postgres_store import PostgresStore
from postgres_store.heart import PostgresHeart

from sagaflow.core.state import SagaState, SagaStatus
from sagaflow.errors import PayloadError, StoreUnavailable
from sagaflow.ports import Due, Graph, Outcome, Query
from sagaflow.testing.store_states import change, changed, claimed, new_saga, request, ticket
from tests.polling import until
from tests.servers import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.fixture
async def administrator(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Another connection to the store's schema."""
    connection: asyncpg.Connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def heart(store: PostgresStore) -> AsyncIterator[PostgresHeart]:
    heart = store.heart()
    yield heart
    heart.close()


async def kept(store: PostgresStore, number: int) -> list[SagaState]:
    states = [new_saga() for _ in range(number)]
    for state in states:
        assert await store.insert(state, 5.0)
    return states


async def test_what_was_confirmed_survives_a_kill_and_the_store_goes_on(
    store: PostgresStore, heart: PostgresHeart, postgres: PostgresServer
) -> None:
    (state,) = await kept(store, 1)
    after = claimed(state, "worker")
    assert heart.beat("worker").alive
    assert await store.commit([change(state, after)]) == [Outcome.COMMITTED]
    assert (await store.post(state.id, request("token"))).accepted
    postgres.kill()
    assert await store.commit([change(after)]) == [Outcome.UNSURE]
    with pytest.raises(StoreUnavailable, match="could not load sagas"):
        await store.load([state.id])
    with pytest.raises(StoreUnavailable, match="heartbeat"):
        heart.beat("worker")
    await asyncio.to_thread(postgres.start)
    stored = (await store.load([state.id]))[state.id]
    assert (stored.state, stored.inbox) == (after, (request("token"),))
    assert heart.beat("worker").alive


async def test_a_server_that_does_not_answer_is_unavailable_for_a_bounded_time(
    postgres_url: str, postgres: PostgresServer
) -> None:
    store = PostgresStore(postgres_url, timeout=0.5)
    await store.open()
    (state,) = await kept(store, 1)
    heart = store.heart()
    heart.beat("worker")
    begun = time.monotonic()
    postgres.pause()
    try:
        assert await store.commit([change(state)]) == [Outcome.UNSURE]
        with pytest.raises(StoreUnavailable, match=r"within 0\.5 s"):
            await store.due(10.0, 10)
        with pytest.raises(StoreUnavailable, match=r"within 0\.5 s"):
            await asyncio.to_thread(heart.beat, "worker")
    finally:
        postgres.resume()
    assert time.monotonic() - begun < 4
    assert heart.beat("worker").alive
    assert [found.saga_id for found in await until(lambda: seen(store))] == [state.id]
    heart.close()
    await store.close()


async def seen(store: PostgresStore) -> list[Due]:
    """What is due; nothing while the server still wakes."""
    with suppress(StoreUnavailable):
        return await store.due(10.0, 10)
    return []


async def test_whatever_is_cut_off_in_the_middle_each_outcome_is_true(
    store: PostgresStore, administrator: asyncpg.Connection
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sagaflow'"
    states = {state.id: state for state in await kept(store, 20)}
    told: set[Outcome] = set()
    for _ in range(20):
        batch = [change(state, changed(state, reason=state.id)) for state in states.values()]
        committing = asyncio.create_task(store.commit(batch))
        while not committing.done():
            await administrator.execute(cut)
        outcomes = await committing
        told.update(outcomes)
        stored = await until(partial(loaded, store, list(states)))
        for made, outcome in zip(batch, outcomes, strict=True):
            found = stored[made.before.id]
            assert outcome is Outcome.UNSURE or (found == made.after) == (outcome is Outcome.COMMITTED)
            assert found in (made.before, made.after)
        states = stored
    assert Outcome.UNSURE in told
    assert Outcome.CONFLICT not in told


async def loaded(store: PostgresStore, saga_ids: Sequence[str]) -> dict[str, SagaState]:
    with suppress(StoreUnavailable):
        return {saga_id: stored.state for saga_id, stored in (await store.load(saga_ids)).items()}
    return {}


async def test_a_cancelled_caller_leaves_the_store_in_order(store: PostgresStore) -> None:
    states = await kept(store, 30)
    for number, state in enumerate(states):
        committing = asyncio.create_task(store.commit([change(state, changed(state, reason="made"))]))
        await asyncio.sleep(number / 10_000)
        committing.cancel()
        with suppress(asyncio.CancelledError):
            await committing
    for state in states:
        found = (await store.load([state.id]))[state.id].state
        assert (found.revision, found.reason) in {(0, None), (1, "made")}
        if await store.commit([change(found)]) != [Outcome.COMMITTED]:
            # What was cancelled was still under way on the server, and was quicker.
            found = (await store.load([state.id]))[state.id].state
            assert await store.commit([change(found)]) == [Outcome.COMMITTED]


async def test_batches_of_the_same_sagas_in_opposite_orders_do_not_wait_for_each_other_in_a_circle(
    store: PostgresStore, other_store: PostgresStore, administrator: asyncpg.Connection
) -> None:
    await crowd(administrator)
    states = await kept(store, 100)
    for _ in range(20):
        batch = [change(state) for state in states]
        first, second = await asyncio.gather(store.commit(batch), other_store.commit(batch[::-1]))
        for outcomes in zip(first, second[::-1], strict=True):
            assert {*outcomes} == {Outcome.COMMITTED, Outcome.CONFLICT}
        states = [made.after for made in batch]


async def test_what_the_server_will_never_take_does_not_stop_its_batch(
    store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = await kept(store, 2)
    too_long = secrets.token_hex(10_000)  # for an index
    outcomes = await store.commit([change(bad, changed(bad, saga=too_long)), change(good)])
    assert outcomes == [Outcome.CONFLICT, Outcome.COMMITTED]
    assert f"saga {bad.id} cannot go on" in caplog.text
    assert too_long not in caplog.text
    with pytest.raises(PayloadError, match="could not insert a saga"):
        await store.insert(new_saga(too_long), None)


async def test_nul_is_kept_in_what_is_written_by_customers_and_refused_elsewhere(store: PostgresStore) -> None:
    state = new_saga(context='"a\0b"', reason="c\0d")
    assert await store.insert(state, None)
    asked = request("token", "e\0f")
    assert (await store.post(state.id, asked)).accepted
    stored = (await store.load([state.id]))[state.id]
    assert (stored.state, stored.inbox) == (state, (asked,))
    outcomes = await store.commit([change(state, changed(state, saga="no\0name"))])
    assert outcomes == [Outcome.CONFLICT]
    for refused in (
        store.insert(new_saga("no\0id"), None),
        store.load(["no\0id"]),
        store.post(state.id, request("no\0token")),
        store.queue_up("no\0key", ticket("a")),
        store.keep_graph(Graph("f-1", "Order", "\0")),
    ):
        with pytest.raises(PayloadError, match="NUL"):
            await refused


async def test_no_call_goes_through_all_sagas(
    store: PostgresStore, heart: PostgresHeart, administrator: asyncpg.Connection
) -> None:
    await crowd(administrator)
    await store.close()
    before = await scans(administrator)  # the making of indexes among them
    await store.open()
    heart.beat("worker")
    for number in range(8):  # from the sixth time on, the server may plan without looking at the values
        state = new_saga(f"a-{number}", created_at=1e6 + number)
        taken = claimed(state, "worker")
        await store.insert(state, 5.0)
        await store.post(state.id, request("token"))
        await store.commit([change(state, taken, consumed=("token",), inbox_size=1, wake_at=5.0)])
        await store.defer(await store.due(10.0, 10), [20.0])
        await store.due(10.0, 10, ["f-1", "f-2"])
        await store.orphans(10)
        await store.orphans(10, ["f-1"])
        await store.claimed_by("worker", 10)
        await store.load([state.id])
        await store.summaries([state.id])
        await store.inspect([state.id])
        await store.scan("a", 10)
        page = await store.find(Query(limit=2, statuses=(SagaStatus.STARTED,)))
        await store.find(Query(limit=1, sagas=("Nobody",), cursor=page.cursor))
        await store.find(Query(limit=2, created_before=2e6, cursor=page.cursor))
        await store.insert(new_saga(f"tagged-{number}", tags=("vip", "web")), None)
        await store.find(Query(limit=2, tags=("vip", "web")))
        await store.insert(new_saga("ended", named=True, status=SagaStatus.COMPLETED, expire_at=5.0), None)
        await store.expire(10.0, 10, 60.0)
        await store.tombstone("ended")
    heart.leave("worker")
    heart.beat("another")
    heart.close()
    await store.close()
    assert await scans(administrator) == before


async def crowd(administrator: asyncpg.Connection) -> None:
    """So many sagas that have ended that the server plans as it does in production."""
    await administrator.execute(
        """
        INSERT INTO sagaflow_sagas (id, revision, status, saga, fingerprint, named, created_at, updated_at, accepts,
                                    owners, body)
        SELECT 'old-' || number, 0, 'completed', 'Order', 'f-1', FALSE, number, number, '{}', '{}', $1
        FROM generate_series(1, 20000) AS number
        """,
        msgspec.json.encode(new_saga(status=SagaStatus.COMPLETED)).decode(),
    )
    await administrator.execute("ANALYZE sagaflow_sagas")


async def scans(administrator: asyncpg.Connection) -> int:
    """How often the whole table was read, by connections of the store that are closed: now they have told."""
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sagaflow'"
    counted = "SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'sagaflow_sagas'::regclass"

    async def are_closed() -> bool:
        return not await administrator.fetchval(open_ones)

    await until(are_closed)
    return int(await administrator.fetchval(counted))


async def test_the_dead_are_forgotten_after_a_day_but_not_while_they_hold_claims(
    store: PostgresStore, heart: PostgresHeart, administrator: asyncpg.Connection
) -> None:
    for worker in ("holder", "free", "recent"):
        heart.beat(worker)
        heart.leave(worker)
    await store.insert(claimed(new_saga("a"), "holder"), None)
    await administrator.execute("UPDATE sagaflow_workers SET dead_at = dead_at - 86500 WHERE id <> 'recent'")
    heart.beat("newcomer")
    left = await administrator.fetch("SELECT id FROM sagaflow_workers ORDER BY id")
    assert [worker for (worker,) in left] == ["holder", "newcomer", "recent"]
    assert not heart.beat("free").alive  # forgotten, and not resurrected
    assert [orphan.owner for orphan in await store.orphans(10)] == ["holder"]


async def test_a_closed_store_is_unavailable_and_can_be_opened_again(store: PostgresStore) -> None:
    (state,) = await kept(store, 1)
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.due(10.0, 10)
    assert await store.commit([change(state)]) == [Outcome.UNSURE]
    await store.open()
    await store.open()
    assert await store.commit([change(state)]) == [Outcome.COMMITTED]
