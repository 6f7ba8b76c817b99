"""A contestant's process: started with its task, awaited, and its figures read."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.contestant import Contestant
from benchmarks.task import Task

ROOT: Final = Path(__file__).parents[1]
ENVIRONMENTS: Final = ROOT / ".venv-bench"


class ContestantFailed(RuntimeError):
    """A contestant ended with an error, or not in time; the end of what it said follows."""


def measure(contestant: Contestant, task: Task) -> dict[str, float]:
    """The figures of one measurement, in a process of its own.

    Raises:
        ContestantFailed: it has none.
    """
    log = Path(task.folder, "log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [interpreter(contestant), "-m", contestant.module, task.to_json()],
            cwd=task.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # so that it can be ended with all that it has started
        )
        try:
            code = process.wait(contestant.patience)
        except subprocess.TimeoutExpired:
            raise _failure(task, f"has not ended in {contestant.patience:.0f} s", log) from None
        finally:
            _end_all(process)
    if code != 0 or not task.answer_file.exists():
        raise _failure(task, f"ended with code {code}", log)
    figures: dict[str, float] = json.loads(task.answer_file.read_text())
    return figures


def interpreter(contestant: Contestant) -> str:
    """The Python that runs the contestant's script; an environment that is missing is made.

    Raises:
        CalledProcessError: its packages cannot be installed.
    """
    if not contestant.environment:
        return sys.executable
    folder = ENVIRONMENTS / re.split(r"[^\w-]", contestant.environment[0])[0]
    python, made = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(contestant.environment)
    if not made.exists() or made.read_text() != wanted:
        print(f"Installing {', '.join(contestant.environment)} into {folder.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *contestant.environment], check=True)
        made.write_text(wanted)
    return str(python)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing of it is left
    process.wait()


def _failure(task: Task, what: str, log: Path) -> ContestantFailed:
    end = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    return ContestantFailed(f"{task.contestant} ({task.workload}) {what}\n{end}")
