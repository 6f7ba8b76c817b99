"""What the acts of operators do, by themselves and in bulk."""

from __future__ import annotations

import getpass

import pytest

from sagaflow import SagaStatus

from .conftest import APP, Run, status_of, work_until_ended


def test_an_act_is_recorded_with_who_and_why(run: Run) -> None:
    told = run("compensate", "done", "--reason", "she fell ill", "--by", "grace")
    assert (told.code, told.out) == (0, "accepted: the saga is completed and is to be compensated\n")
    assert run("pause", "waits", "-r", "stock-taking").code == 0
    work_until_ended("done")
    assert status_of(run, "done") is SagaStatus.COMPENSATED
    (act,) = run("show", "done", "--json").json["acts"]
    assert (act["what"], act["by"], act["reason"]) == ("compensate", "grace", "she fell ill")
    (act,) = run("show", "waits", "--json").json["acts"]
    assert (act["by"], act["reason"]) == (getpass.getuser(), "stock-taking")
    assert "⏸ started, paused" in run("show", "waits").out


def test_what_is_so_already_is_no_failure_and_what_is_refused_is_one(run: Run) -> None:
    assert run("compensate", "undone", "-r", "x").code == 0
    told = run("cancel", "done", "-r", "x", "--json")
    assert told.code == 1
    assert told.json["verdict"] == "refused"


@pytest.mark.parametrize("act", ["cancel", "compensate", "retry", "pause", "resume"])
def test_an_act_without_a_reason_is_not_done(run: Run, act: str) -> None:
    told = run(act, "waits")
    assert (told.code, told.out) == (2, "")
    assert "Write --reason" in told.err


def test_a_dry_run_says_what_would_be_undone_and_changes_nothing(run: Run) -> None:
    told = run("compensate", "done", "--dry-run")
    lines = told.out.splitlines()
    assert lines[0] == "Sell done  accepted: the saga is completed and is to be compensated"
    assert lines[1:] == ["  1. undo charge by refund", "  2. undo create by cancel", "  then it is ↩ compensated"]
    (plan,) = run("compensate", "done", "--dry-run", "--json").json
    assert plan["ends"] == "compensated"
    assert run("compensate", "stuck", "--dry-run").code == 1
    assert status_of(run, "done") is SagaStatus.COMPLETED


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (
            ["retry", "stuck"],
            ["Sell stuck  accepted: retry is recorded", "  1. undo create by cancel", "  then it is ↩ compensated"],
        ),
        (
            ["mark-compensated", "stuck", "create"],
            ["Sell stuck  accepted: resolve as compensated is recorded", "  then it is ↩ compensated"],
        ),
        (
            ["skip", "waits", "pickup", "--output", '"by herself"', "--app", APP],
            ["Deliver waits  accepted: skip is recorded", "  does bill", "  then it is ✓ completed"],
        ),
        (
            ["pause", "waits"],
            ["Deliver waits  accepted: pause is recorded", "  nothing of it begins before somebody resumes it"],
        ),
        (["resume", "waits"], ["Deliver waits  already: the saga is not paused"]),
        (
            ["retry", "--status", "completed", "--status", "failed"],
            [
                "Sell stuck  accepted: retry is recorded",
                "  1. undo create by cancel",
                "  then it is ↩ compensated",
                "Sell done  refused: the saga is completed; only a failed one is retried",
            ],
        ),
    ],
    ids=lambda given: " ".join(given[:2]) if given[0].islower() else "",
)
def test_every_act_has_a_dry_run_that_says_what_would_come_of_it(run: Run, act: list[str], said: list[str]) -> None:
    before = [status_of(run, name) for name in ("done", "stuck", "waits")]
    told = run(*act, "--dry-run")
    shown = [line for line in told.out.splitlines() if not line.startswith("  keeps")]
    assert shown == said
    assert told.code == ("refused" in told.out)
    assert [status_of(run, name) for name in ("done", "stuck", "waits")] == before
    assert run("show", "stuck", "--json").json["acts"] == []
    work_until_ended("stuck")
    assert status_of(run, "stuck") is SagaStatus.FAILED


def test_a_failed_saga_is_brought_to_its_end_by_hand_without_its_class(run: Run) -> None:
    assert run("retry", "stuck", "-r", "the ledger is open").code == 0
    work_until_ended("stuck")
    assert status_of(run, "stuck") is SagaStatus.FAILED, "it was not"
    told = run("mark-compensated", "stuck", "create", "-r", "undone in the ledger")
    assert told.code == 0, told.err
    work_until_ended("stuck")
    assert status_of(run, "stuck") is SagaStatus.COMPENSATED


