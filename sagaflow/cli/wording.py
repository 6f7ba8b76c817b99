"""How times, lengths of time and statuses are read and said."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import typer
from rich.text import Text

from ..core.state import SagaStatus, StepStatus
from ..engine.arguments import checked_tags
from ..views.wording import span

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|d|w)")

_SIGNS: Final[dict[str, tuple[str, str]]] = {
    StepStatus.PENDING: ("·", "dim"),
    StepStatus.STARTED: ("▶", "blue"),
    StepStatus.COMPLETED: ("✓", "green"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.SKIPPED: ("-", "dim"),
    StepStatus.UNKNOWN: ("?", "yellow"),
    StepStatus.COMPENSATING: ("↩", "magenta"),
    StepStatus.COMPENSATED: ("↩", "magenta"),
    StepStatus.COMPENSATION_FAILED: ("✗", "bold red"),
    SagaStatus.SCHEDULED: ("◷", "cyan"),
}


def length(text: str | timedelta) -> timedelta:
    """A length of time, as ``90s``, ``15m``, ``1h30m`` or ``7d``.

    Raises:
        BadParameter: it is none.

    Example:
        >>> length("1h30m")
        datetime.timedelta(seconds=5400)
    """
    if isinstance(text, timedelta):
        return text
    parts = _LENGTH.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is no length of time; write 90s, 15m, 1h30m or 7d")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def moment(text: str | datetime) -> datetime:
    """A moment in ISO 8601, with its time zone.

    Raises:
        BadParameter: it is none.

    Example:
        >>> moment("2030-01-01T09:00Z")
        datetime.datetime(2030, 1, 1, 9, 0, tzinfo=datetime.timezone.utc)
    """
    if isinstance(text, datetime):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write 2030-01-31T09:00Z") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"{text!r}: in which time zone? Write {text}Z, or {text}+01:00")
    return found


def tag(text: str) -> str:
    """A tag of sagas.

    Raises:
        BadParameter: it can be none.

    Example:
        >>> tag("channel:web")
        'channel:web'
    """
    try:
        return checked_tags([text])[0]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def status(value: SagaStatus | StepStatus, *, paused: bool = False) -> Text:
    """A status with its sign, in its colour."""
    sign, style = ("⏸", "yellow") if paused else _SIGNS[value.value]
    said = f"{value.value.replace('_', ' ')}{', paused' if paused else ''}"
    return Text(f"{sign} {said}", style)


def sign(value: SagaStatus | StepStatus) -> Text:
    """The sign of a status alone, in its colour."""
    return Text(*_SIGNS[value.value])


def clock(at: datetime) -> str:
    """A moment, to the second; UTC, as everything that is stored."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def ago(at: datetime, now: datetime) -> str:
    """How long ago that was, or in what time it will be."""
    seconds = (now - at).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def between(start: datetime, end: datetime) -> str:
    """How long it took; steps are often a matter of milliseconds.

    Example:
        >>> between(moment("2030-01-01T09:00Z"), moment("2030-01-01T09:00:00.012345Z"))
        '12 ms'
    """
    seconds = (end - start).total_seconds()
    return span(seconds) if seconds >= 1 else f"{seconds * 1_000:.0f} ms"


def many(count: int, what: str, plural: str | None = None) -> str:
    """A count of something.

    Example:
        >>> many(1, "saga"), many(2_000, "saga")
        ('1 saga', '2,000 sagas')
    """
    return f"{count:,} {what if count == 1 else plural or what + 's'}"
