"""From what a class body says to a checked, immutable definition: all faults at once, or none.

``compile_saga`` is the whole of it, for classes and for whatever else declares sagas. First come names, order and
arity, then types (``typecheck``), as far as they can be read; what cannot be read yet is let pass until ``complete``
is asked for, when an engine takes the saga.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import isfunction
from typing import Any

from ..errors import near
from .declaration import (
    Declaration,
    context_name,
    declaration_under,
    is_positional,
    is_variadic,
    parameters,
    why_not_awaitable,
)
from .definition import DEFAULT_QUEUE, SagaDefinition, StepDefinition
from .options import SAGA_KEYWORDS, STEP_OPTIONS, Check, after_names
from .retry import COMPENSATION_RETRY, STEP_RETRY
from .source import Faults, Source
from .typecheck import SagaTypes, check_storable, check_types


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A saga without faults.

    Attributes:
        types: its definition and its types, as far as they could be read.
        warnings: what its author should think of.
        is_complete: whether everything could be read.
    """

    types: SagaTypes
    warnings: tuple[str, ...]
    is_complete: bool


def compile_saga(source: Source, *, complete: bool = False) -> Compiled:
    """The saga, compiled.

    Args:
        source: what its author wrote.
        complete: whether what cannot be read, or not be stored, is a fault; else it is let pass for now.

    Raises:
        DefinitionError: it has faults; all of them are in it.
    """
    faults = Faults(source.saga)
    _check_class(source, faults)
    _check_members(source, faults)
    definition = _Graph(source, faults).build()
    found = check_types(source, definition, faults)
    if complete:
        faults.found.extend(found.unresolved)
        check_storable(source, found.types, faults)
    faults.check()
    return Compiled(types=found.types, warnings=found.warnings, is_complete=complete)


def check_abstract(source: Source) -> None:
    """Raise DefinitionError for what is wrong with an abstract saga whatever its subclasses add."""
    faults = Faults(source.saga)
    _check_class(source, faults)
    faults.check()


# ---------------------------------------------------------------------------------------- the class


def _check_class(source: Source, faults: Faults) -> None:
    for keyword, value in source.keywords.items():
        check = SAGA_KEYWORDS.get(keyword)
        if check is None:
            faults.add(f"class keyword {keyword!r}", "is no keyword of a saga class", near(keyword, SAGA_KEYWORDS))
            continue
        for rule, remedy in check(keyword, value):
            faults.add("the class", rule, remedy)
    for replaced in source.replaced:
        faults.add(
            f"step {replaced.name!r}",
            "is declared twice; the second would silently replace the first",
            "Rename one of them.",
            replaced.fn,
        )


def _check_members(source: Source, faults: Faults) -> None:
    for name in dict.fromkeys([*source.members, *sorted(source.annotated)]):
        if name in source.reserved:
            faults.add(
                repr(name),
                "is a name that Saga itself uses",
                f"Call it {name}_, or better: say what it does.",
                source.nearest.get(name),
            )
    for name, found in source.members.items():
        hidden = next((old for old in found[1:] if isinstance(old, Declaration)), None)
        if isinstance(found[0], Declaration):
            continue
        beneath = declaration_under(found[0])
        if beneath is not None:
            faults.add(
                f"step {name!r}",
                f"stands under {_decorator(found[0])}, which hides it",
                "Write @step above all other decorators, on an async method.",
                beneath.fn,
            )
        elif hidden is not None:
            faults.add(
                repr(name),
                f"hides the inherited step {name!r}",
                "Decorate it with @step(...), which repeats the options it should have; or call it otherwise.",
                found[0],
            )


def _decorator(value: Any) -> str:
    if isinstance(value, staticmethod):
        return "@staticmethod"
    return "@classmethod" if isinstance(value, classmethod) else "another decorator"


# ---------------------------------------------------------------------------------------- the graph


