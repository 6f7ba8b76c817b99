"""Sagas whose steps are data: chosen at run time, from libraries of actions, and checked as strictly as a class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .core.compiler import compile_saga
from .core.declaration import Declaration, DefinitionWarning
from .core.source import Faults, Source
from .core.typecheck import SagaTypes
from .errors import near
from .saga import Saga


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One step, as data. Lists of steps compose by ``[*some, *others]``.

    Attributes:
        name: unique in its saga; later actions take its output by this name.
        action: the method of a library that does it. It is called with the context, with the input if there is one,
            and by name with outputs of earlier steps.
        compensation: the method that undoes it. It is called with the context, with the input if there is one, and,
            if it takes it, with the output.
        input: what this step gives its action, besides the context; any value of the type that the action takes.
        after: the steps that it waits for; without it, all that stand before it but its own parallel group.
        parallel: the name that neighbours share which run side by side.
        queue: the logical queue whose workers run it.
        timeout: how long one attempt may take; without it, for ever.
        delay: how long it waits once it could begin.

    Example:
        >>> text = '[{"name": "gift", "action": "pack", "input": {"paper": "red"}}]'
        >>> (gift,) = msgspec.json.decode(text, type=list[StepSpec])
        >>> gift.input
        {'paper': 'red'}
    """

    name: str
    action: str
    compensation: str | None = None
    input: Any = UNSET
    after: str | Sequence[str] | UnsetType = UNSET
    parallel: str | None = None
    queue: str | None = None
    timeout: timedelta | None = None
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSaga:
    """A saga whose steps are data, compiled.

    Attributes:
        types: its definition and its types.
        inputs: the inputs of the steps that have one.
        owners: for each method that the steps use, the library that has it.
    """

    types: SagaTypes
    inputs: Mapping[str, object]
    owners: Mapping[str, type[Saga[Any]]]


def compile_steps(name: str, steps: Sequence[StepSpec], libraries: Sequence[type[Saga[Any]]]) -> DynamicSaga:
    """Compile a saga from steps that are data.

    It is as if a class derived from all the libraries, and declared the steps: class keywords of the libraries hold,
    those of the first one that has them.

    Args:
        name: of the saga.
        steps: in order.
        libraries: where the actions and compensations are: abstract saga classes of one context, whose async methods
            bear no ``@step``.

    Raises:
        DefinitionError: it has faults; all of them are in it.
        ValueError: there is no library.

    Example:
        >>> class Calls(Saga[str], abstract=True):
        ...     async def call(self, customer: str, number: int) -> str:
        ...         return f"{customer}: {number}"
        >>> steps = [StepSpec(name=name, action="call", input=number) for name, number in (("first", 1), ("next", 2))]
        >>> [step.after for step in compile_steps("calls", steps, [Calls]).types.definition]
        [(), ('first',)]
    """
    if not libraries:
        raise ValueError("compile_steps() without a library: its methods are what steps can do")
    source = _Reading(name, libraries).source(steps)
    compiled = compile_saga(source, complete=True)
    for warning in compiled.warnings:
        warnings.warn(warning, DefinitionWarning, stacklevel=2)
    types = compiled.types
    used = [method for step in types.definition for method in (step.action, step.compensation) if method is not None]
    return DynamicSaga(
        types=types,
        inputs=MappingProxyType({step.name: step.input for step in steps if step.input is not UNSET}),
        owners=MappingProxyType({method: _owner(libraries, method) for method in used}),
    )


async def _nobody(self: Any, context: Any) -> None:
    """Stands for an action that there is not, so that no other faults come of it."""


class _Reading:
    """Steps and libraries, made into what the compiler looks at."""

    def __init__(self, name: str, libraries: Sequence[type[Saga[Any]]]) -> None:
        self._faults = Faults(name)
        self._libraries = libraries
        self._sources = [library.__saga_source__ for library in libraries]
        self._members: dict[str, Sequence[Any]] = {}
        for library, source in zip(libraries, self._sources, strict=True):
            self._add(library, source)

    def _add(self, library: type[Saga[Any]], source: Source) -> None:
        first = self._sources[0]
        if source.context != first.context:
            self._faults.add(
                f"library {library.__name__!r}",
                f"is for another context than {self._libraries[0].__name__!r}",
                "Write libraries of one saga for one and the same context.",
            )
        for name, found in source.members.items():
            if name.startswith("__"):
                continue
            before = self._members.setdefault(name, found)
            if callable(found[0]) and before[0] is not found[0]:
                other = _owner(self._libraries, name).__name__
                self._faults.add(
                    f"library {library.__name__!r}",
                    f"has a method {name!r}, and so has {other!r}",
                    "Rename one of them: actions are found by name.",
                    found[0],
                )

    def source(self, steps: Sequence[StepSpec]) -> Source:
        declared: dict[str, Declaration] = {}
        replaced: list[Declaration] = []
        for step in steps:
            if step.name in declared:
                replaced.append(declared[step.name])
            declared[step.name] = self._declare(step)
        keywords: dict[str, Any] = {}
        for source in reversed(self._sources):
            keywords |= source.keywords
        return Source(
            saga=self._faults.saga,
            members=self._members,
            keywords={**keywords, "name": self._faults.saga, "abstract": False},
            context=self._sources[0].context,
            hints=self._hints,
            record=self._sources[0].record,
            annotated=frozenset(name for source in self._sources for name in source.annotated),
            reserved=self._sources[0].reserved,
            replaced=replaced,
            declared=declared,
            actions={step.name: step.action for step in steps},
            items=frozenset(step.name for step in steps if step.input is not UNSET),
            faults=self._faults.found,
        )

    def _declare(self, step: StepSpec) -> Declaration:
        given = {
            "compensate": step.compensation,
            "after": None if step.after is UNSET else step.after,
            "parallel": step.parallel,
            "queue": step.queue,
            "timeout": step.timeout,
            "delay": step.delay,
        }
        made = Declaration(self._action(step), {option: value for option, value in given.items() if value is not None})
        made.name = step.name
        return made

    def _action(self, step: StepSpec) -> Any:
        found = self._members.get(step.action, (None,))[0]
        who = f"step {step.name!r}"
        if isinstance(found, Declaration):
            rule = f"action {step.action!r} is itself a step, of {_owner(self._libraries, step.action).__name__}"
            self._faults.add(who, rule, "Write the method without @step: the steps are the data.", found.fn)
        elif not callable(found):
            known = [name for name, members in self._members.items() if callable(members[0])]
            rule = f"action {step.action!r} is a method of no library"
            self._faults.add(who, rule, near(step.action, known, f"Write 'async def {step.action}(self, context)'."))
        else:
            return found
        return _nobody

    def _hints(self, name: str) -> Mapping[str, Any]:
        if not callable(self._members.get(name, (None,))[0]):
            return {}  # an action that there is not
        return next(source for source in self._sources if name in source.members).hints(name)


def _owner(libraries: Sequence[type[Saga[Any]]], method: str) -> type[Saga[Any]]:
    """The library that has a method."""
    return next(library for library in libraries if method in library.__saga_source__.members)
