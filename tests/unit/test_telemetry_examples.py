"""The dashboard and the alert rules speak of metrics that exist, and of all of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sagaflow.ports import AttemptEnd
from sagaflow.telemetry.figures import METRICS, Kind

EXAMPLES = Path(__file__).parents[2] / "examples"
DASHBOARD = EXAMPLES / "grafana" / "sagaflow.json"
RULES = EXAMPLES / "prometheus" / "sagaflow.rules.yml"
RULE_TESTS = EXAMPLES / "prometheus" / "sagaflow.tests.yml"

# What a series is called, and the labels that it has.
SERIES = {
    metric.prometheus_name + suffix: {*metric.labels, *(["le"] if suffix == "_bucket" else [])}
    for metric in METRICS
    for suffix in (("_bucket", "_sum", "_count") if metric.kind is Kind.HISTOGRAM else ("",))
}

NAME = re.compile(r"\bsagaflow_\w+")
SELECTOR = re.compile(r"\b(?P<name>sagaflow_\w+)\{(?P<labels>[^}]*)\}")
LABEL = re.compile(r"(\w+)\s*[=!]")
OUTCOME = re.compile(r'outcome[=!~]+"([\w|]+)"')


def text_of(file: Path) -> str:
    """What a file says; of the dashboard, without the escapes of JSON."""
    return file.read_text().replace('\\"', '"')


@pytest.mark.parametrize("file", [DASHBOARD, RULES, RULE_TESTS], ids=lambda file: file.name)
def test_every_series_that_is_named_exists_and_has_the_labels(file: Path) -> None:
    text = text_of(file)
    assert set(NAME.findall(text)) - SERIES.keys() == set()
    for found in SELECTOR.finditer(text):
        assert set(LABEL.findall(found["labels"])) - SERIES[found["name"]] == set()


@pytest.mark.parametrize("file", [DASHBOARD, RULES, RULE_TESTS], ids=lambda file: file.name)
def test_every_outcome_that_is_named_exists(file: Path) -> None:
    outcomes = {word for found in OUTCOME.findall(text_of(file)) for word in found.split("|")}
    assert outcomes
    assert outcomes - set(AttemptEnd) == set()


def test_the_dashboard_shows_every_metric() -> None:
    shown = set(NAME.findall(text_of(DASHBOARD)))
    hidden = {metric.name for metric in METRICS if not any(name.startswith(metric.prometheus_name) for name in shown)}
    assert hidden == set()


def test_the_panels_of_the_dashboard_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert cells.isdisjoint(taken)
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("command", [("check", "rules", RULES), ("test", "rules", RULE_TESTS)], ids=["check", "test"])
def test_promtool_accepts_the_rules(command: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
