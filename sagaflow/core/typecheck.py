"""What the annotations of a saga say: whether its parts fit together, and what its payloads are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from ..errors import Fault, place
from .annotations import Unresolved, admits_none, assignable, show, show_optional
from .declaration import context_name, parameters
from .definition import SagaDefinition, StepDefinition
from .payloads import why_not_storable
from .source import Faults, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaTypes:
    """What an engine needs to know of a saga class.

    Attributes:
        definition: the compiled saga.
        context: the type of its context.
        outputs: for every step, the type that its method is annotated to return; ``Any`` if it is not annotated.
    """

    definition: SagaDefinition
    context: Any
    outputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What can be read of the types now.

    Attributes:
        unresolved: a fault for each member whose annotations cannot be read, or not yet.
        warnings: what the author of the saga should think of.
    """

    types: SagaTypes
    unresolved: tuple[Fault, ...]
    warnings: tuple[str, ...]


def check_types(source: Source, definition: SagaDefinition, faults: Faults) -> Findings:
    """Add the faults that are certain, and return what was found out."""
    if isinstance(source.context, TypeVar):
        faults.add(
            "the class",
            "does not say what its context is",
            f"Write class {source.saga}(Saga[Order]), with the type of your own; Saga[Any] takes plain JSON values.",
        )
    check = _Check(source, faults)
    steps = tuple(check.step(step) for step in definition)
    return Findings(
        types=SagaTypes(
            definition=replace(definition, steps=steps),
            context=source.context,
            outputs=MappingProxyType(check.outputs),
        ),
        unresolved=tuple(check.unresolved),
        warnings=tuple(dict.fromkeys(check.warnings)),
    )


def check_storable(source: Source, types: SagaTypes, faults: Faults) -> None:
    """Add a fault for every payload that the codec could not keep."""
    remedy = "Use a msgspec.Struct, a dataclass, an attrs class, a TypedDict, or plain types."
    if reason := why_not_storable(types.context):
        faults.add("the class", f"has the context {show(types.context)}, which cannot be stored: {reason}", remedy)
    members = source.nearest
    for name, kind in types.outputs.items():
        if reason := why_not_storable(kind):
            rule = f"yields {show(kind)}, which cannot be stored: {reason}"
            faults.add(f"step {name!r}", rule, remedy, members[name].fn)


@dataclass
class _Check:
    source: Source
    faults: Faults
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    unresolved: list[Fault] = field(default_factory=list[Fault])
    warnings: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._members = self.source.nearest

    def step(self, step: StepDefinition) -> StepDefinition:
        """The step, with what its annotations add to its definition."""
        who = f"step {step.name!r}"
        fn = self._members[step.name].fn
        hints = self._read(who, step.action, fn)
        self._check_context(who, fn, hints)
        for wanted in step.inputs:
            given = self.outputs[wanted]
            if not assignable(given, hints.get(wanted, Any)):
                rule = f"wants {wanted}: {show(hints[wanted])}, but step {wanted!r} yields {show(given)}"
                self.faults.add(who, rule, f"Write '{wanted}: {show(given)}'.", fn)
        self.outputs[step.name] = hints.get("return", Any)
        return self._compensation(step) if step.compensation else step

    def _compensation(self, step: StepDefinition) -> StepDefinition:
        name = str(step.compensation)
        who = f"compensation {name!r}"
        fn = self._members[name]
        hints = self._read(who, name, fn)
        self._check_context(who, fn, hints)
        if not step.takes_output:
            return step
        given = self.outputs[step.name]
        output = parameters(fn)[1].name
        hint = hints.get(output, Any)
        if not assignable(given, hint):
            rule = f"wants {output}: {show(hint)}, but step {step.name!r} yields {show(given)}"
            self.faults.add(who, rule, f"Write '{output}: {show_optional(given)}'.", fn)
        elif not admits_none(hint):
            self.warnings.append(
                f"{self.source.saga}: compensation {name!r} wants {output}: {show(hint)}. If the outcome of step "
                f"{step.name!r} is unknown there is no output to give it, and the saga would end as failed. "
                f"Write '{output}: {show_optional(hint)}' and let it find out by self.step_key.\n"
                f"     at {place(fn)}"
            )
        return replace(step, accepts_unknown=admits_none(hint))

    def _check_context(self, who: str, fn: Any, hints: Mapping[str, Any]) -> None:
        context = self.source.context
        first = context_name(fn) or ""
        if not assignable(context, hints.get(first, Any)):
            rule = f"takes {show(hints[first])} as its context, but the saga is Saga[{show(context)}]"
            self.faults.add(who, rule, f"Write '{first}: {show(context)}'.", fn)

    def _read(self, who: str, name: str, fn: Any) -> Mapping[str, Any]:
        try:
            return self.source.hints(name)
        except Unresolved as error:
            remedy = "Import it at run time (not under TYPE_CHECKING), or define it at module level."
            self.unresolved.append(Fault(who, str(error), remedy, place(fn)))
            return {}
