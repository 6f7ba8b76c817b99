"""Markdown files, their blocks of code, and how those are run.

The rules that ``README.md`` and ``docs/*.md`` keep:

* A block of ``python`` is a whole program. What it prints is the block of ``text`` that follows, if one does.
* A block whose first line is ``# name.py`` is kept as that file, so that later blocks can import it.
* ``# worker.py`` works in the background until the end of the document, and ends cleanly on SIGTERM.
* ``# test_name.py`` is run by pytest.
* From a block of ``shell`` that exports ``SAGAFLOW_STORE`` or ``SAGAFLOW_BROKER`` on, it names a real server.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (?P<name>\w+\.py)\n")
_EXPORT = re.compile(r"^export (?P<name>\w+)=", re.MULTILINE)
_SECONDS = 60

# Tests that are shown use asyncio's own mode, as docs/adapters.md tells their readers to set it.
_PYTEST = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"


@dataclass(frozen=True)
class Block:
    """One fenced block, and the line that it begins at."""

    language: str
    text: str
    line: int

    @property
    def name(self) -> str:
        """The file that it is kept as."""
        named = _NAME.match(self.text)
        return named["name"] if named else f"line_{self.line}.py"

    @property
    def exports(self) -> list[str]:
        return _EXPORT.findall(self.text) if self.language == "shell" else []


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text()
    return [
        Block(found["language"], found["text"], text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def prose_of(document: Path) -> str:
    """The text without its blocks."""
    return _FENCE.sub("", document.read_text())


def programs(document: Path) -> list[Block]:
    return [block for block in blocks_of(document) if block.language == "python"]


def steps(document: Path) -> Iterator[tuple[Block, str | None]]:
    """The blocks that are run or export something, each with the output that must follow."""
    for block, following in pairwise([*blocks_of(document), Block("", "", 0)]):
        if block.language == "python" or block.exports:
            yield block, following.text if following.language == "text" else None


def environment(**changes: str) -> dict[str, str]:
    """Of a process that finds this checkout, and no server but those named here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SAGAFLOW_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **changes}


def play(document: Path, folder: Path, servers: Mapping[str, str]) -> None:
    """Run the programs of a document, in order, in a folder of its own."""
    (folder / "pytest.ini").write_text(_PYTEST)
    variables: dict[str, str] = {}
    workers: list[tuple[Block, subprocess.Popen[str]]] = []
    with _ended(workers):
        for block, output in steps(document):
            where = f"{document.name}, line {block.line}"
            variables |= {name: servers[name] for name in block.exports}
            if block.language != "python":
                continue
            (folder / block.name).write_text(block.text)
            is_test = block.name.startswith("test_")
            command = [sys.executable, *(["-m", "pytest"] if is_test else []), block.name]
            if block.name == "worker.py":
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment(**variables),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                workers.append((block, process))
                continue
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment(**variables),
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{where}:\n{done.stdout}{done.stderr}"
            assert output is None or done.stdout == output, f"{where} prints:\n{done.stdout}{done.stderr}"


@contextmanager
def _ended(workers: list[tuple[Block, subprocess.Popen[str]]]) -> Iterator[None]:
    try:
        yield
        for block, worker in workers:
            worker.send_signal(signal.SIGTERM)
            said, _ = worker.communicate(timeout=_SECONDS)
            assert worker.returncode == 0, f"{block.name} at line {block.line} ended with {worker.returncode}:\n{said}"
    finally:
        for _, worker in workers:
            if worker.poll() is None:
                worker.kill()
            worker.communicate()
