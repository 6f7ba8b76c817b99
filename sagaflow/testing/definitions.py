"""Hypothesis strategies for compiled sagas of every shape: something to test a runner, a store or a drawing with.

    from hypothesis import given
    from .definitions import saga_definitions

    @given(saga_definitions(max_steps=6))
    def test_every_saga_can_be_drawn(definition): ...

The definitions are what a compiler would have made: their steps stand in order, no dependency is implied by another,
a compensation that does not accept an unknown outcome takes an output, and a pivot stands where one can. They are not
tied to classes, so nothing can be called by them; ``action`` and ``compensation`` are names.

Needs the ``hypothesis`` package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from enum import Enum, Flag, auto

from hypothesis import strategies as st

from ..core.definition import Derived, SagaDefinition, StepDefinition, StepKind
from ..core.retry import Retry

MAX_STEPS = 12
"""The largest sagas that are drawn by default: enough for a diamond in a diamond, few enough to read."""

Graph = tuple[tuple[int, ...], ...]
"""For each step, by its place in order, the places of the steps that it waits for; reduced."""


def reduced(edges: Sequence[Iterable[int]]) -> Graph:
    """The same graph without the edges that others imply; each step may only wait for earlier ones.

    Example:
        >>> reduced([[], [0], [0, 1]])
        ((), (0,), (1,))
    """
    ancestors: list[set[int]] = []
    graph: list[tuple[int, ...]] = []
    for wanted in edges:
        direct = set(wanted)
        implied = set[int]().union(*(ancestors[place] for place in direct))
        graph.append(tuple(sorted(direct - implied)))
        ancestors.append(direct | implied)
    return tuple(graph)


def sequences(max_steps: int = MAX_STEPS) -> st.SearchStrategy[Graph]:
    """Graphs of steps that run one after the other."""
    return st.integers(1, max_steps).map(lambda size: reduced([range(place) for place in range(size)]))


@st.composite
def stages(draw: st.DrawFn, max_steps: int = MAX_STEPS) -> Graph:
    """Graphs of groups, one after the other; the steps of a group run in parallel."""
    edges: list[range] = []
    previous = range(0)
    for size in draw(st.lists(st.integers(1, 4), min_size=1, max_size=max_steps)):
        group = range(len(edges), min(len(edges) + size, max_steps))
        edges.extend(previous for _ in group)
        if len(edges) == max_steps:
            break
        previous = group
    return reduced(edges)


@st.composite
def dags(draw: st.DrawFn, max_steps: int = MAX_STEPS) -> Graph:
    """Any acyclic graphs, those that fall into unconnected parts included."""
    size = draw(st.integers(1, max_steps))
    return reduced([draw(st.sets(st.integers(0, place - 1), max_size=3)) if place else () for place in range(size)])


def graphs(max_steps: int = MAX_STEPS) -> st.SearchStrategy[Graph]:
    """Graphs of all three kinds; the smallest examples are sequences."""
    return st.one_of(sequences(max_steps), stages(max_steps), dags(max_steps))


class Feature(Flag):
    """What a drawn saga may use beside plain steps with compensations, retries and a deadline."""

    WHEN = auto()
    EACH = auto()
    CHILD = auto()
    WAIT = auto()
    PROBE = auto()
    PIVOT = auto()
    DELAY = auto()
    LOCK = auto()
    ENDLESS = auto()
    """Retries without limit."""
    COMPENSATION_DEADLINE = auto()
    CANCEL_SIBLINGS = auto()


EVERYTHING = ~Feature(0)
"""The whole language."""

_KINDS = {StepKind.EACH: Feature.EACH, StepKind.CHILD: Feature.CHILD, StepKind.WAIT: Feature.WAIT}


class Place(Enum):
    """Where a step stands: before the pivot, if there is one, it can be undone, and after it no more."""

    BEFORE = auto()
    PIVOT = auto()
    AFTER = auto()


def retries(max_attempts: int = 3, *, endless: bool = False) -> st.SearchStrategy[Retry]:
    """Policies of one attempt up to ``max_attempts``, with and without waits and jitter.

    ``endless``: policies without limit too.
    """
    waits = [timedelta(0), timedelta(seconds=1), timedelta(seconds=90)]
    return st.sampled_from(
        [
            Retry(attempts=attempts, backoff=wait, jitter=jitter)
            for attempts in [*range(1, max_attempts + 1), *([None] if endless else [])]
            for wait in waits
            for jitter in (False, True)
        ]
    )


@st.composite
def step_definitions(
    draw: st.DrawFn,
    name: str,
    after: Sequence[str] = (),
    ancestors: Sequence[str] = (),
    *,
    features: Feature = EVERYTHING,
    place: Place = Place.BEFORE,
) -> StepDefinition:
    """Steps of this name and place, with any policies.

    Of those that can have a compensation, one in three has none, one in three has one that accepts an unknown outcome,
    and one in three has one that does not.

    Args:
        name: of the step.
        after: the steps that it waits for.
        ancestors: the steps whose outputs it may take.
        features: what it may use.
        place: where it stands.
    """
    kinds = [StepKind.ACTION] * 3 + [kind for kind, feature in _KINDS.items() if feature in features]
    if place is Place.PIVOT:
        kinds = [kind for kind in kinds if kind in (StepKind.ACTION, StepKind.WAIT)]
    kind = draw(st.sampled_from(kinds))
    compensation, accepts_unknown = draw(
        st.sampled_from([(f"undo_{name}", True), (None, True), (f"undo_{name}", False)])
    )
    if place is not Place.BEFORE or kind is StepKind.CHILD:
        compensation, accepts_unknown = None, True

    def has(feature: Feature, *, allowed: bool = True) -> bool:
        return allowed and feature in features and draw(st.sampled_from([False, False, True]))

    policies = retries(endless=Feature.ENDLESS in features)
    wait = timedelta(seconds=draw(st.sampled_from([0.5, 60.0]))) if has(Feature.DELAY) else timedelta(0)
    return StepDefinition(
        name=name,
        action=name,
        kind=kind,
        compensation=compensation,
        accepts_unknown=accepts_unknown,
        takes_output=not accepts_unknown or draw(st.booleans()),
        takes_item=kind is StepKind.EACH,
        probe=f"probe_{name}" if has(Feature.PROBE, allowed=kind is not StepKind.CHILD) else None,
        after=tuple(after),
        inputs=tuple(draw(st.lists(st.sampled_from(ancestors), unique=True, max_size=2))) if ancestors else (),
        when=Derived(method=f"when_{name}") if has(Feature.WHEN, allowed=place is not Place.PIVOT) else None,
        each=Derived(method=f"each_{name}") if kind is StepKind.EACH else None,
        at_once=draw(st.sampled_from([None, 1, 2])) if kind is StepKind.EACH else None,
        child="Drawn" if kind is StepKind.CHILD else None,
        signal=name if kind is StepKind.WAIT else None,
        lock=Derived(method=f"lock_{name}") if has(Feature.LOCK) else None,
        delay=wait,
        pivot=place is Place.PIVOT,
        retry=draw(policies),
        compensation_retry=draw(policies),
        deadline=draw(deadlines()) if kind is StepKind.WAIT else None,
    )


def deadlines() -> st.SearchStrategy[timedelta | None]:
    """No deadline, or one between a second and an hour."""
    return st.none() | st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def saga_definitions(
    draw: st.DrawFn,
    *,
    max_steps: int = MAX_STEPS,
    graph: st.SearchStrategy[Graph] | None = None,
    name: str = "Drawn",
    features: Feature = EVERYTHING,
) -> SagaDefinition:
    """Whole sagas, of 1 to ``max_steps`` steps named ``s0``, ``s1``, … in order.

    Args:
        max_steps: the largest size; ignored if ``graph`` is given.
        graph: the shapes to draw from, ``graphs(max_steps)`` by default.
        name: of the saga.
        features: what it may use; ``Feature(0)`` is for plain steps.
    """
    shape = draw(graph if graph is not None else graphs(max_steps))
    ancestors = _ancestors(shape)
    pivots = [None, *_possible_pivots(ancestors)] if Feature.PIVOT in features else [None]
    pivot = draw(st.sampled_from(pivots))
    steps: list[StepDefinition] = []
    for number, waits in enumerate(shape):
        place = Place.BEFORE
        if pivot is not None:
            place = Place.PIVOT if number == pivot else Place.AFTER if pivot in ancestors[number] else Place.BEFORE
        after = [f"s{other}" for other in waits]
        above = [f"s{other}" for other in sorted(ancestors[number])]
        steps.append(draw(step_definitions(f"s{number}", after, above, features=features, place=place)))
    return SagaDefinition(
        name=name,
        steps=tuple(steps),
        deadline=draw(deadlines()),
        compensation_deadline=draw(deadlines()) if Feature.COMPENSATION_DEADLINE in features else None,
        lock=Derived(template="all") if Feature.LOCK in features and draw(st.booleans()) else None,
        cancel_siblings=Feature.CANCEL_SIBLINGS in features and draw(st.booleans()),
    )


def _ancestors(shape: Graph) -> list[frozenset[int]]:
    ancestors: list[frozenset[int]] = []
    for waits in shape:
        ancestors.append(frozenset(waits).union(*(ancestors[other] for other in waits)))
    return ancestors


def _possible_pivots(ancestors: Sequence[frozenset[int]]) -> list[int]:
    """Where every other step stands before or after it."""
    return [
        place
        for place, above in enumerate(ancestors)
        if len(above) + sum(place in others for others in ancestors) == len(ancestors) - 1
    ]
