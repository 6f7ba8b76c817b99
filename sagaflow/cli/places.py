"""Whether there is a store where one is named, before anything is made there."""

from __future__ import annotations

import os
from pathlib import Path

from ..engine.engine import Engine
from ..engine.urls import DEFAULT_STORE
from .exits import Exit, Failure


def check_store(given: str | None, engine: Engine | None, *, creates: bool) -> None:
    """Refuse a store that a command cannot find anything in: nobody wants an empty file for a typing error.

    Raises:
        Failure: it is in the memory of another process, or a file that is not there.
    """
    if given is None and engine is not None:
        return
    url = given or os.environ.get("SAGAFLOW_STORE") or DEFAULT_STORE
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        raise Failure(
            "memory:// is the memory of one process, which no other one can look into; name a store that processes "
            "share: --store sqlite:///file.db or --store mongodb://host/database"
        )
    file = Path(rest.removeprefix("/"))
    if scheme == "sqlite" and not creates and not file.exists():
        raise Failure(
            f"there is no store in the file {str(file)!r}. Is this the directory that the workers run in? Name the "
            f"store with --store or SAGAFLOW_STORE",
            Exit.UNAVAILABLE,
        )
