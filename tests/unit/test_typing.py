"""Both type checkers accept what is right in ``tests/typing``, and report the lines that are marked as wrong, and no
others.

A mark is a comment: ``# E`` is an error for both, ``# M`` for mypy only, ``# P`` for pyright only. So what checkers
miss is known, and a change of it is noticed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "typing"
MARK = re.compile(r"#\s+([EMP])\b")


def marked(file: Path, mark: str) -> set[int]:
    """The lines that are marked as wrong for both checkers, or with this ``mark``."""
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
    return {number for number, line in lines if (found := MARK.search(line)) and found[1] in ("E", mark)}


# The checkers run in an empty folder: the project's own settings exclude these files, and are not those of a user.


def run(*arguments: str, folder: Path) -> str:
    """What a checker prints; finding errors is no failure, breaking down is."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(file: Path, version: str, folder: Path) -> dict[int, str]:
    printed = run(
        "mypy",
        "--strict",
        f"--cache-dir={folder}",
        f"--python-version={version}",
        "--python-executable",
        sys.executable,
        str(file),
        folder=folder,
    )
    found = re.findall(rf"{re.escape(file.name)}:(\d+): error: (.*)", printed)
    return {int(line): text for line, text in found}


def pyright(file: Path, version: str, folder: Path) -> dict[int, str]:
    settings = {"typeCheckingMode": "strict", "pythonVersion": version, "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    report = json.loads(run("pyright", "--pythonpath", sys.executable, "--outputjson", str(file), folder=folder))
    assert report["summary"]["filesAnalyzed"] == 1
    errors = [one for one in report["generalDiagnostics"] if one["severity"] == "error"]
    assert all(Path(one["file"]).name == file.name for one in errors)
    return {one["range"]["start"]["line"] + 1: one["message"] for one in errors}


Checker = Callable[[Path, str, Path], Mapping[int, str]]


@pytest.mark.parametrize(("check", "mark"), [(mypy, "M"), (pyright, "P")], ids=["mypy", "pyright"])
@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ok_sagas.py", "3.11"),
        ("ok_sagas.py", "3.14"),
        ("ok_sagas312.py", "3.12"),
        ("ok_sagas312.py", "3.14"),
        ("bad_sagas.py", "3.11"),
        ("bad_sagas.py", "3.14"),
    ],
)
def test_a_checker_reports_the_marked_lines_and_no_others(
    check: Checker, mark: str, name: str, version: str, tmp_path: Path
) -> None:
    file = FILES / name
    expected = marked(file, mark)

    reported = check(file, version, tmp_path)

    missed = {line: file.read_text(encoding="utf-8").splitlines()[line - 1] for line in expected - set(reported)}
    surprising = {line: text for line, text in reported.items() if line not in expected}
    assert (missed, surprising) == ({}, {})


def test_the_marks_are_found() -> None:
    assert len(marked(FILES / "bad_sagas.py", "P")) > len(marked(FILES / "bad_sagas.py", "M")) > 20
    assert marked(FILES / "ok_sagas.py", "P") == set()


def test_every_public_name_has_a_complete_type(tmp_path: Path) -> None:
    # In this mode pyright asks the first Python on the PATH where packages are, whatever --pythonpath says.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "sagaflow", "--ignoreexternal"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert "Type completeness score: 100%" in done.stdout, done.stdout
