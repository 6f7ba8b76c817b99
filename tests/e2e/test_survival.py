"""Processes are killed, stopped and told to end; messages and brokers are lost; sagas end rightly all the same."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.core.state import Direction
from sagaflow.ports import Lane
from tests.polling import until
from tests.servers import RabbitMQNode

from .ledgers import Job, Ledger, LedgerSaga, Place
from .stacks import topology

SOON = timedelta(seconds=30)
ALL = {"first", "left", "right", "last"}


@pytest.fixture(params=["sqlite", pytest.param("servers", marks=[pytest.mark.rabbitmq, pytest.mark.mongodb])])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where several processes work on the same sagas."""
    if request.param == "servers":
        place: Place = request.getfixturevalue("server_place")
        return place
    return Place(f"sqlite:///{tmp_path}/sagas.db", "", "", Ledger(tmp_path / "ledger.db"))


@pytest.fixture
def server_place(amqp_url: str, mongo_url: str, prefix: str, tmp_path: Path) -> Place:
    return Place(mongo_url, amqp_url, prefix, Ledger(tmp_path / "ledger.db"))


async def until_begun(ledger: Ledger, key: str) -> int:
    """The process that was the first to begin this."""
    return (await until(lambda: ledger.attempts(key)))[0]


@pytest.mark.parametrize("slow", ["first", "left", "last"])
async def test_a_worker_killed_in_mid_step_is_replaced_and_the_saga_completes(place: Place, slow: str) -> None:
    async with place.engine(work="none") as engine, place.worker() as one, place.worker() as other:
        handle = await engine.start(LedgerSaga, Job(slow=slow), id="s-1")
        killed = await until_begun(place.ledger, f"s-1/{slow}")
        next(worker for worker in (one, other) if worker.pid == killed).kill()
        record = await handle.result(timeout=SOON)
    assert place.ledger.effects("s-1") == ALL
    assert len(place.ledger.attempts(f"s-1/{slow}")) == 2
    assert record.steps[slow].attempts == 2
    assert all(record.steps[name].attempts == 1 for name in ALL - {slow} - ({"right"} if slow == "left" else set()))


async def test_a_worker_killed_in_mid_compensation_is_replaced_and_the_order_holds(place: Place) -> None:
    async with place.engine(work="none") as engine, place.worker() as one, place.worker() as other:
        handle = await engine.start(LedgerSaga, Job(slow="unleft", fails="last"), id="s-1")
        killed = await until_begun(place.ledger, "s-1/left/undo")
        next(worker for worker in (one, other) if worker.pid == killed).kill()
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated
    assert place.ledger.effects("s-1") == set()
    assert place.ledger.order("s-1")[-1] == "first/undo"
    assert place.ledger.order("s-1").count("first/undo") == 1


async def test_a_worker_told_to_end_hands_over_at_once_and_doubles_nothing(place: Place) -> None:
    async with place.engine(work="none") as engine, place.worker() as one:
        handles = [await engine.start(LedgerSaga, Job(slow="left", seconds=0.3)) for _ in range(20)]
        await until_begun(place.ledger, f"{handles[0].id}/left")
        one.send_signal(signal.SIGTERM)
        async with place.worker():
            records = await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
        assert await one.wait() == 0
    for record in records:
        assert place.ledger.effects(record.id) == ALL
        assert sorted(place.ledger.order(record.id)) == sorted(ALL)


async def test_a_stopped_worker_that_wakes_as_a_zombie_changes_nothing(server_place: Place) -> None:
    # Not on SQLite: a process that is stopped in the middle of a write keeps the file locked for all others.
    place = server_place
    async with place.engine(work="none") as engine, place.worker() as one:
        handle = await engine.start(LedgerSaga, Job(slow="left", seconds=1), id="s-1")
        await until(lambda: {"left", "right"} <= place.ledger.effects("s-1"))
        one.send_signal(signal.SIGSTOP)
        async with place.worker():
            record = await handle.result(timeout=SOON)
            one.send_signal(signal.SIGCONT)
            # Its handler returns, or is cancelled, and then it works on under a new name.
            later = await engine.start(LedgerSaga, Job(), id="s-2")
            await later.result(timeout=SOON)
            await asyncio.sleep(1.5)
            again = await engine.get("s-1")
    assert again.status == record.status
    assert again.output(LedgerSaga.left) == record.output(LedgerSaga.left)
    assert place.ledger.effects("s-1") == ALL


async def test_a_purged_hint_is_made_up_for_by_the_sweeper(server_place: Place) -> None:
    lane = Lane("default", Direction.FORWARD)
    async with server_place.engine(work="none") as engine:
        handle = await engine.start(LedgerSaga, Job(), id="s-1")
        broker = RabbitBroker(server_place.amqp_url, topology=topology(server_place.prefix))
        await broker.open()
        assert await broker.purge(lane) == 1
        await broker.close()
        async with server_place.worker():
            await handle.result(timeout=SOON)
    assert server_place.ledger.effects("s-1") == ALL


async def test_sagas_survive_a_kill_and_restart_of_rabbitmq(server_place: Place, rabbitmq: RabbitMQNode) -> None:
    async with server_place.engine(work="none") as engine, server_place.worker():
        before = [await engine.start(LedgerSaga, Job(slow="left", seconds=2)) for _ in range(20)]
        rabbitmq.kill()
        during = [await engine.start(LedgerSaga, Job()) for _ in range(5)]
        await asyncio.to_thread(rabbitmq.start)
        after = [await engine.start(LedgerSaga, Job(fails="last")) for _ in range(5)]
        records = await asyncio.gather(*(handle.wait(timeout=SOON) for handle in before + during + after))
    assert [record.is_completed for record in records] == [True] * 25 + [False] * 5
    assert all(record.is_compensated for record in records[25:])
    for record in records:
        assert server_place.ledger.effects(record.id) == (ALL if record.is_completed else set())
