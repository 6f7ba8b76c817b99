"""How much is tried: ``SAGAFLOW_PROFILE=long`` tries some twenty thousand sagas, and every graph of four steps."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

IS_LONG: Final = os.environ.get("SAGAFLOW_PROFILE") == "long"

LONG_TIMES: Final = 20
"""How many times as much is tried in the long profile."""


def runs(usual: int) -> settings:
    """As many examples in an ordinary run, and more in a long one."""
    return settings(max_examples=usual * LONG_TIMES if IS_LONG else usual, deadline=None)
