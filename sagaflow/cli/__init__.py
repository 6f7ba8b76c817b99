"""The command line ``sagaflow``, for those who run sagas: ``pip install 'sagaflow[cli]'``.

A command gets what it was given as plain values (``command``), opens a store as an engine that does no work (``desk``),
and prints what ``sagaflow.views`` make of it. Scripts go by ``--json`` and the exit codes (``exits``).
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = ("rich", "typer")


def main() -> None:
    """Run the command that the process was given, and end the process with its exit code."""
    try:
        from .app import app  # noqa: PLC0415  # it needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(f"sagaflow: {error.name} is not installed. Write: pip install 'sagaflow[cli]'\n")
        sys.exit(2)
    app(prog_name="sagaflow")
