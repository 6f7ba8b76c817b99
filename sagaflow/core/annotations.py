"""Annotations at run time: reading them, comparing them, and showing them as their author wrote them."""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin


# 3.14 evaluates annotations when somebody looks at them, and then a name that is defined later raises NameError.
def lazily(option: str) -> dict[str, Any]:
    """By which ``option`` a function of ``inspect`` is told that only names are wanted; before 3.14 by none."""
    return {option: 3} if sys.version_info >= (3, 14) else {}  # annotationlib.Format.FORWARDREF


class Unresolved(Exception):
    """An annotation cannot be read: not yet, or never. The text is a rule that it breaks."""


def hints_of(fn: Any, namespace: Mapping[str, Any], bound: Mapping[Any, Any]) -> dict[str, Any]:
    """The annotations of a function, evaluated, with what ``bound`` has put in the place of type variables.

    Args:
        fn: the function; its own module's names are always seen.
        namespace: further names that the annotations may use.
        bound: type variables, and what stands for them.

    Raises:
        Unresolved: an annotation cannot be evaluated.
    """
    parameters = {parameter.__name__: parameter for parameter in getattr(fn, "__type_params__", ())}
    try:
        hints = typing.get_type_hints(fn, localns={**namespace, **parameters}, include_extras=True)
    except NameError as error:
        name = error.name or str(error)
        raise Unresolved(f"the type {name!r} in its annotations cannot be found at run time") from None
    except Exception as error:  # an annotation is any expression, and raises what it likes
        raise Unresolved(f"its annotations cannot be read ({type(error).__name__}: {error})") from None
    return {name: substitute(hint, bound) for name, hint in hints.items()}


def substitute(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """``hint`` with its type variables replaced as ``bound`` says; those that it does not name stay."""
    if isinstance(hint, TypeVar):
        return bound.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(bound.get(parameter, parameter) for parameter in parameters)]


def typelike(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a namespace that annotations can mean: types, and modules that hold types.

    Whatever else lives there (a client, a password, a step that is called like a type) is neither mistaken for a
    type nor kept alive.
    """
    return {name: value for name, value in namespace.items() if _is_typelike(value)}


def _is_typelike(value: Any) -> bool:
    if isinstance(value, type | types.ModuleType):
        return True
    return type(value).__module__ in {"types", "typing", "typing_extensions"} and not isinstance(
        value, types.SimpleNamespace
    )


# ---------------------------------------------------------------------------------------- comparing


def assignable(given: Any, wanted: Any) -> bool:
    """False only where it is certain that a ``given`` is no ``wanted``; when in doubt, True.

    Type checkers say more. This is for those who run none, and must never refuse what a checker accepts.
    """
    given, wanted = plain(given), plain(wanted)
    if given == wanted or given in (Any, typing.NoReturn, typing.Never) or wanted in (Any, object):
        return True
    if is_union(given):
        return all(assignable(member, wanted) for member in get_args(given))
    if is_union(wanted):
        return any(assignable(given, member) for member in get_args(wanted))
    if isinstance(given, NewType):
        return assignable(given.__supertype__, wanted)
    if isinstance(wanted, NewType):
        return assignable(given, wanted.__supertype__)
    if get_origin(given) is Literal:
        return all(assignable(type(value), wanted) for value in get_args(given))
    return _classes_fit(given, wanted)


_PROMOTED = frozenset({(int, float), (int, complex), (float, complex)})
"""The numbers that PEP 484 lets stand for one another."""


def _classes_fit(given: Any, wanted: Any) -> bool:
    given_class, wanted_class = get_origin(given) or given, get_origin(wanted) or wanted
    try:
        fits = issubclass(given_class, wanted_class) or (given_class, wanted_class) in _PROMOTED
    except TypeError:  # a type variable, a protocol or a TypedDict answers no such question
        return True
    if not fits:
        return False
    given_args, wanted_args = get_args(given), get_args(wanted)
    if given_class is not wanted_class or len(given_args) != len(wanted_args):
        return True
    return all(assignable(one, other) for one, other in zip(given_args, wanted_args, strict=True))


def admits_none(hint: Any) -> bool:
    """True only where it is certain that ``hint`` takes None; when in doubt, False."""
    hint = plain(hint)
    if is_union(hint):
        return any(admits_none(member) for member in get_args(hint))
    if get_origin(hint) is Literal:
        return None in get_args(hint)
    return hint in (Any, object, type(None))


def plain(hint: Any) -> Any:
    """A hint without what says nothing about its values: aliases, metadata."""
    while True:
        origin = get_origin(hint)
        if hint is None:
            return type(None)
        if origin is Annotated:
            hint = get_args(hint)[0]
        elif hasattr(origin, "__value__"):  # type Pair[T] = ..., used as Pair[int]
            hint = substitute(origin.__value__, dict(zip(origin.__type_params__, get_args(hint), strict=False)))
        elif hasattr(hint, "__value__"):  # type Price = ...
            hint = hint.__value__
        else:
            return hint


def is_union(hint: Any) -> bool:
    """Whether it is ``A | B``, in either of its forms."""
    return get_origin(hint) in (Union, types.UnionType)


# ---------------------------------------------------------------------------------------- showing


def show(hint: Any) -> str:
    """A hint as its author would write it, without the modules that its names come from."""
    arguments = get_args(hint)
    if hint is None or hint is type(None):
        return "None"
    if hint is Ellipsis:
        return "..."
    if _is_list(hint):  # the parameters of a Callable
        return f"[{', '.join(map(show, hint))}]"
    if is_union(hint):
        return " | ".join(map(show, arguments))
    if get_origin(hint) is Annotated:
        return show(arguments[0])
    if get_origin(hint) is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if arguments:
        return f"{_name(get_origin(hint))}[{', '.join(map(show, arguments))}]"
    return _name(hint)


def show_optional(hint: Any) -> str:
    """``hint``, or None: as its author would write that."""
    return show(hint) if admits_none(hint) else f"{show(hint)} | None"


def _is_list(hint: Any) -> bool:
    return isinstance(hint, list)


def _name(hint: Any) -> str:
    return str(getattr(hint, "__name__", None) or hint)
