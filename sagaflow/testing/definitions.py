"""Hypothesis strategies for compiled sagas of every shape: something to test a runner, a store or a drawing with.

    from hypothesis import given
    from .definitions import saga_definitions

    @given(saga_definitions(max_steps=6))
    def test_every_saga_can_be_drawn(definition): ...

The definitions are what a compiler would have made: their steps stand in order, no dependency is implied by another,
and a compensation that does not accept an unknown outcome takes an output. They are not tied to classes, so nothing
can be called by them; ``action`` and ``compensation`` are names.

Needs the ``hypothesis`` package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from hypothesis import strategies as st

from ..core.definition import SagaDefinition, StepDefinition
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


def retries(max_attempts: int = 3) -> st.SearchStrategy[Retry]:
    """Policies of one attempt up to ``max_attempts``, with and without waits and jitter."""
    waits = [timedelta(0), timedelta(seconds=1), timedelta(seconds=90)]
    return st.sampled_from(
        [
            Retry(attempts=attempts, backoff=wait, jitter=jitter)
            for attempts in range(1, max_attempts + 1)
            for wait in waits
            for jitter in (False, True)
        ]
    )


@st.composite
def step_definitions(
    draw: st.DrawFn, name: str, after: Sequence[str] = (), ancestors: Sequence[str] = ()
) -> StepDefinition:
    """Steps of this name and place, with any policies.

    One in three has no compensation, one in three has one that accepts an unknown outcome, and one in three has one
    that does not. ``ancestors`` are the steps whose outputs it may take.
    """
    compensation, accepts_unknown = draw(
        st.sampled_from([(f"undo_{name}", True), (None, True), (f"undo_{name}", False)])
    )
    return StepDefinition(
        name=name,
        action=name,
        compensation=compensation,
        accepts_unknown=accepts_unknown,
        takes_output=not accepts_unknown or draw(st.booleans()),
        after=tuple(after),
        inputs=tuple(draw(st.lists(st.sampled_from(ancestors), unique=True, max_size=2))) if ancestors else (),
        retry=draw(retries()),
        compensation_retry=draw(retries()),
    )


def deadlines() -> st.SearchStrategy[timedelta | None]:
    """No deadline, or one between a second and an hour."""
    return st.none() | st.integers(1, 3600).map(lambda seconds: timedelta(seconds=seconds))


@st.composite
def saga_definitions(
    draw: st.DrawFn, *, max_steps: int = MAX_STEPS, graph: st.SearchStrategy[Graph] | None = None, name: str = "Drawn"
) -> SagaDefinition:
    """Whole sagas, of 1 to ``max_steps`` steps named ``s0``, ``s1``, … in order.

    Args:
        max_steps: the largest size; ignored if ``graph`` is given.
        graph: the shapes to draw from, ``graphs(max_steps)`` by default.
        name: of the saga.
    """
    shape = draw(graph if graph is not None else graphs(max_steps))
    ancestors: list[frozenset[int]] = []
    steps: list[StepDefinition] = []
    for place, waits in enumerate(shape):
        ancestors.append(frozenset(waits).union(*(ancestors[other] for other in waits)))
        after = [f"s{other}" for other in waits]
        steps.append(draw(step_definitions(f"s{place}", after, [f"s{other}" for other in sorted(ancestors[place])])))
    return SagaDefinition(name=name, steps=tuple(steps), deadline=draw(deadlines()))
