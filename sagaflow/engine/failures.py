"""What is kept of an exception."""

from __future__ import annotations

import traceback
from typing import Any, Final

from ..step_record import StepError

_MESSAGE_LIMIT: Final = 1_000
_TRACEBACK_LIMIT: Final = 4_000


def describe(error: BaseException) -> tuple[StepError, Any]:
    """What is kept of an exception, bounded so that there is always room for it; and its type, for the codec."""
    trace = "".join(traceback.format_exception(error)) if error.__traceback__ is not None else ""
    return said(f"{type(error).__module__}.{type(error).__qualname__}", str(error), trace)


def said(kind: str, message: str, trace: str = "") -> tuple[StepError, Any]:
    """As ``describe``, of an error that was never raised here."""
    error = StepError(
        type=_printable(kind)[:_MESSAGE_LIMIT],
        message=_printable(message)[:_MESSAGE_LIMIT],
        traceback=_printable(trace)[-_TRACEBACK_LIMIT:],
    )
    return error, StepError


def _printable(text: str) -> str:
    """Without lone surrogates, which no store takes."""
    return text.encode("utf-8", "backslashreplace").decode()