class _Graph:
    """Steps in reading order, each with all that it waits for, directly or through others."""

    def __init__(self, source: Source, faults: Faults) -> None:
        self._source = source
        self._faults = faults
        self._members = source.nearest
        self._steps = {n: m for n, m in self._members.items() if isinstance(m, Declaration)}
        self._defaults = _valid(source.keywords, SAGA_KEYWORDS)
        self._ancestors: dict[str, set[str]] = {}
        self._groups: dict[str, list[str]] = {}
        self._previous: tuple[str, str] = ("", "")  # the step above, and its group

    def build(self) -> SagaDefinition:
        if not self._steps:
            self._faults.add(
                "the class",
                "declares no step",
                f"Decorate a method with @step, or write class {self._source.saga}(..., abstract=True).",
            )
        steps = tuple(self._step(name, declared) for name, declared in self._steps.items())
        for group, names in self._groups.items():
            if len(names) == 1:
                others = set(self._groups) - {group}
                self._add(
                    names[0],
                    f"is alone in the parallel group {group!r}",
                    near(group, others, "Drop parallel=, or give it a neighbour."),
                )
        return SagaDefinition(
            name=self._defaults.get("name", self._source.saga),
            steps=steps,
            deadline=self._defaults.get("deadline"),
        )

    def _add(self, step: str, rule: str, remedy: str) -> None:
        self._faults.add(f"step {step!r}", rule, remedy, self._steps[step].fn)

    def _step(self, name: str, declared: Declaration) -> StepDefinition:
        self._check_name(name, declared)
        options = self._options(name, declared)
        group = options.get("parallel", "")
        mates = self._join(name, group) if group else []
        after = self._after(name, options, mates)
        inputs = self._inputs(name, declared, after, mates)
        self._ancestors[name] = self._implied(after).union(after)
        mates.append(name)
        self._previous = (name, group)
        compensation, takes_output = self._compensation(name, options.get("compensate"))
        policies = {**self._defaults, **options}
        return StepDefinition(
            name=name,
            action=name,
            compensation=compensation,
            takes_output=takes_output,
            after=tuple(other for other in after if other not in self._implied(after)),
            inputs=inputs,
            retry=policies.get("retry", STEP_RETRY),
            compensation_retry=policies.get("compensation_retry", COMPENSATION_RETRY),
            timeout=options.get("timeout"),
            abort_on=options.get("abort_on", ()),
            queue=policies.get("queue", DEFAULT_QUEUE),
        )

    def _check_name(self, name: str, declared: Declaration) -> None:
        if name.startswith("_"):
            self._add(name, "begins with an underscore; steps are public", f"Call it {name.lstrip('_')!r}.")
        if name != declared.name:
            self._add(
                name,
                f"is the step {declared.name!r} under a second name",
                "Write a method of its own, with @step, that calls what both share.",
            )

    def _options(self, name: str, declared: Declaration) -> dict[str, Any]:
        for option, value in declared.options.items():
            check = STEP_OPTIONS.get(option)
            if check is None:
                self._add(name, f"{option!r} is no option of @step", near(option, STEP_OPTIONS))
                continue
            for rule, remedy in check(option, value):
                self._add(name, rule, remedy)
        return _valid(declared.options, STEP_OPTIONS)

    def _join(self, name: str, group: str) -> list[str]:
        above, its_group = self._previous
        if group in self._groups and its_group != group:
            self._add(
                name,
                f"joins the parallel group {group!r}, but {above!r} stands between",
                "Move it next to the group, call its group otherwise, or use after=.",
            )
        return self._groups.setdefault(group, [])

    def _after(self, name: str, options: Mapping[str, Any], mates: list[str]) -> list[str]:
        """The steps that it is said to wait for: by ``after=``, else all above it but its own group."""
        above = list(self._ancestors)
        if "after" not in options:
            return [other for other in above if other not in mates]
        wanted = list(dict.fromkeys(after_names(options["after"])))
        for other in wanted:
            if problem := self._why_not_after(name, other, mates):
                self._add(name, *problem)
        return [other for other in wanted if other in above]

    def _why_not_after(self, name: str, other: str, mates: list[str]) -> tuple[str, str] | None:
        if other in mates:
            return f"after={other!r} runs beside it, in the same group", "Take one of them out of the group."
        if other in self._ancestors:
            return None
        if other == name:
            return f"after={other!r} is the step itself: that is a cycle", "Name the steps that it waits for."
        if other in self._steps:
            return (
                f"after={other!r} is declared below it: that would make a cycle",
                f"Declare {other!r} above {name!r}; a step waits for what stands above it.",
            )
        return f"after={other!r} is no step of this saga", near(other, self._ancestors, "Declare it above.")

    def _inputs(self, name: str, declared: Declaration, after: list[str], mates: list[str]) -> tuple[str, ...]:
        """The outputs that it takes. Naming one is waiting for it: ``after`` grows."""
        if problem := why_not_awaitable(declared.fn, name, "(self, context, ...)"):
            self._add(name, *problem)
        if not isfunction(declared.fn):
            return ()
        found = parameters(declared.fn)
        if any(map(is_variadic, found)):
            self._add(
                name,
                "takes *args or **kwargs, which name no step",
                "Write a parameter for each step whose output it takes.",
            )
            return ()
        if context_name(declared.fn) is None:
            self._add(name, "takes no context", f"Write 'async def {name}(self, context, ...)'.")
            return ()
        inputs: list[str] = []
        for parameter in found[1:]:
            wanted = parameter.name
            if parameter.kind is parameter.POSITIONAL_ONLY:
                self._add(
                    name,
                    f"takes {wanted!r} by position only, but outputs are handed over by name",
                    "Write the '/' right after the context, or leave it out.",
                )
            elif problem := self._why_no_input(name, wanted, mates):
                self._add(name, *problem)
            else:
                inputs.append(wanted)
                if wanted not in after:
                    after.append(wanted)
        return tuple(inputs)

    def _why_no_input(self, name: str, wanted: str, mates: list[str]) -> tuple[str, str] | None:
        if wanted in mates:
            return (
                f"takes the output of {wanted!r}, which runs beside it",
                "Take one of them out of the group.",
            )
        if wanted in self._ancestors:
            return None
        if wanted == name:
            return "takes its own output", "Call the parameter like the step whose output it takes."
        if wanted in self._steps:
            return (
                f"takes the output of {wanted!r}, which is declared below it",
                f"Declare {wanted!r} above {name!r}.",
            )
        return (
            f"parameter {wanted!r} names no step",
            near(
                wanted,
                self._ancestors,
                "A parameter after the context is called like the step whose output it takes.",
            ),
        )

    def _implied(self, after: Iterable[str]) -> set[str]:
        return {ancestor for other in after for ancestor in self._ancestors[other]}

    # ------------------------------------------------------------------ compensations

    def _compensation(self, step: str, given: Any) -> tuple[str | None, bool]:
        """Its name, and whether it takes an output."""
        name = self._name_of(step, given)
        if name is None:
            return None, True
        fn = self._members[name]
        who = f"compensation {name!r}"
        if problem := why_not_awaitable(fn, name, "(self, context, output)"):
            self._faults.add(who, *problem, fn)
        if not isfunction(fn):
            return None, True
        found = parameters(fn)
        if not 1 <= len(found) <= 2 or not all(map(is_positional, found)):
            shown = ", ".join(map(str, found)) or "nothing"
            self._faults.add(
                who,
                f"takes ({shown}), but is called by position, with the context and perhaps the output",
                f"Write 'async def {name}(self, context, output)' or 'async def {name}(self, context)'.",
                fn,
            )
            return None, True
        return name, len(found) == 2

    def _name_of(self, step: str, given: Any) -> str | None:
        """The member that a step's ``compensate=`` means; None if there is none, or that is a fault."""
        if given is None:
            return None
        if isinstance(given, str):
            name, otherwise = given, f"Write 'async def {given}(self, context, output)'."
        else:
            # Under which name the class has it, or a base; what a function calls itself says nothing.
            known = (name for name, found in self._source.members.items() if any(given is one for one in found))
            name, otherwise = next(known, given.__qualname__), "Name an async method of the class."
        if name not in self._members:
            methods = [n for n, member in self._members.items() if isfunction(member) and not n.startswith("__")]
            self._add(step, f"compensate={name!r} names no method of the class", near(name, methods, otherwise))
        elif isinstance(self._members[name], Declaration):
            self._add(
                step,
                f"compensate={name!r} is itself a step",
                "Name a method without @step: a step is done, a compensation undoes it.",
            )
        elif not isinstance(given, str) and not any(given is one for one in self._source.members[name]):
            rule = f"compensate= is another function than the method {name!r} of the class"
            self._add(step, rule, f"Write compensate={name!r}.")
        else:
            return name
        return None


def _valid(given: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """What may be relied on: the known options whose values nothing is wrong with."""
    return {name: value for name, value in given.items() if name in checks and not list(checks[name](name, value))}
