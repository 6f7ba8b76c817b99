"""A saga as boxes and arrows: what every kind of drawing shows, and in which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from ..core.definition import Derived, SagaDefinition, StepDefinition, StepKind
from ..core.state import SagaStatus, StepStatus
from ..record import SagaRecord
from ..saga import Saga
from ..step_record import StepRecord
from .wording import span

Drawable = type[Saga[Any]] | SagaDefinition | SagaRecord[Any]
"""What can be drawn: a class, what was compiled of it, or one saga, which shows how far it has come."""

UNDO_MARK = "\u21a9"
"""Stands before the name of a compensation."""


class Node(Struct, frozen=True):
    """One step.

    Attributes:
        name: of the step.
        kind: what doing it means.
        after: the steps that it waits for, none of them implied by another.
        layer: how many steps have to be done before it, one after the other.
        notes: what is to be known of it, in words: its kind, its condition.
        compensation: the method that undoes it.
        is_undoable: whether there is a way to undo it.
        is_pivot: whether there is no way back once it has begun.
        is_conditional: whether it is perhaps left out.
        status: where it stands, of one saga; None of a class.
        progress: of one saga, what there is to say besides its status.
    """

    name: str
    kind: StepKind
    after: tuple[str, ...]
    layer: int
    notes: tuple[str, ...]
    compensation: str | None
    is_undoable: bool
    is_pivot: bool
    is_conditional: bool
    status: StepStatus | None = None
    progress: str | None = None

    @property
    def undo(self) -> str | None:
        """How it is undone, in words; None if it is not."""
        if not self.is_undoable:
            return None
        return f"{UNDO_MARK} {self.compensation or 'undoes itself'}"

    @property
    def sentence(self) -> str:
        """All of it, for those who cannot see the drawing."""
        said = [f"step {self.name}", *self.notes]
        if self.compensation is not None:
            said.append(f"undone by {self.compensation}")
        said += [f"after {' and '.join(self.after)}"] if self.after else []
        said += [str(self.status)] if self.status is not None else []
        return ", ".join([*said, *filter(None, [self.progress])])


class Graph(Struct, frozen=True):
    """A saga.

    Attributes:
        title: what is drawn.
        nodes: its steps, in order.
        status: where it stands, of one saga; None of a class.
    """

    title: str
    nodes: tuple[Node, ...]
    status: SagaStatus | None = None

    @property
    def edges(self) -> Iterator[tuple[str, str]]:
        """From each step to those that wait for it."""
        return ((before, node.name) for node in self.nodes for before in node.after)

    @property
    def pivot(self) -> Node | None:
        """The point of no return."""
        return next((node for node in self.nodes if node.is_pivot), None)


def graph_of(saga: Drawable) -> Graph:
    """The graph of a saga. A list is one node, whatever it has been unfolded into.

    Of a record whose class this process does not have, the steps are known, but not what they wait for.

    Raises:
        TypeError: the class is abstract.
    """
    if isinstance(saga, SagaRecord):
        nodes = _nodes(definition_of(saga), saga)
        return Graph(f"{saga.name} {saga.id}: {saga.status}", tuple(nodes), saga.status)
    definition = saga if isinstance(saga, SagaDefinition) else saga.definition
    return Graph(definition.name, tuple(_nodes(definition, None)))


def definition_of(record: SagaRecord[Any]) -> SagaDefinition:
    """What the saga runs by; its steps by themselves, if this process does not know it."""
    if record.definition is not None:
        return record.definition
    names = [name for name in record.steps if "[" not in name]
    return SagaDefinition(name=record.name, steps=tuple(StepDefinition(name=name, action=name) for name in names))


def _nodes(definition: SagaDefinition, record: SagaRecord[Any] | None) -> Iterator[Node]:
    layers: dict[str, int] = {}
    ancestors: dict[str, set[str]] = {}
    for step in definition:
        implied = set[str]().union(*(ancestors[name] for name in step.after))
        ancestors[step.name] = {*step.after, *implied}
        layers[step.name] = 1 + max((layers[name] for name in step.after), default=-1)
        stands = record.steps[step.name] if record is not None else None
        yield Node(
            name=step.name,
            kind=step.kind,
            after=tuple(name for name in step.after if name not in implied),
            layer=layers[step.name],
            notes=tuple(_notes(step)),
            compensation=step.compensation,
            is_undoable=step.is_undoable,
            is_pivot=step.pivot,
            is_conditional=step.when is not None,
            status=stands.status if stands is not None else None,
            progress=", ".join(_progress(stands)) or None if stands is not None else None,
        )


def _notes(step: StepDefinition) -> Iterator[str]:
    match step.kind:
        case StepKind.EACH:
            bound = f", {step.at_once} at once" if step.at_once is not None else ""
            yield f"for each of {_said(step.each, 'a list')}{bound}"
        case StepKind.CHILD:
            yield f"saga {step.child}"
        case StepKind.WAIT:
            yield f"waits for {step.signal}"
        case _:
            pass
    if step.when is not None:
        yield f"if {_said(step.when, 'a condition holds')}"
    if step.delay:
        yield f"{span(step.delay)} later"
    if step.lock is not None:
        yield f"under lock {_said(step.lock, 'of its own')}"
    if step.pivot:
        yield "the point of no return"


def _said(way: Derived | None, otherwise: str) -> str:
    """How a value is found out, by the name of what says it."""
    if way is None:
        return otherwise
    function = getattr(way.function, "__name__", "<lambda>")
    names: Iterable[str | None] = (way.method, way.step, way.field, way.template)
    return next(filter(None, names), otherwise if function == "<lambda>" else function)


def _progress(step: StepRecord) -> Iterator[str]:
    if step.elements:
        found = Counter(element.status for element in step.elements)
        done = ", ".join(f"{count} {status}" for status, count in found.items())
        yield f"{len(step.elements)} elements: {done}"
    if step.attempts > 1:
        yield f"attempt {step.attempts}"
    if step.compensation_attempts > 1:
        yield f"attempt {step.compensation_attempts} to undo it"
