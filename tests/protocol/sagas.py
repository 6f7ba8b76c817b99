"""Every small saga: all graphs of a few steps, up to the names of the steps, with all kinds of compensations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from enum import Enum
from itertools import chain, combinations, permutations, product

from sagaflow.core.definition import SagaDefinition, StepDefinition
from sagaflow.core.retry import Retry

Edges = frozenset[tuple[int, int]]
"""Pairs of an earlier and a later step; closed: what depends on something depends on all below it."""


class Undo(Enum):
    """Which compensation a step has."""

    LENIENT = "any outcome"
    STRICT = "known outcomes only"
    NONE = "none"


def orders(size: int) -> list[Edges]:
    """One of each partial order of ``size`` steps that have no names (1, 2, 5, 16, 63, ... of them).

    Example:
        >>> [len(orders(size)) for size in range(1, 5)]
        [1, 2, 5, 16]
    """
    pairs = list(combinations(range(size), 2))
    every = chain.from_iterable(combinations(pairs, count) for count in range(len(pairs) + 1))
    found = {_canonical(size, frozenset(edges)) for edges in every if _is_closed(edges)}
    return sorted(found, key=lambda edges: (len(edges), sorted(edges)))


def sagas(size: int, *, attempts: int = 1, undos: Iterable[Undo] = Undo) -> Iterator[SagaDefinition]:
    """Every saga of so many steps, up to their names (3, 15, 100, 885 of them); retries need not wait.

    ``undos`` are the compensations that their steps have.
    """
    for edges in orders(size):
        seen = set[tuple[Undo, ...]]()
        for chosen in product(undos, repeat=size):
            if chosen not in seen:
                seen.update(tuple(chosen[place] for place in order) for order in _automorphisms(size, edges))
                yield saga(edges, chosen, attempts)


def saga(edges: Edges, undos: Sequence[Undo], attempts: int = 1) -> SagaDefinition:
    """The saga of this graph; steps are ``a``, ``b``, ``c``, …"""
    now = Retry(attempts=attempts, backoff=timedelta(0), jitter=False)
    steps = [
        StepDefinition(
            name=_name(place),
            action=_name(place),
            compensation=None if undo is Undo.NONE else f"undo_{_name(place)}",
            accepts_unknown=undo is not Undo.STRICT,
            after=tuple(_name(earlier) for earlier in _reduced(edges, place)),
            retry=now,
            compensation_retry=now,
        )
        for place, undo in enumerate(undos)
    ]
    return SagaDefinition(name="Small", steps=tuple(steps))


def _name(place: int) -> str:
    return "abcdefgh"[place]


def _is_closed(edges: Sequence[tuple[int, int]]) -> bool:
    return all((low, high) in edges for low, middle in edges for other, high in edges if middle == other)


def _canonical(size: int, edges: Edges) -> Edges:
    """The same for all graphs that differ in the names of their steps only, and in order (earlier ones first)."""
    renamed = (frozenset((names[low], names[high]) for low, high in edges) for names in permutations(range(size)))
    ordered = (graph for graph in renamed if all(low < high for low, high in graph))
    return min(ordered, key=sorted)


def _automorphisms(size: int, edges: Edges) -> Iterator[tuple[int, ...]]:
    for order in permutations(range(size)):
        if {(order[low], order[high]) for low, high in edges} == edges:
            yield order


def _reduced(edges: Edges, place: int) -> list[int]:
    below = {low for low, high in edges if high == place}
    return sorted(low for low in below if not any((low, middle) in edges for middle in below))
