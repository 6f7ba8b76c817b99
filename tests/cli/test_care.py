"""What check, doctor and purge find."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from sagaflow import Engine, Settings

from .conftest import APP, Run
from .sagas import Order, Sell


def test_a_store_in_which_all_is_well_is_said_to_be_so(run: Run) -> None:
    told = run("check", APP, "--slack", "1h", "--pause", "1ms")
    assert (told.code, told.out) == (0, "✓ no saga breaks a rule, and none would be stranded\n")
    told = run("check", "--slack", "1h")
    assert told.out == "✓ no saga breaks a rule\n"
    assert "sagaflow check app:OrderSaga" in told.err


def test_sagas_that_a_new_version_would_strand_are_found(run: Run) -> None:
    told = run("check", "tests.cli.sagas:Renamed", "--slack", "1h")
    assert told.code == 1
    assert "waits  Deliver  pack" in told.out
    stranded = run("check", "tests.cli.sagas:Renamed", "--slack", "1h", "--json").json["stranded"]
    assert {line["saga_id"] for line in stranded} == {"waits"}


def test_what_is_due_and_not_taken_up_breaks_a_rule(run: Run) -> None:
    assert run("compensate", "done", "-r", "x").code == 0
    told = run("check", "--slack", "1ms", "--pause", "10ms")
    assert told.code == 1
    assert "done  overdue  it is completed, due for" in told.out
    (finding,) = run("check", "--slack", "1ms", "--pause", "10ms", "--json").json["findings"]
    assert (finding["saga_id"], finding["rule"]) == ("done", "overdue")


def test_the_doctor_names_what_it_looked_at_and_the_remedies(run: Run) -> None:
    told = run("doctor")
    assert told.code == 0, "what is doubtful is not wrong"
    assert "✓  store         SQLiteStore" in told.out
    assert "!  failed sagas  1 saga" in told.out
    assert "→ a person must look: sagaflow list --status failed" in told.out
    conditions = {one["what"]: one["condition"] for one in run("doctor", "--json").json}
    assert conditions == {
        "store": "good",
        "clocks": "good",
        "stale sagas": "good",
        "failed sagas": "doubtful",
        "broker": "good",
    }


def test_the_doctor_finds_sagas_that_nobody_takes_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("compensate", "done", "-r", "x").code == 0
    monkeypatch.setattr("sagaflow.cli.doctor._STALE", 0.0)
    told = run("doctor")
    assert told.code == 1
    assert "✗  stale sagas   1 saga due for more than a minute, as done" in told.out


def test_the_doctor_says_that_a_broker_does_not_answer(run: Run) -> None:
    told = run("doctor", "--broker", "amqp://ada:hunter2@127.0.0.1:1/")
    assert told.code == 1
    assert "RabbitMQ at 127.0.0.1:1" in told.out
    assert "hunter2" not in told.out + told.err


def test_a_store_that_is_none_is_what_the_doctor_finds(run: Run, folder: Path) -> None:
    (folder / "notes.db").write_text("this is no database, and is long enough not to be taken for an empty one" * 20)
    told = run("doctor", "--store", "sqlite:///notes.db")
    assert told.code == 2
    assert "it is not a SQLite database" in " ".join(told.out.split())


def test_only_sagas_whose_time_is_over_are_purged_and_only_with_a_yes(run: Run) -> None:
    async def sell() -> None:
        # Long enough not to be over when the engine sweeps for the first time, which it does while the saga runs.
        settings = Settings(keep_completed=timedelta(seconds=1), sweep_every=timedelta(hours=1))
        async with Engine([Sell], store="sqlite:///sagaflow.db", broker="memory://", settings=settings) as engine:
            await (await engine.start(Sell, Order("ada", "4111"), id="brief")).wait()

    asyncio.run(sell())
    while run("purge", "--dry-run").out == "0 sagas may go\n":
        pass
    assert run("purge", "--dry-run").out == "1 saga may go\n"
    assert run("purge").code == 2
    assert run("purge", "--yes").out == "1 saga forgotten\n"
    assert run("show", "brief").code == 3
    assert run("show", "done").code == 0
    assert run("purge", "--yes", "--json").json == {"forgotten": 0}
