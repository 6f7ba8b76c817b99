"""Sagas run on the example of a store in PostgreSQL as on any other, and survive the death of a worker."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, environment
from tests.e2e.ledgers import Job, Ledger, LedgerSaga
from tests.polling import until
from tests.servers import PostgresServer

from .places import PostgresPlace

pytestmark = pytest.mark.postgres

SOON = timedelta(seconds=30)
ALL = {"first", "left", "right", "last"}


@pytest.fixture(params=["postgres alone", pytest.param("with rabbitmq", marks=pytest.mark.rabbitmq)])
def place(request: pytest.FixtureRequest, postgres_url: str, prefix: str, tmp_path: Path) -> PostgresPlace:
    amqp_url: str = "" if request.param == "postgres alone" else request.getfixturevalue("amqp_url")
    return PostgresPlace(postgres_url, amqp_url, prefix, Ledger(tmp_path / "ledger.db"))


async def test_a_saga_completes_and_another_one_is_undone(place: PostgresPlace) -> None:
    async with place.engine(works=True) as engine:
        good = await engine.start(LedgerSaga, Job(), id="good")
        bad = await engine.start(LedgerSaga, Job(fails="last"), id="bad")
        completed, undone = await good.result(timeout=SOON), await bad.wait(timeout=SOON)
        listed = [saga.id for saga in (await engine.list()).sagas]
    assert completed.is_completed
    assert undone.is_compensated
    assert place.ledger.effects("good") == ALL
    assert place.ledger.effects("bad") == set()
    assert place.ledger.order("bad")[-1] == "first/undo"
    assert set(listed) == {"good", "bad"}


@pytest.mark.parametrize(("slow", "fails"), [("left", ""), ("unfirst", "last")])
async def test_a_worker_killed_in_mid_step_is_replaced(place: PostgresPlace, slow: str, fails: str) -> None:
    key = "s-1/first/undo" if fails else f"s-1/{slow}"
    async with place.engine(works=False) as engine, place.worker() as one, place.worker() as other:
        handle = await engine.start(LedgerSaga, Job(slow=slow, fails=fails), id="s-1")
        (killed,) = await until(lambda: place.ledger.attempts(key))
        next(worker for worker in (one, other) if worker.pid == killed).kill()
        record = await handle.wait(timeout=SOON)
    assert record.is_compensated if fails else record.is_completed
    assert place.ledger.effects("s-1") == (set() if fails else ALL)
    assert len(place.ledger.attempts(key)) == 2


async def test_a_stopped_worker_holds_nobody_up_and_changes_nothing_when_it_wakes(place: PostgresPlace) -> None:
    async with place.engine(works=False) as engine, place.worker() as one:
        handle = await engine.start(LedgerSaga, Job(slow="left", seconds=1), id="s-1")
        await until(lambda: {"left", "right"} <= place.ledger.effects("s-1"))
        one.send_signal(signal.SIGSTOP)
        try:
            async with place.worker():
                record = await handle.result(timeout=SOON)
        finally:
            one.send_signal(signal.SIGCONT)
        # It works on, under a new name.
        await (await engine.start(LedgerSaga, Job(), id="s-2")).result(timeout=SOON)
        again = await engine.get("s-1")
    assert again.output(LedgerSaga.left) == record.output(LedgerSaga.left)
    assert place.ledger.effects("s-1") == ALL


async def test_sagas_survive_a_kill_and_restart_of_the_database(
    postgres: PostgresServer, postgres_url: str, prefix: str, tmp_path: Path
) -> None:
    place = PostgresPlace(postgres_url, "", prefix, Ledger(tmp_path / "ledger.db"))
    async with place.engine(works=False) as engine, place.worker():
        handles = [await engine.start(LedgerSaga, Job(slow="left", seconds=0.5)) for _ in range(10)]
        await until(lambda: place.ledger.attempts(f"{handles[0].id}/left"))
        postgres.kill()
        await asyncio.to_thread(postgres.start)
        records = await asyncio.gather(*(handle.result(timeout=SOON) for handle in handles))
    for record in records:
        assert record.is_completed
        assert place.ledger.effects(record.id) == ALL


def test_the_example_sells_an_order_and_undoes_another(postgres_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "postgres_order.py")],
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path), SAGAFLOW_EXAMPLE_POSTGRES_URL=postgres_url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    good, bad, listed = re.split(r"^\d\. ", done.stdout, flags=re.MULTILINE)[1:]
    assert "in the books: order of ada, goods for ada, payment of 99.00 by ada" in good
    assert "in the books: nothing" in bad
    assert re.search(r"o-\w+-2 is compensated\n  o-\w+-1 is completed\n", listed)


def test_the_example_says_which_database_it_wants(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "postgres_order.py")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "export SAGAFLOW_EXAMPLE_POSTGRES_URL='postgresql://" in done.stderr
