"""A saga as its author wrote it: all that the compiler looks at, before anything of it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DefinitionError, Fault, place
from .declaration import Declaration


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a class body says, whoever wrote it; or what steps that are data say of themselves.

    Attributes:
        saga: the name of the class.
        members: every name with all that stands under it, nearest first; names in reading order.
        keywords: those of the class, with those that it inherits.
        context: the declared type of the context; a type variable if none was named.
        hints: from a member's name to its annotations; raises ``Unresolved`` while they cannot be read.
        record: from the context of another saga to the type of such a saga's records.
        replaced: the steps that another declaration of the same body has replaced.
        annotated: the names that are annotated, whether or not they have a value.
        reserved: the names that belong to the saga itself.
        declared: the steps, if they are no members.
        actions: the member that does a step, where it is called otherwise than the step.
        items: the steps that have an input of their own, which their methods take after the context.
        faults: what was found to be wrong while all this was read.
    """

    saga: str
    members: Mapping[str, Sequence[Any]]
    keywords: Mapping[str, Any]
    context: Any
    hints: Callable[[str], Mapping[str, Any]]
    record: Callable[[Any], Any]
    replaced: Sequence[Declaration] = ()
    annotated: frozenset[str] = frozenset()
    reserved: frozenset[str] = frozenset()
    declared: Mapping[str, Declaration] | None = None
    actions: Mapping[str, str] = field(default_factory=dict[str, str])
    items: frozenset[str] = frozenset()
    faults: Sequence[Fault] = ()

    @property
    def nearest(self) -> dict[str, Any]:
        """Each name, and what it means in the end."""
        return {name: found[0] for name, found in self.members.items()}

    @property
    def steps(self) -> dict[str, Declaration]:
        """Each step, in reading order."""
        if self.declared is not None:
            return dict(self.declared)
        return {name: member for name, member in self.nearest.items() if isinstance(member, Declaration)}

    def names_of(self, fn: Any) -> list[str]:
        """Under which names the class, or a base, has ``fn``; what a function calls itself says nothing."""
        return [name for name, found in self.members.items() if any(fn is one for one in found)]


@dataclass
class Faults:
    """The faults of one saga, as they are found, and what else its author should think of."""

    saga: str
    found: list[Fault] = field(default_factory=list[Fault])
    warnings: list[str] = field(default_factory=list[str])

    def add(self, offender: str, rule: str, remedy: str, where: object = None) -> None:
        """Note a fault; ``where`` is the function at which it stands."""
        self.found.append(Fault(offender, rule, remedy, place(where)))

    def warn(self, text: str, where: object) -> None:
        """Note what is right, but will need an operator."""
        self.warnings.append(f"{self.saga}: {text}\n     at {place(where)}")

    def check(self) -> None:
        """Raise DefinitionError if there is any; the same fault, seen twice, counts once."""
        if self.found:
            raise DefinitionError(self.saga, dict.fromkeys(self.found))


@dataclass(frozen=True)
class Part:
    """A method of a saga, of which faults are found.

    Attributes:
        faults: where they are noted.
        who: whose they are.
        fn: the method, whatever it is.
        role: what the method is for, if that is not what it is called after; rules begin with it.
    """

    faults: Faults
    who: str
    fn: Any
    role: str = ""

    def fault(self, rule: str, remedy: str) -> None:
        """Note a fault of this method."""
        self.faults.add(self.who, f"{self.role} {rule}" if self.role else rule, remedy, self.fn)
