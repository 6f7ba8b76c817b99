"""The benchmarks compute what they say, and a small run of them ends with figures."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import figures, picture, report
from benchmarks.bare.sqlite import changes_of
from benchmarks.bars import BARS, Bar, Verdict
from benchmarks.contestant import BARE, SAGAFLOW, Contestant
from benchmarks.processes import ContestantFailed, measure
from benchmarks.results import Figure, Measurement, Middle, Results
from benchmarks.roster import ROSTER
from benchmarks.runner import Plan, run
from benchmarks.scaling import page
from benchmarks.scaling.profile import package_of, shares
from benchmarks.task import SEQUENCE, WORKLOADS, Task, steps_of
from tests.browser import Chromium
from tests.conftest import RequireServer
from tests.docs.documents import ROOT, environment

FAST, SLOW = Figure("fast", SEQUENCE, figures.RATE), Figure("slow", SEQUENCE, figures.RATE)
TINY = Plan(rounds=1, seconds=0.2, alone=3)
BY_NAME = {contestant.name: contestant for contestant in ROSTER}


def results_of(**rates: Sequence[float]) -> Results:
    """Rates of contestants, one a round."""
    results = Results()
    for name, values in rates.items():
        for number, value in enumerate(values):
            results.add(Measurement(name, SEQUENCE, number, {figures.RATE: value}))
    return results


# ---------------------------------------------------------------------------------------- arithmetic


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [figures.quantile(values, share) for share in (0.01, 0.5, 0.95, 1.0)] == [1, 50, 95, 100]
    assert math.isnan(figures.quantile([], 0.5))


def test_a_load_is_told_per_second_and_per_saga() -> None:
    found = figures.loaded(100, 4.0, {"starter": 0.5, "worker 0": 1.0, "worker 1": 0.5}, [0.001, 0.002])
    assert found[figures.RATE] == 25
    assert found[figures.CPU] == pytest.approx(20)
    assert found[figures.WORKER_CPU] == pytest.approx(15)
    assert found[figures.LOADED + figures.P95] == 2


def test_a_load_in_which_nothing_was_done_is_an_error() -> None:
    with pytest.raises(ValueError, match="not one saga"):
        figures.loaded(0, 1.0, {}, [])


_BUSY = """
import os, time
input()
while time.process_time() < 0.3:
    pass
