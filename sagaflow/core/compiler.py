"""From what a class body says to a checked, immutable definition: all faults at once, or none.

``compile_saga`` is the whole of it, for classes and for whatever else declares sagas. First come names, order and
arity (``assembly``), then types (``typecheck``), as far as they can be read; what cannot be read yet is let pass
until ``complete`` is asked for, when an engine takes the saga.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import near
from .assembly import Assembly
from .declaration import Declaration, declaration_under
from .options import SAGA_KEYWORDS
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
    faults = Faults(source.saga, list(source.faults))
    _check_class(source, faults)
    _check_members(source, faults)
    definition = Assembly(source, faults).build()
    found = check_types(source, definition, faults)
    if complete:
        faults.found.extend(found.unresolved)
        check_storable(source, found.types, faults)
    faults.check()
    return Compiled(types=found.types, warnings=tuple(dict.fromkeys(faults.warnings)), is_complete=complete)


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
