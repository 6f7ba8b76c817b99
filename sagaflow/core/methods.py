"""The methods that options name: which are meant, and whether they take what they are called with."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from inspect import isfunction
from typing import Any, Final

from ..errors import near
from .declaration import Declaration, is_positional, parameters, why_not_awaitable
from .options import beside
from .source import Faults, Part, Source


class Methods:
    """What stands beside the steps of a saga."""

    def __init__(self, source: Source, faults: Faults) -> None:
        self._source = source
        self._faults = faults
        self._members = source.nearest
        self._steps = source.steps

    def compensation(self, step: str, given: Any, item: str | None) -> tuple[str | None, bool]:
        """Its name, and whether it takes an output. ``item`` is what it takes after the context, if anything."""
        name = self._name_of(step, "compensate", given)
        if name is None:
            return None, True
        first, takes, least = "self, context", "with the context and perhaps the output", 1
        if item:
            first, takes, least = f"{first}, {item}", f"with the context, the {item} and perhaps the output", 2
        found = self._called(name, "compensation", takes, (f"({first}, output)", f"({first})"), least)
        return (None, True) if found is None else (name, len(found) > least)

    def probe(self, step: str, given: Any, item: str | None) -> str | None:
        """The name of the method that finds out what happened."""
        name = self._name_of(step, "probe", given)
        if name is None:
            return None
        shape = f"(self, context, {item})" if item else "(self, context)"
        takes = f"with the context and the {item}" if item else "with the context"
        found = self._called(name, "probe", takes, (shape,), 2 if item else 1)
        return None if found is None else name

    def _called(
        self, name: str, role: str, takes: str, shapes: tuple[str, ...], least: int
    ) -> list[inspect.Parameter] | None:
        """The parameters of a method that is called by position in one of ``shapes``; None if it cannot be."""
        part = Part(self._faults, f"{role} {name!r}", self._members[name])
        if problem := why_not_awaitable(part.fn, name, shapes[0]):
            part.fault(*problem)
        if not isfunction(part.fn):
            return None
        found = parameters(part.fn)
        if not least <= len(found) < least + len(shapes) or not all(map(is_positional, found)):
            shown = ", ".join(map(str, found)) or "nothing"
            written = " or ".join(f"'async def {name}{shape}'" for shape in shapes)
            part.fault(f"takes ({shown}), but is called by position, {takes}", f"Write {written}.")
            return None
        return found

    def _name_of(self, step: str, option: str, given: Any) -> str | None:
        """The member that an option of a step means; None if there is none, or that is a fault."""
        if given is None:
            return None
        if isinstance(given, str):
            shape = "(self, context, output)" if option == "compensate" else "(self, context)"
            name, otherwise = given, f"Write 'async def {given}{shape}'."
        else:
            name, otherwise = self.member(given) or given.__qualname__, "Name an async method of the class."
        at_step = Part(self._faults, f"step {step!r}", self._steps[step].fn)
        if name not in self._members:
            at_step.fault(f"{option}={name!r} names no method of the class", near(name, self._functions(), otherwise))
        elif isinstance(self._members[name], Declaration):
            at_step.fault(f"{option}={name!r} is itself a step", beside(option))
        elif not isinstance(given, str) and name not in self._source.names_of(given):
            rule = f"{option}= is another function than the method {name!r} of the class"
            at_step.fault(rule, f"Write {option}={name!r}.")
        else:
            return name
        return None

    # ------------------------------------------------------------------ methods and functions that decide

    def plain(self, step: str, option: str, name: str) -> Part | None:
        """The plain method of this name; None if it is none, which is a fault."""
        part = Part(self._faults, f"step {step!r}", self._members[name], f"{option}={name!r}")
        if problem := _why_not_plain(part.fn, f"Write 'def {name}(self, context, ...)'."):
            part.fault(*problem)
            return None
        return part

    def member(self, given: Any) -> str | None:
        """The name of the member that is named or given; None if there is none."""
        if isinstance(given, str):
            return given if given in self._members else None
        return next(iter(self._source.names_of(given)), None)

    def _functions(self) -> list[str]:
        return [n for n, member in self._members.items() if isfunction(member) and not n.startswith("__")]

    def near(self, name: str, others: Iterable[str], otherwise: str) -> str:
        """A hint at the method, or at one of ``others``, that ``name`` could mean."""
        return near(name, [*others, *self._functions()], otherwise)


def why_no_function(fn: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with a function of the context that is no method."""
    if inspect.iscoroutinefunction(fn):
        yield "is an async function", _PLAIN
    try:
        inspect.signature(fn).bind(None)
    except ValueError:  # it does not tell its parameters
        return
    except TypeError:
        shown = ", ".join(inspect.signature(fn).parameters) or "nothing"
        yield (
            f"takes ({shown}), but is called with the context",
            "Write lambda context: ..., or name a method of the class.",
        )


def _why_not_plain(fn: Any, write: str) -> tuple[str, str] | None:
    if isinstance(fn, Declaration):
        return "is itself a step", "Name a plain method that takes its output."
    if isinstance(fn, staticmethod | classmethod):
        return f"is a {'static' if isinstance(fn, staticmethod) else 'class'} method", write
    if not isfunction(fn):
        return f"is no method, but an object of type {type(fn).__name__}", write
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        return "is an async function", _PLAIN
    return None


_PLAIN: Final = "Decide in plain code; fetch what that needs in an earlier step, and take its output."
