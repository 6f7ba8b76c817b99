"""What list, show, watch, graph and explain say."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import APP, Run


def ids(run: Run, *filters: str) -> list[str]:
    return [saga["id"] for saga in run("list", "--json", *filters).json["sagas"]]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["waits", "stuck", "undone", "done"]),
        (["--saga", "Deliver"], ["waits"]),
        (["--status", "failed", "--status", "completed"], ["stuck", "done"]),
        (["--tag", "web"], ["stuck", "done"]),
        (["--tag", "vip", "--tag", "web"], ["done"]),
        (["--tag", "web", "--status", "failed", "--error", "ledger"], ["stuck"]),
        (["--active"], ["waits"]),
        (["--error", "CARD DECLINED"], ["stuck", "undone"]),
        (["--error", "ledger"], ["stuck"]),
        (["--older-than", "1d"], []),
        (["--younger-than", "1d"], ["waits", "stuck", "undone", "done"]),
        (["--younger-than", "0s"], []),
        (["--unchanged-for", "1d"], []),
        (["--paused"], []),
        (["--error", "declined", "--status", "compensated"], ["undone"]),
    ],
)
def test_sagas_are_found_by_filters_that_go_together(run: Run, filters: list[str], expected: list[str]) -> None:
    assert ids(run, *filters) == expected


@pytest.mark.parametrize("filters", [[], ["--error", "d"], ["--tag", "web"]])
def test_page_after_page_shows_every_saga_once_however_it_is_filtered(run: Run, filters: list[str]) -> None:
    whole, found, cursor = ids(run, *filters), list[str](), list[str]()
    while True:
        page = run("list", "--json", "--limit", "1", *filters, *cursor).json
        assert len(page["sagas"]) <= 1
        found += [saga["id"] for saga in page["sagas"]]
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]
    assert found == whole


@pytest.mark.parametrize("columns", ["60", "80", "160"])
def test_the_list_names_every_saga_with_its_status_however_narrow_it_is(
    run: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    told = run("list")
    lines = told.out.splitlines()
    for saga_id, status in {"done": "✓ completed", "undone": "↩ compensated", "stuck": "✗ failed"}.items():
        assert any(line.startswith(saga_id) and status in line for line in lines)
    assert max(map(len, lines)) <= int(columns)
    assert "waits for an answer from outside" in " ".join(told.out.split())


def test_a_saga_is_shown_with_its_attempts_errors_and_what_can_be_done(run: Run) -> None:
    told = run("show", "stuck", "--app", APP)
    assert told.code == 0
    for words in (
        "Sell stuck  ✗ failed, because step 'charge' failed",
        '"customer":"stuck"',
        'output "order of stuck"',
        "could not be undone by cancel",
        "Abort: the ledger is locked",
        "Abort: card declined: 100% [over limit]",
        "sagaflow retry stuck --reason …",
        "sagaflow mark-compensated stuck create --reason …",
    ):
        assert words in told.out
    assert "Traceback" not in told.out
    assert "Traceback" in run("show", "stuck", "--full").out


def test_the_tags_of_a_saga_are_told(run: Run) -> None:
    assert "├── tags web, vip\n" in run("show", "done").out
    assert "tags" not in run("show", "waits").out
    assert [saga["tags"] for saga in run("list", "--json", "--saga", "Sell").json["sagas"]] == [
        ["web"],
        [],
        ["web", "vip"],
    ]


def test_a_saga_that_waits_says_for_what(run: Run) -> None:
    told = run("show", "waits")
    assert "step 'pickup' waits for an answer from outside; it is given up in" in told.out
    assert "step 'bill' waits for 'pickup'" in told.out
    assert [wait["waits_for"] for wait in run("show", "waits", "--json").json["waits"]] == ["outside", "steps"]


def test_without_its_class_a_saga_is_shown_by_the_graph_in_the_store(run: Run) -> None:
    plain = run("show", "undone", "--json").json
    known = run("show", "undone", "--json", "--app", APP).json
    for step, other in zip(plain["steps"], known["steps"], strict=True):
        assert (step["name"], step["compensation"], step["after"]) == (
            other["name"],
            other["compensation"],
            other["after"],
        )
        assert step["forward"]["limit"] is None  # policies are not kept: nothing is made up


@pytest.mark.parametrize("form", [[], ["--full"], ["--json"]])
def test_fields_are_covered_by_option_and_by_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    assert "4111" in run("show", "done", *form).out
    assert "4111" not in run("show", "done", "--redact", "card", *form).out
    monkeypatch.setenv("SAGAFLOW_REDACT", "customer, card")
    told = run("show", "done", *form)
    assert "4111" not in told.out
    assert "[redacted]" in told.out


def test_watching_without_a_terminal_tells_a_line_for_each_change(run: Run) -> None:
    told = run("watch", "undone")
    assert told.code == 1, "it was not completed"
    assert "charge  ✗ failed" in told.out
    assert told.out.splitlines()[-1].endswith("Sell undone  ↩ compensated, because step 'charge' failed")
    assert run("watch", "done").code == 0


def test_watching_as_json_is_a_line_for_each_change(run: Run) -> None:
    told = run("watch", "done", "--json")
    assert told.json["summary"]["status"] == "completed"
    assert len(told.out.splitlines()) == 1


def test_a_class_and_one_saga_are_drawn_in_three_languages(run: Run, folder: Path) -> None:
    assert run("graph", "tests.cli.sagas:Sell").out.startswith("flowchart TD")
    assert run("graph", "--id", "undone", "--format", "dot").out.startswith('digraph "Sell undone: compensated"')
    told = run("graph", "tests.cli.sagas:Sell", "-f", "svg", "-o", "sell.svg")
    assert (told.code, told.out) == (0, "")
    assert (folder / "sell.svg").read_text().startswith("<svg")
    assert run("graph").code == 2


def test_every_failure_of_a_class_is_explained(run: Run) -> None:
    told = run("explain", "tests.cli.sagas:Sell")
    assert "charge  after 'create', 3 attempts, undone by refund" in told.out
    assert "fails: undoes create; ends ↩ compensated" in told.out
    assert "outcome unknown: undoes charge, then create; ends ↩ compensated" in told.out
    steps = run("explain", "tests.cli.sagas:Sell", "--json").json["steps"]
    assert [step["step"] for step in steps] == ["create", "charge"]
