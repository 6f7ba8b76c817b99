"""Fan-out: the graph of one saga, in which each list that is known has become as many steps as it has elements.

An ``EACH`` step ``reserve`` whose list has three elements becomes ``reserve[0]``, ``reserve[1]``, ``reserve[2]``, each
in the place of the step, and a ``JOIN`` under its own name, which waits for them. Nothing else needs to know of lists:
elements are steps, done, retried and undone as all others are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from .definition import SagaDefinition, StepDefinition, StepKind
from .state import SagaState, StepState

_REMEMBERED: Final = 256  # graphs; they are made anew quickly


def element_name(step: str, index: int) -> str:
    """The name of the step that works on one element.

    Example:
        >>> element_name("reserve", 2)
        'reserve[2]'
    """
    return f"{step}[{index}]"


def unfold(definition: SagaDefinition, state: SagaState) -> SagaDefinition:
    """The graph that ``state`` runs by; the definition itself while there is nothing to unfold."""
    if not definition.each:
        return definition
    sizes = tuple(state.steps[name].size for name in definition.each)
    if not any(size is not None for size in sizes):
        return definition
    known = definition.unfolded.get(sizes)
    if known is None:
        if len(definition.unfolded) >= _REMEMBERED:
            definition.unfolded.clear()
        known = definition.unfolded[sizes] = _unfold(definition, dict(zip(definition.each, sizes, strict=True)))
    return known


def _unfold(definition: SagaDefinition, sizes: dict[str, int | None]) -> SagaDefinition:
    return replace(
        definition,
        steps=tuple(part for step in definition for part in _parts(step, sizes.get(step.name))),
        fingerprint=definition.fingerprint,
    )


def _parts(step: StepDefinition, size: int | None) -> Iterator[StepDefinition]:
    if size is None:
        yield step
        return
    names = [element_name(step.name, index) for index in range(size)]
    for index, name in enumerate(names):
        yield replace(
            step, name=name, kind=StepKind.ACTION, when=None, each=None, lock=None, element=(step.name, index)
        )
    yield StepDefinition(
        name=step.name, action=step.action, kind=StepKind.JOIN, after=tuple(names) or step.after, queue=step.queue
    )


class Places:
    """How many more elements of each list may be worked on at a time, if that is bounded: forward, or in undo.

    ``is_busy`` says which of them have a place now.
    """

    def __init__(
        self, definition: SagaDefinition, steps: Mapping[str, StepState], is_busy: Callable[[StepState], bool]
    ) -> None:
        self._taken: dict[str, int] = {}
        for one in definition.bounded:
            if one.element is not None and is_busy(steps[one.name]):
                self._taken[one.element[0]] = self._taken.get(one.element[0], 0) + 1

    def take(self, declared: StepDefinition) -> bool:
        """Whether this step may be begun now; if so, its place is taken."""
        if declared.element is None or declared.at_once is None:
            return True
        taken = self._taken.get(declared.element[0], 0)
        if taken >= declared.at_once:
            return False
        self._taken[declared.element[0]] = taken + 1
        return True
