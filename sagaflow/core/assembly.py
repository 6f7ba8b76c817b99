"""Steps put together: each in its place, with all that it waits for, its methods and its policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, isfunction
from typing import Any, Final

from ..errors import near
from .annotations import show
from .declaration import Declaration, context_name, is_positional, is_variadic, parameters, why_not_awaitable
from .definition import DEFAULT_QUEUE, Derived, SagaDefinition, StepDefinition, StepKind
from .fields import fields_of, why_no_fields
from .methods import Methods, why_no_function
from .options import SAGA_KEYWORDS, STEP_OPTIONS, Check, after_names, formerly_names
from .pivot import with_pivot
from .retry import COMPENSATION_RETRY, STEP_RETRY
from .source import Faults, Part, Source

_KINDS: Final = {"each": StepKind.EACH, "saga": StepKind.CHILD, "waits_for": StepKind.WAIT}
"""The options that make a step another one than a plain action."""

_NEEDS: Final = {
    "at_once": ("each", "It says how many elements are worked on at a time; drop it, or write each=."),
    "signal": ("waits_for", "It says under which name the outside answers; drop it, or write waits_for=."),
    "deadline": ("waits_for", "Write timeout= for one attempt, or deadline= as a keyword of the class."),
}
"""The options that belong to a kind, and what else was meant."""

_OF_THE_CHILD: Final = {
    "compensate": "Drop it: the child's own compensations undo what it did.",
    "compensation_retry": "Drop it, or give the child a compensation_retry= of its own.",
    "probe": "Drop it: what became of the child is always known.",
    "abort_on": "Drop it, or write it in the steps of the child; here only the child's context is made.",
    "heartbeat_timeout": "Drop it, or write it in the steps of the child; here only the child's context is made.",
}
"""The options that say nothing of a step with ``saga=``."""


class Assembly:
    """Steps in reading order, each with all that it waits for, directly or through others."""

    def __init__(self, source: Source, faults: Faults) -> None:
        self._source = source
        self._faults = faults
        self._steps = source.steps
        self._methods = Methods(source, faults)
        self._defaults = _valid(source.keywords, SAGA_KEYWORDS)
        self._ancestors: dict[str, set[str]] = {}
        self._groups: dict[str, list[str]] = {}
        self._previous: tuple[str, str] = ("", "")  # the step above, and its group
        self._former: dict[str, str] = {}  # earlier names, and whose they are

    @property
    def _name(self) -> str:
        return str(self._defaults.get("name", self._source.saga))

    def build(self) -> SagaDefinition:
        """The definition, as far as it can be made without looking at types."""
        if not self._steps and self._source.declared is None:  # a list may be empty, a class would be a mistake
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
        policy = self._defaults.get("retry", STEP_RETRY)
        return SagaDefinition(
            name=self._name,
            steps=with_pivot(steps, self._ancestors, self._steps, policy, self._faults),
            deadline=self._defaults.get("deadline"),
            compensation_deadline=self._defaults.get("compensation_deadline"),
            lock=self._lock(self._defaults, lambda rule, remedy: self._faults.add("the class", rule, remedy)),
            cancel_siblings=self._defaults.get("cancel_siblings", False),
        )

    def _add(self, step: str, rule: str, remedy: str) -> None:
        self._faults.add(f"step {step!r}", rule, remedy, self._steps[step].fn)

    def _step(self, name: str, declared: Declaration) -> StepDefinition:
        self._check_name(name, declared)
        options = self._options(name, declared)
        kind = self._kind(name, declared.options)
        item = "element" if kind is StepKind.EACH else "input" if name in self._source.items else None
        group = options.get("parallel", "")
        mates = self._join(name, group) if group else []
        after = self._after(name, options, mates)
        inputs = self._inputs(name, declared, item, after, mates)
        when = self._decided(name, "when", options["when"], after, mates) if "when" in options else None
        each = self._each(name, options["each"], after, mates) if "each" in options else None
        implied = self._implied(after)
        self._ancestors[name] = implied.union(after)
        mates.append(name)
        self._previous = (name, group)
        compensation, takes_output = self._methods.compensation(name, options.get("compensate"), item)
        policies = {**self._defaults, **options}
        return StepDefinition(
            name=name,
            action=self._source.actions.get(name, name),
            kind=kind,
            compensation=compensation,
            takes_output=takes_output,
            takes_item=item is not None,
            probe=self._methods.probe(name, options.get("probe"), item),
            after=tuple(other for other in after if other not in implied),
            inputs=inputs,
            when=when,
            each=each,
            at_once=options.get("at_once"),
            child=self._child(name, options["saga"]) if "saga" in options else None,
            signal=options.get("signal", name) if kind is StepKind.WAIT else None,
            lock=self._lock(options, lambda rule, remedy: self._add(name, rule, remedy)),
            pivot=options.get("pivot", False),
            retry=policies.get("retry", STEP_RETRY),
            compensation_retry=policies.get("compensation_retry", COMPENSATION_RETRY),
            queue=policies.get("queue", DEFAULT_QUEUE),
            formerly=self._formerly(name, options),
            **{key: options[key] for key in _AS_WRITTEN & options.keys()},
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

    def _kind(self, name: str, given: Mapping[str, Any]) -> StepKind:
        """What the step is; from what was written, right or wrong, so that one fault does not bring others about."""
        kinds = [option for option in _KINDS if option in given]
        if len(kinds) > 1:
            written = " and ".join(f"{option}=" for option in kinds)
            self._add(name, f"has {written}, which exclude each other", "Make a step of each.")
        for option, (needed, remedy) in _NEEDS.items():
            if option in given and needed not in given:
                self._add(name, f"has {option}= without {needed}=", remedy)
        if "saga" in given:
            for option in [one for one in _OF_THE_CHILD if given.get(one) is not None]:
                self._add(name, f"has saga=, of which {option}= says nothing", _OF_THE_CHILD[option])
        return _KINDS[kinds[0]] if kinds else StepKind.ACTION

    def _formerly(self, name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
        names = formerly_names(options.get("formerly", ()))
        for former in names:
            if former in self._steps:
                rule = f"formerly={former!r} is the name of a step that there is"
                self._add(name, rule, "Name what the step was called in an earlier version of the class.")
            elif former in self._former:
                rule = f"formerly={former!r} is said of {self._former[former]!r} already"
                self._add(name, rule, "A step of an earlier version became one step: say it once.")
            self._former.setdefault(former, name)
        return names

    # ------------------------------------------------------------------ order

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
            if problem := self._why_not_earlier(name, "after", other, mates):
                self._add(name, *problem)
        return [other for other in wanted if other in above]

    def _why_not_earlier(self, name: str, option: str, other: str, mates: list[str]) -> tuple[str, str] | None:
        if other in mates:
            return f"{option}={other!r} runs beside it, in the same group", "Take one of them out of the group."
        if other in self._ancestors:
            return None
        if other == name:
            return f"{option}={other!r} is the step itself: that is a cycle", "Name the steps that it waits for."
        if other in self._steps:
            return (
                f"{option}={other!r} is declared below it: that would make a cycle",
                f"Declare {other!r} above {name!r}; a step waits for what stands above it.",
            )
        return f"{option}={other!r} is no step of this saga", near(other, self._ancestors, "Declare it above.")

    def _implied(self, after: Sequence[str]) -> set[str]:
        implied: set[str] = set()
        for other in reversed(after):
            # With a step come its ancestors, which most often are all the others: then this takes one look at each.
            if other not in implied:
                implied |= self._ancestors[other]
        return implied

    # ------------------------------------------------------------------ what methods take

    def _inputs(
        self, name: str, declared: Declaration, item: str | None, after: list[str], mates: list[str]
    ) -> tuple[str, ...]:
        """The outputs that a step takes. Naming one is waiting for it: ``after`` grows."""
        part = Part(self._faults, f"step {name!r}", declared.fn)
        shape = f"(self, context, {item}, ...)" if item else "(self, context, ...)"
        action = self._source.actions.get(name, name)
        if problem := why_not_awaitable(declared.fn, action, shape):
            part.fault(*problem)
        if not isfunction(declared.fn):
            return ()
        return self._taken(name, part, f"async def {action}{shape}", item, after, mates)

    def _taken(
        self, name: str, part: Part, shape: str, item: str | None, after: list[str], mates: list[str]
    ) -> tuple[str, ...]:
        found = parameters(part.fn)
        if any(map(is_variadic, found)):
            rule = "takes *args or **kwargs, which name no step"
            part.fault(rule, "Write a parameter for each step whose output it takes.")
            return ()
        if context_name(part.fn) is None:
            part.fault("takes no context", f"Write '{shape}'.")
            return ()
        if item and (len(found) == 1 or not is_positional(found[1])):
            part.fault(f"takes no {item}", f"Write '{shape}'.")
            return ()
        if item == "element" and found[1].name in self._ancestors:  # most likely the element was forgotten
            rule = f"takes its element as {found[1].name!r}, which is the name of a step"
            part.fault(rule, f"Write '{shape}', with another name for the element.")
        inputs = [one for one in found[2 if item else 1 :] if self._is_input(name, part, one, mates)]
        after.extend(one.name for one in inputs if one.name not in after)
        return tuple(one.name for one in inputs)

    def _is_input(self, name: str, part: Part, parameter: Parameter, mates: list[str]) -> bool:
        wanted = parameter.name
        if parameter.kind is parameter.POSITIONAL_ONLY:
            part.fault(
                f"takes {wanted!r} by position only, but outputs are handed over by name",
                "Write the '/' right after the context, or leave it out.",
            )
        elif problem := self._why_no_input(name, wanted, mates):
            part.fault(*problem)
        else:
            return True
        return False

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

    # ------------------------------------------------------------------ what is decided when the step could begin

    def _decided(self, name: str, option: str, given: Any, after: list[str], mates: list[str]) -> Derived | None:
        """What a plain method, named or given, or a function of the context decides."""
        method = self._methods.member(given)
        if method is not None:
            part = self._methods.plain(name, option, method)
            if part is None:
                return None
            return Derived(
                method=method, inputs=self._taken(name, part, f"def {method}(self, context, ...)", None, after, mates)
            )
        if isinstance(given, str):
            rule = f"{option}={given!r} names no method of the class"
            self._add(name, rule, self._methods.near(given, [], f"Write 'def {given}(self, context, ...)'."))
            return None
        for rule, remedy in why_no_function(given):
            self._add(name, f"{option}= {rule}", remedy)
        return Derived(function=given)

    def _each(self, name: str, given: Any, after: list[str], mates: list[str]) -> Derived | None:
        """The list: an earlier step's output, a field of the context, or what is decided."""
        other = given.name if isinstance(given, Declaration) else given
        if isinstance(given, Declaration) or other in self._steps:
            if problem := self._why_not_earlier(name, "each", other, mates):
                self._add(name, *problem)
                return None
            if other not in after:
                after.append(other)
            return Derived(step=other, inputs=(other,))
        fields = fields_of(self._source.context)
        if isinstance(given, str):
            if given in (fields or ()) or (fields is None and self._methods.member(given) is None):
                return Derived(field=given)
            if self._methods.member(given) is None:
                context = show(self._source.context)
                rule = f"each={given!r} is no earlier step, no field of {context}, and no method of the class"
                known = [*self._ancestors, *(fields or ())]
                self._add(name, rule, self._methods.near(given, known, f"Write 'def {given}(self, context, ...)'."))
                return None
        return self._decided(name, "each", given, after, mates)

    def _lock(self, options: Mapping[str, Any], add: Callable[[str, str], None]) -> Derived | None:
        given = options.get("lock")
        if given is None:
            return None
        if isinstance(given, str):
            for rule, remedy in why_no_fields(given, self._source.context):
                add(f"lock={given!r} {rule}", remedy)
            return Derived(template=given)
        for rule, remedy in why_no_function(given):
            add(f"lock= {rule}", remedy)
        return Derived(function=given)

    def _child(self, name: str, saga: Any) -> str:
        """The name of the child; that of the saga itself would start sagas without end."""
        if self._name in _names_below(saga):
            rule = f"saga={saga.__name__} leads back to a saga {self._name!r}: it would start itself without end"
            self._add(name, rule, "Start another saga; or, if that is one, give one of them a name= of its own.")
        return str(saga.definition.name)


_AS_WRITTEN: Final = frozenset({"timeout", "heartbeat_timeout", "deadline", "delay", "abort_on"})
"""The options that a definition keeps as they are."""


def _names_below(saga: Any) -> set[str]:
    """The names of a saga and of all that it starts, directly or through others."""
    types = saga.__saga_compiled__.types
    return {types.definition.name}.union(*(_names_below(child) for child in types.children.values()))


def _valid(given: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """What may be relied on: the known options whose values nothing is wrong with."""
    return {name: value for name, value in given.items() if name in checks and not list(checks[name](name, value))}
