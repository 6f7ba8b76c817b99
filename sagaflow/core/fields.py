"""What a context has in it, read off its type: fields, the elements of lists, and what a template may name."""

from __future__ import annotations

import dataclasses
import string
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NewType, Union, get_args, get_origin

from ..errors import near
from .annotations import is_union, plain, show, substitute

# ---------------------------------------------------------------------------------------- fields


def fields_of(kind: Any) -> dict[str, Any] | None:
    """The fields of a type, each with its own type, ``Any`` where that cannot be read; None if nothing is known."""
    kind = _bare(kind)
    cls = get_origin(kind) or kind
    names = _names(cls) if isinstance(cls, type) else None
    if names is None:
        return None
    hints = _hints(cls)
    given = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=False))
    return {name: substitute(hints.get(name, Any), given) for name in [*names, *_properties(cls)]}


def _names(kind: type) -> Iterable[str] | None:
    cls: Any = kind  # which of these it is, its attributes say
    if hasattr(cls, "__struct_fields__"):
        return tuple(cls.__struct_fields__)
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    if hasattr(cls, "__attrs_attrs__"):
        return [field.name for field in cls.__attrs_attrs__]
    if hasattr(cls, "__required_keys__"):
        return sorted(cls.__required_keys__ | cls.__optional_keys__)
    if hasattr(cls, "_fields") and issubclass(kind, tuple):
        return tuple(cls._fields)
    return () if cls.__module__ == "builtins" and cls not in (dict, object) else None


def _properties(cls: type) -> list[str]:
    return [name for base in cls.__mro__ for name, v in vars(base).items() if isinstance(v, property | cached_property)]


def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except Exception:  # annotations inside foreign classes raise what they like
        return {}


def _bare(kind: Any) -> Any:
    kind = plain(kind)
    while isinstance(kind, NewType):
        kind = plain(kind.__supertype__)
    return kind


# ---------------------------------------------------------------------------------------- lists

NO_LIST: Final[Any] = object()
"""What a value has for elements that is certainly no list."""


def element_of(kind: Any, *, of: type = Sequence) -> Any:
    """The type of the elements of a list; ``Any`` if it cannot be read, ``NO_LIST`` if there certainly are none.

    Args:
        kind: what should be a list.
        of: what counts as one.
    """
    kind = _bare(kind)
    arguments = get_args(kind)
    if is_union(kind):
        found = [element_of(member, of=of) for member in arguments]
        known = [element for element in found if element is not NO_LIST]
        return (known[0] if len(known) == 1 else Any) if known else NO_LIST
    cls = get_origin(kind) or kind
    try:
        if not issubclass(cls, of) or issubclass(cls, str | bytes | bytearray | Mapping | set | frozenset):
            return Any if cls is Any else NO_LIST
    except TypeError:  # a type variable, a protocol
        return Any
    if cls is tuple and arguments:
        return arguments[0] if arguments[1:] == (...,) else Union[arguments]  # noqa: UP007  # of how many is not known
    return arguments[0] if len(arguments) == 1 else Any


# ---------------------------------------------------------------------------------------- templates


def why_no_template(template: str) -> Iterator[tuple[str, str]]:
    """The rules that a template breaks whatever it is filled from, and their remedies."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        yield f"is no template: {error}", "Write each field as '{field}', and a brace of its own as '{{'."
        return
    for _, name, spec, conversion in parts:
        if name is not None and (spec or conversion or not all(map(str.isidentifier, name.split(".")))):
            shown = f"{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}"
            yield (
                f"has {{{shown}}} in it",
                "Write plain '{field}' or '{field.field}' only, or a function of the context.",
            )


def why_no_fields(template: str, context: Any) -> Iterator[tuple[str, str]]:
    """The fields that a right template names and its context has not, as far as that can be read."""
    for _, path, _, _ in string.Formatter().parse(template):
        kind = context
        for name in path.split(".") if path else ():
            fields = fields_of(kind)
            if fields is None:
                break
            if name not in fields:
                yield f"names {name!r}, which is no field of {show(kind)}", near(name, fields, "Name a field of it.")
                break
            kind = fields[name]
