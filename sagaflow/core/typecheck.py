"""What the annotations of a saga say: whether its parts fit together, and what its payloads are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from inspect import isfunction
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

from ..errors import Fault, place
from ..probing import Happened, NotHappened, StillUnknown
from .annotations import Unresolved, admits_none, assignable, is_union, plain, show, show_optional
from .declaration import context_name, parameters
from .definition import Derived, SagaDefinition, StepDefinition, StepKind
from .fields import NO_LIST, element_of, fields_of
from .payloads import why_not_storable
from .source import Faults, Part, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaTypes:
    """What an engine needs to know of a saga class.

    Attributes:
        definition: the compiled saga.
        context: the type of its context.
        outputs: for every step, the type of its output as later steps see it; ``Any`` where nothing is annotated.
        returns: for every step, the type that one call of its method yields: of a step with ``each=`` that for one
            element, of one with ``saga=`` the context of the child, of one with ``waits_for=`` None.
        items: for every step whose methods take an element or an input of their own, its type.
        children: for every step with ``saga=``, that class.
    """

    definition: SagaDefinition
    context: Any
    outputs: Mapping[str, Any]
    returns: Mapping[str, Any] = field(default_factory=dict[str, Any])
    items: Mapping[str, Any] = field(default_factory=dict[str, Any])
    children: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What can be read of the types now.

    Attributes:
        types: as far as they can be read.
        unresolved: a fault for each member whose annotations cannot be read, or not yet.
    """

    types: SagaTypes
    unresolved: tuple[Fault, ...]


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
            returns=MappingProxyType(check.returns),
            items=MappingProxyType(check.items),
            children=MappingProxyType(check.children),
        ),
        unresolved=tuple(check.unresolved),
    )


def check_storable(source: Source, types: SagaTypes, faults: Faults) -> None:
    """Add a fault for every payload that the codec could not keep."""
    remedy = "Use a msgspec.Struct, a dataclass, an attrs class, a TypedDict, or plain types."
    if reason := why_not_storable(types.context):
        faults.add("the class", f"has the context {show(types.context)}, which cannot be stored: {reason}", remedy)
    for step in types.definition:
        for verb, kind in _payloads(step, types):
            if reason := why_not_storable(kind):
                rule = f"{verb} {show(kind)}, which cannot be stored: {reason}"
                faults.add(f"step {step.name!r}", rule, remedy, source.steps[step.name].fn)


def _payloads(step: StepDefinition, types: SagaTypes) -> Iterable[tuple[str, Any]]:
    """All that is kept of a step, and how to speak of it. The record of a child is none: the child keeps it."""
    if step.takes_item:
        yield "takes", types.items[step.name]
    if step.kind is StepKind.WAIT:
        yield "waits for", types.outputs[step.name]
    else:
        yield "yields", types.returns[step.name]