print(os.getpid(), flush=True)
input()
"""
_WITH_A_CHILD = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BUSY!r}])"


def test_what_a_process_has_started_counts_with_it_unless_it_has_a_role_of_its_own() -> None:
    with subprocess.Popen([sys.executable, "-c", _WITH_A_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdin is not None, "it is a pipe"
        assert one.stdout is not None, "it is a pipe"
        both = figures.Meter({"starter": one.pid})
        both.start()
        one.stdin.write(b"\n")
        one.stdin.flush()
        child = int(one.stdout.readline())
        assert both.stop()["starter"] >= 0.2
        apart = figures.Meter({"starter": one.pid, "worker": child})
        apart.start()
        assert sum(apart.stop().values()) < 0.2
        assert both.memory()[figures.MEMORY] > apart.memory()[figures.MEMORY]
        assert apart.memory()[figures.WORKER_MEMORY] > 5
        one.communicate(b"\n")


def test_a_ratio_is_computed_round_by_round() -> None:
    results = results_of(fast=[100, 10], slow=[50, 5])
    ratio = results.combined(lambda one, other: one / other, FAST, SLOW)
    assert ratio == Middle(2, 2, 2)
    assert results.middle(FAST) == Middle(55, 10, 100)


def test_a_ratio_needs_both_in_one_round() -> None:
    assert results_of(fast=[100]).combined(lambda one, other: one / other, FAST, SLOW) is None


@pytest.mark.parametrize(
    ("bar", "verdict"),
    [
        (Bar("twice", FAST, 2, of=SLOW), Verdict.HOLDS),
        (Bar("thrice", FAST, 3, of=SLOW), Verdict.MISSED),
        (Bar("at most twice", FAST, 2, at_most=True, of=SLOW), Verdict.HOLDS),
        (Bar("at most as fast", FAST, 1, at_most=True, of=SLOW), Verdict.MISSED),
        (Bar("of nobody", Figure("nobody", SEQUENCE, figures.RATE), 1), Verdict.UNKNOWN),
    ],
)
def test_a_bar_holds_is_missed_or_was_not_measured(bar: Bar, verdict: Verdict) -> None:
    assert bar.verdict(results_of(fast=[100, 80], slow=[50, 40])) is verdict


def test_each_bar_is_about_contestants_that_there_are() -> None:
    for bar in BARS:
        for figure in filter(None, (bar.figure, bar.of)):
            assert figure.workload in BY_NAME[figure.contestant].workloads, bar.what


def test_the_report_says_what_was_missed_and_with_which_settings() -> None:
    fast, slow = BY_NAME["sagaflow"], BY_NAME["bare-claims"]
    results = Results()
    for number in range(3):
        results.add(Measurement(fast.name, SEQUENCE, number, {figures.RATE: 500.0 + number, figures.CPU: 1.5}))
        results.add(Measurement(slow.name, SEQUENCE, number, {figures.RATE: 250.0}))
    said = report.text(results, [fast, slow], TINY)
    assert "sagaflow, sequence" in said
    assert "501 ±0%" in said
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("servers: of a claim")] == ["MISSED"]
    assert slow.settings in said
    bars = json.loads(report.as_json(results, [fast, slow], TINY))["bars"]
    assert bars[0]["seen"]["median"] == pytest.approx(501 / 250)


def test_the_documents_of_bare_scripts_have_the_steps_of_their_workloads() -> None:
    for workload in WORKLOADS:
        steps = [step for group in steps_of(workload) for step in group]
        assert len(list(changes_of(["a", "b"], steps))) == 2 * (1 + len(steps))


def test_a_profile_is_told_by_package_and_function() -> None:
    assert package_of("/home/sagaflow/sagaflow/core/decide.py") == "sagaflow.core"
    assert package_of("/venv/lib/site-packages/pymongo/pool.py") == "pymongo"
    assert package_of("~") == "other"
    found = shares(Counter({("/w/sagaflow/core/decide.py", 7, "decide"): 3.0, ("/x/asyncio/tasks.py", 1, "wait"): 1.0}))
    assert found["in sagaflow.core, %"] == 75
    assert found["in tasks.py:1 wait, %"] == 25


def test_what_scripts_in_other_environments_use_needs_the_standard_library_alone() -> None:
    modules = "benchmarks.task, benchmarks.figures, benchmarks.load"
    subprocess.run([sys.executable, "-S", "-c", f"import {modules}"], env=environment(), check=True)


# ---------------------------------------------------------------------------------------- small runs


@pytest.mark.parametrize("name", ["sagaflow-memory", "sagaflow-sqlite", "bare-sqlite-10"])
def test_a_small_run_of_an_embedded_contestant_has_all_figures(name: str) -> None:
    results = run([BY_NAME[name]], TINY)
    assert results.failures == []
    assert list(results.pairs()) == [(name, workload) for workload in BY_NAME[name].workloads]
    for measurement in results.measurements:
        wanted = {figures.RATE, figures.CPU, figures.MEMORY, figures.P50, figures.P95, figures.P99}
        assert wanted <= measurement.figures.keys()
        assert all(value >= 0 for value in measurement.figures.values())


@pytest.mark.rabbitmq
@pytest.mark.mongodb
@pytest.mark.parametrize("name", ["sagaflow", "bare-coalesced"])
def test_a_small_run_on_servers_has_figures_of_a_checked_load(
    name: str, amqp_url: str, mongo_url: str, tmp_path: Path
) -> None:
    contestant = BY_NAME[name]
    task = Task(name, "undone", 0.3, 20, 3, amqp_url, mongo_url, str(tmp_path), contestant.options)
    found = measure(contestant, task)
    assert found[figures.RATE] > 0
    assert found[figures.P50] > 0


async def test_a_small_run_of_the_page_has_answers_and_what_a_browser_shows(
    tmp_path: Path, require_server: RequireServer
) -> None:
    require_server(Chromium)
    found = await page.measure(tmp_path, count=50, times=1)
    assert found.pop("sagas") == 50
    assert all(milliseconds > 0 for milliseconds in found.values())
    assert len([name for name in found if "shown" in name]) == 3


def test_a_contestant_that_fails_is_named_with_what_it_said_and_the_others_go_on() -> None:
    broken = Contestant(name="broken", kind=BARE, what="", settings="", module="benchmarks.nowhere", servers=0)
    results = run([broken, BY_NAME["sagaflow-memory"]], TINY)
    assert len(results.failures) == len(WORKLOADS)
    assert "No module named benchmarks.nowhere" in results.failures[0]
    assert len(results.measurements) == len(WORKLOADS)


def test_a_contestant_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "sleepy.py").write_text("import time\nprint('zzz', flush=True)\ntime.sleep(60)\n")
    sleepy = Contestant(name="sleepy", kind=SAGAFLOW, what="", settings="", module="sleepy", servers=0, patience=1)
    task = Task("sleepy", SEQUENCE, 1, 1, 1, "", "", str(tmp_path), {})
    with pytest.raises(ContestantFailed, match="has not ended in 1 s\nzzz"):
        measure(sleepy, task)


def test_the_command_lists_its_contestants_and_refuses_unknown_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks"]
    shown = subprocess.run(
        [*command, "--list"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [contestant.name for contestant in ROSTER]
    refused = subprocess.run(
        [*command, "nobody"], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "Nobody is called nobody; there are bare-claims" in refused.stderr


def test_the_picture_has_those_on_servers_beside_those_without() -> None:
    results = results_of(**{"sagaflow": [100], "celery": [50], "dbos": [10], "bare-sqlite-100": [9_000]})
    rows = picture.panels(results, ROSTER)
    assert [[[one.name for one, _ in panel.bars] for panel in row] for row in rows] == [
        [["sagaflow", "celery"], ["dbos"]]
    ]


def test_without_anything_to_draw_there_is_no_picture(tmp_path: Path) -> None:
    assert not picture.draw(Results(), ROSTER, tmp_path / "results.svg")
    assert list(tmp_path.iterdir()) == []
