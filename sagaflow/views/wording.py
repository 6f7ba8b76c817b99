"""How times and lists are said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float | timedelta) -> str:
    """A stretch of time in at most two units, rounded to what matters to a person.

    Example:
        >>> [span(0.25), span(12.4), span(90), span(timedelta(hours=26)), span(timedelta(days=14))]
        ['0.25 s', '12 s', '1 min 30 s', '1 d 2 h', '14 d']
    """
    length = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if length < 10:
        return f"{max(length, 0.0):.2g} s"
    if length >= 3_600:
        length = round(length / 60) * 60  # nobody counts the seconds of hours
    left = round(length)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    if left:
        parts.append(f"{left} s")
    return " ".join(parts[:2])


def ordinal(number: int) -> str:
    """A place in a line.

    Example:
        >>> [ordinal(number) for number in (1, 3, 11, 22)]
        ['first', 'third', '11th', '22nd']
    """
    if 1 <= number <= len(_FIRST):
        return _FIRST[number - 1]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


_FIRST: Final = ("first", "second", "third", "fourth", "fifth", "sixth")


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in quotes, the first few of them.

    Example:
        >>> listed(["pack", "label"])
        "'pack' and 'label'"
    """
    shown = [repr(name) for name in names[:most]]
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
