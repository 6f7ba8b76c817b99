"""What ``@step`` leaves in a class body, and what can be said of it before anything is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import update_wrapper
from typing import Any

from .annotations import lazily


class DefinitionWarning(UserWarning):
    """A saga class is right, but will need an operator in a case that its author may not have thought of."""


class Declaration:
    """A function and its options, as written. Nothing is checked here: the compiler finds all faults together.

    Attributes:
        fn: what was decorated, whatever it is.
        options: what was given to ``@step``, whatever it is.
        name: the name under which it stands in the class body.
    """

    fn: Any
    options: Mapping[str, Any]
    name: str

    def __init__(self, fn: Any, options: Mapping[str, Any]) -> None:
        as_written: Any = self
        update_wrapper(as_written, fn)  # so that help() and inspect see the method
        self.fn = fn
        self.options = dict(options)
        self.name = str(getattr(fn, "__name__", "?"))
        # An attribute, not a property: @abstractmethod stands above or below @step, and above it sets this.
        self.__isabstractmethod__: bool = bool(getattr(fn, "__isabstractmethod__", False))
        self._is_named = False

    def __set_name__(self, owner: type, name: str) -> None:
        if not self._is_named:  # only the first counts: a second name for one step is a fault, not a new name
            self.name, self._is_named = name, True

    def __repr__(self) -> str:
        return f"<step {getattr(self.fn, '__qualname__', self.name)}>"


def declaration_under(value: Any) -> Declaration | None:
    """The step that another decorator was put upon (``@staticmethod`` above ``@step``), if there is one."""
    while (value := getattr(value, "__wrapped__", None)) is not None:
        if isinstance(value, Declaration):
            return value
    return None


def parameters(fn: Any) -> list[inspect.Parameter]:
    """The parameters of a method, less ``self``."""
    found = list(inspect.signature(fn, **lazily("annotation_format")).parameters.values())
    return found[1:] if found and is_positional(found[0]) else found


def context_name(fn: Any) -> str | None:
    """The name of the parameter that takes the context; None if there is no such parameter, or no function."""
    found = parameters(fn) if inspect.isfunction(fn) else []
    return found[0].name if found and is_positional(found[0]) else None


def is_positional(parameter: inspect.Parameter) -> bool:
    """Whether it can be given by position, as one argument."""
    return parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def is_variadic(parameter: inspect.Parameter) -> bool:
    """Whether it is ``*args`` or ``**kwargs``."""
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def why_not_awaitable(fn: Any, name: str, shape: str) -> tuple[str, str] | None:
    """The rule that ``fn`` breaks if it cannot be the method of a step or a compensation, and its remedy."""
    write = f"Write 'async def {name}{shape}'"
    if isinstance(fn, Declaration):
        return "is declared a step twice over", "Write @step once."
    if isinstance(fn, staticmethod | classmethod):
        kind = "static" if isinstance(fn, staticmethod) else "class"
        return f"is a {kind} method; it works on an instance, which knows its saga and its keys", f"{write}."
    if not inspect.isfunction(fn):
        return f"is no method, but an object of type {type(fn).__name__}", f"{write}."
    if inspect.isasyncgenfunction(fn):
        return "is an async generator, which yields values but returns none", f"{write} and return a list."
    if not inspect.iscoroutinefunction(fn):
        return "is not an async function", f"{write}; wrap blocking calls in asyncio.to_thread."
    return None
