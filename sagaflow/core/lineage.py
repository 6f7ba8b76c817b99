"""A class and its bases, read as one text: which members there are, where, and what the names in them mean."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Generic, get_origin

from .annotations import lazily, substitute, typelike
from .declaration import Declaration

NAMES = "__saga_names__"
"""Under which a class keeps the local names that its annotations can mean."""


def members_of(cls: type, root: type) -> dict[str, list[Any]]:
    """Every name that ``cls`` or a base declares, with all that stands under it, nearest first.

    The names stand in reading order: bases before the class, left to right, each name where it was first declared.
    ``root`` and what it is made of are no part of the text.
    """
    places: dict[str, None] = {}

    def read(base: type) -> None:
        if base not in (object, Generic, root):
            for parent in base.__bases__:
                read(parent)
            places.update(dict.fromkeys(vars(base)))

    read(cls)
    mro = [base for base in cls.__mro__ if base is not root]
    return {name: [vars(base)[name] for base in mro if name in vars(base)] for name in places}


def annotated_names(cls: type) -> Iterator[str]:
    """The names that class bodies annotate (the fields of a dataclass, for one), whether or not they have a value."""
    for base in cls.__mro__:
        yield from inspect.get_annotations(base, **lazily("format"))


def bindings(cls: type) -> dict[type, dict[Any, Any]]:
    """For ``cls`` and each of its bases: its type variables, and what stands for them as seen from ``cls``."""
    found: dict[type, dict[Any, Any]] = {cls: {parameter: parameter for parameter in _parameters(cls)}}
    # The first base wins, as it does for type checkers.
    for base in reversed(vars(cls).get("__orig_bases__", cls.__bases__)):
        origin = get_origin(base) or base
        if isinstance(origin, type):  # else something that only puts other bases in its place
            given = dict(zip(_parameters(origin), getattr(base, "__args__", ()), strict=False))
            for owner, inner in bindings(origin).items():
                found[owner] = {variable: substitute(value, given) for variable, value in inner.items()}
    return found


def _parameters(cls: type) -> tuple[Any, ...]:
    return tuple(getattr(cls, "__parameters__", ()))


def namespace_of(owner: type) -> dict[str, Any]:
    """What the annotations in the body of ``owner`` can mean, besides the names of its module."""
    return {
        **vars(owner).get(NAMES, {}),
        **{parameter.__name__: parameter for parameter in vars(owner).get("__type_params__", ())},
        **typelike(vars(owner)),
        owner.__name__: owner,
    }


def owner_of(cls: type, name: str) -> type:
    """The class whose body says what ``name`` means for ``cls``."""
    return next(base for base in cls.__mro__ if name in vars(base))


def names_around(depth: int) -> dict[str, Any]:
    """The types that are local to the function, or to the class bodies in it, in which a class statement stands.

    ``depth`` is how many calls above the caller that is.
    """
    found: dict[str, Any] = {}
    inner = inspect.currentframe()
    for _ in range(depth + 1):
        inner = inner and inner.f_back
    while inner is not None and inner.f_locals is not inner.f_globals:
        found = {**typelike(inner.f_locals), **found}
        code = inner.f_code
        # A class body sees through to the function around it; so does the scope that PEP 695 puts around a class.
        if code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<generic parameters"):
            break
        inner = inner.f_back
    return found


class Body(dict[str, Any]):
    """A class body that remembers the steps in it that another declaration has replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[Declaration] = []

    def __setitem__(self, name: str, value: Any) -> None:
        before = self.get(name)
        if isinstance(before, Declaration) and before is not value:
            self.replaced.append(before)
        super().__setitem__(name, value)
