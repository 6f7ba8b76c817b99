"""The documents keep what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, blocks_of, environment, play, programs, prose_of, steps

README = ROOT / "README.md"
SERVERS = {"SAGAFLOW_STORE": "mongo_url", "SAGAFLOW_BROKER": "amqp_url"}

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)
_TARGET = re.compile(r"\bmake (?P<target>[a-z]+)\b")
_TEST = re.compile(r"`(?P<path>tests/[\w/.]+?)(?:::(?P<name>\w+))?`")


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


def marked(document: Path) -> pytest.ParameterSet | Path:
    """The document, with marks for the servers that its programs need."""
    exported = {name for block in blocks_of(document) for name in block.exports}
    marks = [
        mark
        for name, mark in (("SAGAFLOW_STORE", pytest.mark.mongodb), ("SAGAFLOW_BROKER", pytest.mark.rabbitmq))
        if name in exported
    ]
    return pytest.param(document, marks=marks, id=name_of(document))


@pytest.mark.parametrize("document", [marked(document) for document in DOCUMENTS if programs(document)])
def test_the_programs_of_a_document_run_and_print_what_it_says(
    document: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    exported = {name for block in blocks_of(document) for name in block.exports}
    play(document, tmp_path, {name: request.getfixturevalue(SERVERS[name]) for name in sorted(exported)})


def test_the_order_of_the_readme_can_be_run_again_and_nothing_is_done_twice(tmp_path: Path) -> None:
    example, output = next(steps(README))
    (tmp_path / example.name).write_text(example.text)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, example.name], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
        )
        assert done.stdout == output


@pytest.mark.slow
def test_mypy_accepts_the_programs_of_the_readme(tmp_path: Path) -> None:
    for block in programs(README):
        (tmp_path / block.name).write_text(block.text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={ROOT}/.mypy_cache/docs", "."],
        cwd=tmp_path,
        env=environment(MYPYPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_make_target_that_a_document_names_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    shown = "".join(block.text for block in blocks_of(document) if block.language != "python")
    inline = "".join(re.findall(r"`make [^`]*`", prose_of(document)))
    named = {found["target"] for found in _TARGET.finditer(shown + inline)}
    assert named == {target for target in named if re.search(rf"^{target}:", makefile, re.MULTILINE)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    targets = [found["target"].partition("#")[0] for found in _LINK.finditer(prose_of(document))]
    files = [target for target in targets if target and "://" not in target]
    assert [target for target in files if not (document.parent / target).exists()] == []


def anchors_of(document: Path) -> set[str]:
    """What GitHub makes of its headings."""
    headings = [found["text"].lower() for found in _HEADING.finditer(prose_of(document))]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_to_a_heading_leads_to_one(document: Path) -> None:
    targets = [found["target"].partition("#") for found in _LINK.finditer(prose_of(document))]
    named = [(path, anchor) for path, _, anchor in targets if anchor and "://" not in path]
    wrong = [
        f"{path}#{anchor}"
        for path, anchor in named
        if anchor not in anchors_of(document.parent / path if path else document)
    ]
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    for found in _TEST.finditer(prose_of(document)):
        path = ROOT / found["path"]
        assert path.exists(), found["path"]
        if found["name"]:
            assert f"def {found['name']}(" in path.read_text(), found[0]
