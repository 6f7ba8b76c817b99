"""The commands of docs/cli.md print what it says, times apart."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, Block, blocks_of, environment

DOCUMENT = ROOT / "docs" / "cli.md"
SAGAFLOW = f'sagaflow() {{ {sys.executable} -m sagaflow "$@"; }}\n'

WORK = """
import asyncio
from shop import Sell
from sagaflow import Engine

async def main():
    async with Engine(sagas=[Sell]) as engine:
        for name in ("o-1", "o-2", "o-3"):
            await engine.handle(Sell, name).wait()

asyncio.run(main())
"""

_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "TIME"),
    (re.compile(r"\b[\d.]+ (?:ms|s|min)\b(?: [\d.]+ s\b)?"), "SPAN"),
    (re.compile(r"(?<=SPAN) +$|(?<=STEPS) +(?=AGE)|(?<=\d/\d) +(?=SPAN)", re.MULTILINE), " "),
    (re.compile(r" +$", re.MULTILINE), ""),
)


def masked(text: str) -> str:
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


def commands(document: Path) -> list[tuple[Block, str | None]]:
    """The blocks that are run, each with what it prints."""
    found = [*blocks_of(document), Block("", "", 0)]
    return [
        (block, following.text if following.language == "text" else None)
        for block, following in pairwise(found)
        if (block.language == "shell" and " worker " not in block.text) or block.name in ("shop.py", "sell.py")
    ]


@pytest.mark.slow
def test_what_is_shown_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block, output in commands(DOCUMENT):
        script = f"{SAGAFLOW}{block.text}"
        if block.language == "python":
            (tmp_path / block.name).write_text(block.text)
            script = f"{sys.executable} {block.name}"
        if "doctor" in block.text:
            work(tmp_path)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment(COLUMNS="80"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == "", f"line {block.line}"
        assert output is None or masked(done.stdout) == masked(output), f"line {block.line} prints:\n{done.stdout}"


def work(folder: Path) -> None:
    """What the page's worker does meanwhile."""
    subprocess.run([sys.executable, "-c", WORK], cwd=folder, env=environment(), check=True, timeout=60)
