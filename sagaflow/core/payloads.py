"""Which types can be payloads: what msgspec can write, and read back as the same type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import inspect

from .annotations import show

_KEYS: Final = (
    inspect.AnyType,
    inspect.StrType,
    inspect.IntType,
    inspect.FloatType,
    inspect.BytesType,
    inspect.DecimalType,
    inspect.UUIDType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.TimeDeltaType,
    inspect.EnumType,
    inspect.LiteralType,
)
"""What can be a key of a JSON object."""


def why_not_storable(kind: Any) -> str | None:
    """Why values of ``kind`` cannot be stored; None if they can."""
    try:
        root = inspect.type_info(kind)
    except Exception as error:  # annotations inside foreign classes raise what they like
        return f"{error}" if isinstance(error, TypeError) else f"{type(error).__name__}: {error}"
    for part in _parts(root):
        if isinstance(part, inspect.CustomType) and part.cls is not object:
            return f"msgspec does not know {show(part.cls)}"
        if isinstance(part, inspect.DictType):
            keys = part.key_type.types if isinstance(part.key_type, inspect.UnionType) else (part.key_type,)
            if not all(isinstance(key, _KEYS) for key in keys):
                return "the keys of a dict must be text, numbers, or something that is written as text"
    return None


def is_plain(kind: Any) -> bool:
    """Whether values of ``kind`` are equal only if all that is stored of them is: no class in it has its own idea of
    equality. Then ``==`` is as good as comparing them field by field.
    """
    return all(_compares_by_fields(part) for part in _parts(inspect.type_info(kind)))


def _compares_by_fields(part: inspect.Type) -> bool:
    if isinstance(part, inspect.StructType):
        return part.cls.__eq__ is msgspec.Struct.__eq__
    return not isinstance(part, inspect.DataclassType | inspect.CustomType)


def _parts(root: inspect.Type) -> Iterator[inspect.Type]:
    """A type and all types in it, each once: types can contain themselves."""
    seen: set[int] = set()
    to_see: list[Any] = [root]
    while to_see:
        part = to_see.pop()
        if _is_tuple(part):
            to_see.extend(part)
        elif isinstance(part, inspect.Field):
            to_see.append(part.type)
        elif isinstance(part, inspect.Type) and id(part) not in seen:
            seen.add(id(part))
            to_see.extend(getattr(part, name) for name in part.__struct_fields__)
            yield part


def _is_tuple(part: Any) -> bool:
    return isinstance(part, tuple)
