"""Where a value differs from what came back in its place: by what it is made of, whatever its ``==`` says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec


def difference(value: Any, back: Any, path: str = "$") -> str | None:
    """The first difference, as text that shows no value; None if there is none."""
    names = _fields(value)
    if names is not None:
        if type(value) is not type(back):
            return _comes_back(value, back, path)
        pairs = ((getattr(value, name), getattr(back, name), f"{path}.{name}") for name in names)
        return _first(pairs)
    if _both(dict, value, back):
        if value.keys() != back.keys():
            return f"at {path} other keys would come back"
        return _first((value[key], back[key], f"{path}[...]") for key in value)  # a key is data too
    if _both(list, value, back) or _both(tuple, value, back):
        if len(value) != len(back):
            return f"at {path} another length would come back"
        return _first((value[place], back[place], f"{path}[{place}]") for place in range(len(value)))
    if isinstance(value, datetime) and isinstance(back, datetime):
        # Not "==", which calls no time of the hour that is repeated in autumn equal to one of another time zone.
        same = value.replace(tzinfo=None) == back.replace(tzinfo=None) and value.utcoffset() == back.utcoffset()
        return None if same else f"at {path} another time would come back"
    if value == back:
        return None
    return _comes_back(value, back, path)


def _both(kind: type, value: Any, back: Any) -> bool:
    return isinstance(value, kind) and isinstance(back, kind)


def _first(pairs: Iterable[tuple[Any, Any, str]]) -> str | None:
    return next((found for pair in pairs if (found := difference(*pair)) is not None), None)


def _fields(value: Any) -> Iterable[str] | None:
    """The names of what an object is made of; None if it is not made of fields."""
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    attributes = getattr(value, "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def _comes_back(value: Any, back: Any, path: str) -> str:
    given, got = type(value).__name__, type(back).__name__
    if given == got:
        return f"at {path} another {given} would come back"
    return f"at {path} a {given} would come back as {got}"