@dataclass
class _Check:
    source: Source
    faults: Faults
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    returns: dict[str, Any] = field(default_factory=dict[str, Any])
    items: dict[str, Any] = field(default_factory=dict[str, Any])
    children: dict[str, Any] = field(default_factory=dict[str, Any])
    unresolved: list[Fault] = field(default_factory=list[Fault])
    conditional: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self._members = self.source.nearest
        self._steps = self.source.steps

    def step(self, step: StepDefinition) -> StepDefinition:
        """The step, with what its annotations add to its definition."""
        part = Part(self.faults, f"step {step.name!r}", self._steps[step.name].fn)
        hints = self._read(part, step.action)
        self._context(part, hints)
        self._inputs(part, step.inputs, hints)
        if step.when:
            self._decided(step, step.when, "when")
            self.conditional.add(step.name)
        element = self._element(step, step.each) if step.each else Any
        if step.takes_item:
            self.items[step.name] = self._item(part, step, hints, element)
        self._output(part, step, hints.get("return", Any))
        if step.probe:
            self._probe(step, step.probe)
        return self._compensation(step, step.compensation) if step.compensation else step

    # ------------------------------------------------------------------ what goes in

    def _context(self, part: Part, hints: Mapping[str, Any]) -> None:
        context = self.source.context
        first = context_name(part.fn) or ""
        if not assignable(context, hints.get(first, Any)):
            rule = f"takes {show(hints[first])} as its context, but the saga is Saga[{show(context)}]"
            part.fault(rule, f"Write '{first}: {show(context)}'.")

    def _inputs(self, part: Part, inputs: Iterable[str], hints: Mapping[str, Any]) -> None:
        for wanted in inputs:
            given, hint = self.outputs[wanted], hints.get(wanted, Any)
            optional = wanted in self.conditional
            if not assignable(given, hint):
                rule = f"wants {wanted}: {show(hint)}, but step {wanted!r} yields {show(given)}"
                part.fault(rule, f"Write '{wanted}: {show_optional(given) if optional else show(given)}'.")
            elif optional and not assignable(None, hint):
                rule = f"wants {wanted}: {show(hint)}, but step {wanted!r} has when=, and yields None if it is skipped"
                part.fault(rule, f"Write '{wanted}: {show_optional(hint)}'.")

    def _item(self, part: Part, step: StepDefinition, hints: Mapping[str, Any], element: Any) -> Any:
        """The type of what the method takes after the context."""
        found = parameters(part.fn) if isfunction(part.fn) else []
        name = found[1].name if len(found) > 1 else ""
        hint = hints.get(name, element)
        if not assignable(element, hint):
            part.fault(
                f"wants {name}: {show(hint)}, but each= gives {show(element)}", f"Write '{name}: {show(element)}'."
            )
        return hint

    def _decided(self, step: StepDefinition, derived: Derived, option: str) -> Any:
        """What a method that decides is annotated to return."""
        if derived.method is None:
            return Any
        part = Part(self.faults, f"step {step.name!r}", self._members[derived.method], f"{option}={derived.method!r}")
        hints = self._read(part, derived.method)
        self._context(part, hints)
        self._inputs(part, derived.inputs, hints)
        return hints.get("return", Any)

    def _element(self, step: StepDefinition, each: Derived) -> Any:
        """The type of the elements of a list, from wherever it comes."""
        part = Part(self.faults, f"step {step.name!r}", self._steps[step.name].fn)
        if each.step is not None:
            given, rule, remedy = self.outputs[each.step], f"each={each.step!r} yields", "Let it return a list."
            element = element_of(given)
        elif each.field is not None:
            fields = fields_of(self.source.context) or {}
            given, rule = fields.get(each.field, Any), f"each={each.field!r} is a field of type"
            element, remedy = element_of(given), "Name a field that is a list."
        else:
            given = self._decided(step, each, "each")
            part, rule = replace(part, fn=self._members.get(each.method or "")), f"each={each.method!r} returns"
            element, remedy = element_of(given, of=Iterable), "Return a list."
        if element is NO_LIST:
            part.fault(f"{rule} {show(given)}, which is no list", remedy)
            return Any
        return element

    # ------------------------------------------------------------------ what comes out

    def _output(self, part: Part, step: StepDefinition, returned: Any) -> None:
        """Note what the method yields, and what later steps see of it."""
        name, options = step.name, self._steps[step.name].options
        self.returns[name] = self.outputs[name] = returned
        if step.kind is StepKind.EACH:
            self.outputs[name] = list[returned]
        elif step.kind is StepKind.WAIT:
            self.outputs[name] = options["waits_for"]
            self.returns[name] = type(None)
            if not assignable(returned, None):
                rule = f"returns {show(returned)}, but its output is the answer from outside"
                part.fault(rule, "Write '-> None': it only asks.")
        elif step.kind is StepKind.CHILD:
            self.outputs[name] = Any
            if step.child is not None:
                child = options["saga"]
                context = child.__saga_compiled__.types.context
                self.children[name] = child
                self.returns[name], self.outputs[name] = context, self.source.record(context)
                if not assignable(returned, context):
                    rule = f"returns {show(returned)}, but the context of {child.__name__} is {show(context)}"
                    part.fault(rule, f"Write '-> {show(context)}'.")

    def _done(self, step: StepDefinition) -> Any:
        """What one execution yields, as its compensation and its probe know it."""
        return (self.outputs if step.kind is StepKind.WAIT else self.returns)[step.name]

    def _probe(self, step: StepDefinition, name: str) -> None:
        part = Part(self.faults, f"probe {name!r}", self._members[name])
        hints = self._read(part, name)
        self._context(part, hints)
        self._takes_item(part, step, hints)
        given, returned = self._done(step), plain(hints.get("return", Any))
        answer = f"Happened[{show(given)}] | NotHappened | StillUnknown"
        for one in get_args(returned) if is_union(returned) else (returned,):
            kind = plain(one)
            if not assignable(kind, Happened | NotHappened | StillUnknown):
                part.fault(f"returns {show(kind)}, which does not say what happened", f"Write '-> {answer}'.")
            elif get_origin(kind) is Happened and not assignable(get_args(kind)[0], given):
                rule = f"returns {show(kind)}, but step {step.name!r} yields {show(given)}"
                part.fault(rule, f"Write '-> {answer}'.")

    def _compensation(self, step: StepDefinition, name: str) -> StepDefinition:
        part = Part(self.faults, f"compensation {name!r}", self._members[name])
        hints = self._read(part, name)
        self._context(part, hints)
        self._takes_item(part, step, hints)
        if not step.takes_output:
            return step
        given = self._done(step)
        output = parameters(part.fn)[-1].name
        hint = hints.get(output, Any)
        if not assignable(given, hint):
            rule = f"wants {output}: {show(hint)}, but step {step.name!r} yields {show(given)}"
            part.fault(rule, f"Write '{output}: {show_optional(given)}'.")
        elif not admits_none(hint) and not step.probe:
            self.faults.warn(
                f"compensation {name!r} wants {output}: {show(hint)}. If the outcome of step "
                f"{step.name!r} is unknown there is no output to give it, and the saga would end as failed. "
                f"Write '{output}: {show_optional(hint)}' and let it find out by self.step_key.",
                part.fn,
            )
        return replace(step, accepts_unknown=admits_none(hint))

    def _takes_item(self, part: Part, step: StepDefinition, hints: Mapping[str, Any]) -> None:
        """Whether a compensation or a probe takes the element that the step takes."""
        if not step.takes_item:
            return
        given, name = self.items[step.name], parameters(part.fn)[1].name
        if not assignable(given, hints.get(name, Any)):
            rule = f"wants {name}: {show(hints[name])}, but step {step.name!r} takes {show(given)}"
            part.fault(rule, f"Write '{name}: {show(given)}'.")

    def _read(self, part: Part, name: str) -> Mapping[str, Any]:
        try:
            return self.source.hints(name)
        except Unresolved as error:
            remedy = "Import it at run time (not under TYPE_CHECKING), or define it at module level."
            rule = f"{part.role} {error}" if part.role else str(error)
            self.unresolved.append(Fault(part.who, rule, remedy, place(part.fn)))
            return {}
