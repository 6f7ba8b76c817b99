"""The graph that a saga runs by, read off the raw definition and the sizes of its lists, without the core's help."""

from __future__ import annotations

from dataclasses import dataclass

from sagaflow.core.definition import SagaDefinition, StepDefinition, StepKind
from sagaflow.core.state import SagaState


@dataclass(frozen=True)
class Node:
    """One step of a running saga.

    Attributes:
        name: under which the state has it.
        declared: what it comes from.
        after: the names of the nodes that it waits for.
        group: of an element: the step whose list it is of.
        is_join: it only waits for the elements of a list.
    """

    name: str
    declared: StepDefinition
    after: tuple[str, ...]
    group: str | None = None
    is_join: bool = False

    @property
    def is_child(self) -> bool:
        return self.declared.kind is StepKind.CHILD

    @property
    def is_undoable(self) -> bool:
        return not self.is_join and (self.is_child or self.declared.compensation is not None)

    @property
    def is_decided_by_code(self) -> bool:
        """Whether user code must have said something before it begins; of an element, it has."""
        asks = self.declared.when or self.declared.each or self.declared.lock
        return asks is not None and self.group is None and not self.is_join


Nodes = dict[str, Node]


_known: dict[tuple[int, tuple[int | None, ...]], tuple[SagaDefinition, Nodes, dict[str, set[str]]]] = {}
"""The graphs of late, with what they were made from, so that its identity stays its own."""


def graph_of(definition: SagaDefinition, state: SagaState) -> tuple[Nodes, dict[str, set[str]]]:
    """Every step of the saga as it stands, by name and in order, and all that waits for each, directly or not."""
    sizes = tuple(state.steps[step.name].size for step in definition.steps)
    key = id(definition), sizes
    if key not in _known:
        if len(_known) >= 64:
            _known.clear()
        nodes = _nodes_of(definition, sizes)
        _known[key] = definition, nodes, _all_dependents(nodes)
    _, nodes, below = _known[key]
    return nodes, below


def _nodes_of(definition: SagaDefinition, sizes: tuple[int | None, ...]) -> Nodes:
    found: Nodes = {}
    for step, size in zip(definition.steps, sizes, strict=True):
        if size is None:
            found[step.name] = Node(step.name, step, step.after)
            continue
        names = [f"{step.name}[{index}]" for index in range(size)]
        found.update({name: Node(name, step, step.after, group=step.name) for name in names})
        found[step.name] = Node(step.name, step, tuple(names) or step.after, is_join=True)
    return found


def _all_dependents(nodes: Nodes) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in nodes}
    for name in reversed(nodes):
        for above in nodes[name].after:
            found[above] |= {name, *found[name]}
    return found
