"""Payloads for other eyes: some fields are covered, whatever the payload is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

REDACTED: Final = "[redacted]"
"""What stands in the place of a value that is not shown."""


class Redaction:
    """Covers fields by their names, at any depth.

    Args:
        fields: names (``"card"``), or dotted paths (``"customer.email"``: the field ``email`` of whatever is called
            ``customer``). Lists are looked through. The path of a payload begins with what it is: ``context``,
            ``error``, or the name of the step whose output it is, so that ``"charge"`` covers all outputs of the step
            ``charge``, and ``"error.message"`` what exceptions said.

    Raises:
        ValueError: a path has an empty part.

    Example:
        >>> Redaction(["card", "customer.email"]).apply("context", {"card": 1, "customer": [{"email": 2, "id": 3}]})
        {'card': '[redacted]', 'customer': [{'email': '[redacted]', 'id': 3}]}
    """

    def __init__(self, fields: Iterable[str] = ()) -> None:
        self._paths: dict[str, list[tuple[str, ...]]] = {}
        for name in [fields] if isinstance(fields, str) else fields:
            path = tuple(name.split("."))
            if not all(path):
                raise ValueError(f"redact={name!r}: write the name of a field, or names with dots between them")
            self._paths.setdefault(path[-1], []).append(path)

    def apply(self, root: str, value: object) -> object:
        """The payload without what is covered; ``root`` is what it is."""
        if not self._paths:
            return value
        return self._covered((root,), value)

    def _covered(self, path: tuple[str, ...], value: object) -> object:
        if any(path[-len(one) :] == one for one in self._paths.get(path[-1], ())):
            return REDACTED
        if isinstance(value, Mapping):
            found = cast("Mapping[object, object]", value)
            return {str(name): self._covered((*path, str(name)), item) for name, item in found.items()}
        if isinstance(value, list):
            return [self._covered(path, item) for item in cast("list[object]", value)]
        return value
