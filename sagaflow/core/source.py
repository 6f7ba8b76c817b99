"""A saga as its author wrote it: all that the compiler looks at, before anything of it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import DefinitionError, Fault, place
from .declaration import Declaration


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a class body says, whoever wrote it.

    Attributes:
        saga: the name of the class.
        members: every name with all that stands under it, nearest first; names in reading order.
        keywords: those of the class, with those that it inherits.
        context: the declared type of the context; a type variable if none was named.
        hints: from a member's name to its annotations; raises ``Unresolved`` while they cannot be read.
        replaced: the steps that another declaration of the same body has replaced.
        annotated: the names that are annotated, whether or not they have a value.
        reserved: the names that belong to the saga itself.
    """

    saga: str
    members: Mapping[str, Sequence[Any]]
    keywords: Mapping[str, Any]
    context: Any
    hints: Callable[[str], Mapping[str, Any]]
    replaced: Sequence[Declaration] = ()
    annotated: frozenset[str] = frozenset()
    reserved: frozenset[str] = frozenset()

    @property
    def nearest(self) -> dict[str, Any]:
        """Each name, and what it means in the end."""
        return {name: found[0] for name, found in self.members.items()}


@dataclass
class Faults:
    """The faults of one saga, as they are found."""

    saga: str
    found: list[Fault] = field(default_factory=list[Fault])

    def add(self, offender: str, rule: str, remedy: str, where: object = None) -> None:
        """Note a fault; ``where`` is the function at which it stands."""
        self.found.append(Fault(offender, rule, remedy, place(where)))

    def check(self) -> None:
        """Raise DefinitionError if there is any; the same fault, seen twice, counts once."""
        if self.found:
            raise DefinitionError(self.saga, dict.fromkeys(self.found))
