"""How commands end when they are not given what they need; and what they are started with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import environment

from .conftest import APP, Run

SELL = "tests.cli.sagas:Sell"


def test_what_is_not_there_ends_with_its_own_code(run: Run) -> None:
    assert run("show", "nobody").code == 3
    assert run("show", "done", "--store", "sqlite:///nothing.db").code == 4
    assert not Path("nothing.db").exists(), "nothing is made where nothing was"
    assert run("show", "done", "--store", "memory://").code == 2
    assert run("show", "done", "--store", "redis://host").code == 2
    assert run("list", "--older-than", "5x").code == 2
    assert run("list", "--cursor", "nonsense").code == 2
    assert run("list", "--tag", "very important").code == 2
    assert run("show", "done", "--redact", "a..b").code == 2


def test_no_secret_of_a_url_is_shown(run: Run) -> None:
    for option in (["--store", "mongodb://ada:hunter2@/"], ["--broker", "amqp://ada:hunter2@host:0/x"]):
        told = run("list", *option)
        assert told.code == 2
        assert "hunter2" not in told.out + told.err


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tests.cli.sagas", "write tests.cli:sagas"),
        ("nowhere:Sell", "there is no module 'nowhere'"),
        ("tests.cli.sagas:Sel", "Did you mean 'Sell'?"),
        ("tests.cli.sagas:number", "is a int; name a saga class"),
        ("tests.cli.sagas:Order", "is no saga class; name a saga class"),
        ("broken:Sell", "it cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_name_that_cannot_be_meant_says_what_to_write(run: Run, folder: Path, target: str, said: str) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    told = run("explain", target)
    assert told.code == 2
    assert said in told.err


@pytest.mark.parametrize("app", ["engine", "make_engine", "both"])
def test_an_engine_a_function_that_makes_one_and_a_list_name_what_is_in_them(run: Run, app: str) -> None:
    told = run("skip", "waits", "bill", "-r", "x", "--app", f"tests.cli.sagas:{app}")
    assert (told.code, told.out) == (0, "accepted: skip is recorded\n")


def test_a_saga_is_started_from_json_given_in_a_file_or_on_standard_input(run: Run, folder: Path) -> None:
    context = '{"customer": "ada", "card": "4111"}'
    (folder / "order.json").write_text(context)
    assert run("start", SELL, context, "--id", "new").out == "new\n"
    assert run("start", SELL, "@order.json", "--id", "new").code == 0, "the same id with the same context is the same"
    assert run("start", SELL, "@-", "--id", "new", text=context).code == 0
    assert run("start", SELL, '{"customer": "eve", "card": ""}', "--id", "new").code == 1
    assert run("start", SELL, '{"customer": "eve"}').code == 2
    assert run("start", SELL, "@nothing.json").code == 2
    assert run("start", SELL, context, "--at", "2090-01-01T09:00").code == 2, "in which time zone?"
    assert run("start", SELL, context, "--id", "labelled", "--tag", "vip", "--tag", "web").code == 0
    assert run("show", "labelled", "--json").json["summary"]["tags"] == ["vip", "web"]
    told = run("start", SELL, context, "--tag", "a,b")
    assert (told.code, "is no tag" in " ".join(told.err.split())) == (2, True)
    later = run("start", SELL, context, "--delay", "1h", "--json").json["id"]
    assert "◷ scheduled" in run("list", "--status", "scheduled").out
    assert run("show", later, "--json").json["summary"]["start_at"] is not None


def test_a_worker_is_not_started_with_what_it_could_not_do(run: Run) -> None:
    for arguments, said in {
        (): "work on what?",
        ("tests.cli.sagas:Needy",): "cannot be made without shop",
        (SELL, "--steps-only", "--compensations-only"): "nothing is left to do",
        ("tests.cli.sagas:engine", "--concurrency", "3"): "made with its own concurrency",
        (SELL, "--queue", "other"): "no step of these sagas is on that queue",
        (SELL, "--store", "memory://"): "the memory of one process",
    }.items():
        told = run("worker", *arguments)
        assert told.code == 2
        assert said in told.err


def test_help_is_given_to_who_asks_for_nothing(run: Run) -> None:
    told = run("--help")
    assert told.code == 0
    for name in ("worker", "doctor", "dead-letters", "mark-compensated"):
        assert name in told.out
    assert run("list", "-h").code == 0


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from sagaflow.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "sagaflow: typer is not installed. Write: pip install 'sagaflow[cli]'\n"


def test_the_package_is_imported_without_the_extra() -> None:
    code = "import sagaflow, sagaflow.cli, sys; print({'typer', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_app_can_be_named_by_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAFLOW_APP", APP)
    assert run("skip", "waits", "bill", "-r", "x").code == 0