def test_a_bulk_act_takes_the_sagas_of_a_tag_alone(run: Run) -> None:
    told = run("compensate", "--tag", "web", "--status", "completed", "-r", "recall", "--yes", "--json")
    assert (told.code, told.json["id"]) == (0, "done")
    assert run("compensate", "--tag", "nobody", "-r", "recall", "--yes").err == "No such sagas.\n"


def test_what_hangs_on_the_class_asks_for_it(run: Run) -> None:
    told = run("skip", "waits", "bill", "-r", "free of charge")
    assert told.code == 2
    assert "Name it: --app module:Deliver" in told.err
    assert run("skip", "waits", "bill", "-r", "free of charge", "--app", APP).code == 0
    told = run("skip", "waits", "pickup", "-r", "x", "--app", APP)
    assert (told.code, "give output=" in told.err) == (2, True)
    told = run("skip", "waits", "pickup", "-r", "x", "--app", APP, "--output", "[1]")
    assert (told.code, "Expected `str`" in told.err) == (2, True)
    assert run("skip", "waits", "pickup", "-r", "x", "--app", APP, "--output", '"by herself"').code == 0
    work_until_ended("waits")
    assert status_of(run, "waits") is SagaStatus.COMPLETED


def test_resolving_needs_to_know_what_happened(run: Run) -> None:
    assert run("resolve", "waits", "pickup", "-r", "x").code == 2
    assert run("resolve", "waits", "pickup", "--not-happened", "--output", "1", "-r", "x").code == 2
    told = run("resolve", "waits", "pickup", "--not-happened", "-r", "x")
    assert (told.code, "there is nothing to resolve" in told.out) == (1, True)
    told = run("skip-compensation", "waits", "pack", "-r", "x")
    assert told.code == 1


# ---------------------------------------------------------------------------------------- in bulk


def test_a_bulk_act_is_not_done_without_a_yes(run: Run) -> None:
    told = run("compensate", "--saga", "Sell", "-r", "recall")
    assert told.code == 2
    assert "3 sagas would be asked to compensate; write --yes" in told.err
    assert status_of(run, "done") is SagaStatus.COMPLETED


def test_a_bulk_act_is_done_to_all_that_the_filter_finds_and_tells_of_refusals(run: Run) -> None:
    told = run("compensate", "--saga", "Sell", "-r", "recall", "--yes")
    assert told.code == 1
    assert told.out.splitlines()[-1] == "1 accepted, 1 already, 1 refused"
    assert "stuck: the saga has failed" in told.out
    work_until_ended("done")
    assert status_of(run, "done") is SagaStatus.COMPENSATED


def test_a_bulk_act_as_json_is_a_line_for_each_saga(run: Run) -> None:
    told = run("pause", "waits", "nobody", "done", "-r", "x", "--json")
    assert told.code == 3, "an id that is named must exist"
    told = run("pause", "--active", "-y", "-r", "x", "--json")
    assert (told.code, told.json["id"], told.json["verdict"]) == (0, "waits", "accepted")


def test_it_is_never_guessed_which_sagas_are_meant(run: Run) -> None:
    assert run("pause", "-r", "x").code == 2
    assert run("pause", "waits", "--active", "-r", "x").code == 2
    assert "No such sagas." in run("pause", "--saga", "Nothing", "-y", "-r", "x").err


def test_a_step_that_waits_is_answered_once_by_a_token(run: Run) -> None:
    told = run("answer", "waits", "pickup", "--output", '"by herself"')
    assert (told.code, "Name it: --app module:Deliver" in told.err) == (2, True)
    told = run("answer", "waits", "pickup", "--output", "1", "--app", APP)
    assert (told.code, "Expected `str`" in told.err) == (2, True)
    told = run("answer", "waits", "pickup", "--output", '"by herself"', "--token", "call-1", "--app", APP)
    assert (told.code, told.out) == (0, "accepted: 'pickup' is answered\n")
    work_until_ended("waits")
    assert status_of(run, "waits") is SagaStatus.COMPLETED
    told = run("answer", "waits", "pickup", "--output", '"by herself"', "--token", "call-1", "--app", APP, "--json")
    assert (told.code, told.json["verdict"]) == (0, "already")


def test_a_step_whose_answer_is_a_failure_fails(run: Run) -> None:
    assert run("answer", "waits", "pickup", "--failed", "nobody came", "--app", APP).code == 0
    work_until_ended("waits")
    assert status_of(run, "waits") is SagaStatus.COMPENSATED
    assert "nobody came" in run("show", "waits").out


def test_an_answer_is_one_thing_or_the_other(run: Run) -> None:
    for given in ([], ["--output", "1", "--failed", "nobody came"]):
        told = run("answer", "waits", "pickup", "--app", APP, *given)
        assert (told.code, "what is the answer?" in told.err) == (2, True)
    told = run("answer", "waits", "bill", "--failed", "nobody came", "--app", APP)
    assert (told.code, "does not wait for the outside" in told.err) == (2, True)
