"""Every saga against the graph that it was started with: no step of another one, and everything in its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sagaflow.core.definition import SagaDefinition
from sagaflow.core.state import SagaState
from sagaflow.execution import step_key

from .ledger import Effect, Ledger


def strays(ledger: Ledger, graphs: Mapping[str, SagaDefinition], states: Mapping[str, SagaState]) -> Iterator[str]:
    """What was done by another graph than the saga's own, one line each.

    Args:
        ledger: what was done.
        graphs: of each saga that is looked at, by its id.
        states: the sagas as the store has them; of one that is lost others tell.
    """
    calls: dict[str, set[str]] = defaultdict(set)
    for attempt in ledger.attempts():
        calls[attempt.saga_id].add(attempt.key)
    effects = ledger.effects()
    for saga_id, graph in graphs.items():
        if (state := states.get(saga_id)) is None:
            continue
        if (state.fingerprint, set(state.steps)) != (graph.fingerprint, {step.name for step in graph}):
            yield f"{saga_id}: {graph.name} has the steps {', '.join(state.steps)}, which are of another graph"
        for key in sorted(calls[saga_id] - _calls_of(saga_id, graph)):
            yield f"{key}: a call that is not in the graph of its saga"
        yield from _disorder(saga_id, graph, effects)


def _calls_of(saga_id: str, graph: SagaDefinition) -> set[str]:
    """The keys of all calls that this graph has."""
    forward = {step_key(saga_id, step.name) for step in graph}
    return forward | {f"{step_key(saga_id, step.name)}/undo" for step in graph if step.compensation is not None}


def _disorder(saga_id: str, graph: SagaDefinition, effects: Mapping[str, Effect]) -> Iterator[str]:
    """Each step is applied after those that it waits for, and undone before them."""
    for step in graph:
        later = effects.get(step_key(saga_id, step.name))
        for name in step.after:
            earlier = effects.get(step_key(saga_id, name))
            if later is not None and not _is_in_order(earlier, later):
                yield f"{saga_id}: steps {name} and {step.name} were not done, or undone, in the order of their graph"


def _is_in_order(earlier: Effect | None, later: Effect) -> bool:
    if earlier is None:
        return False
    is_applied_after = later.applied is None or (earlier.applied is not None and earlier.applied <= later.applied)
    is_undone_before = earlier.undone is None or (later.undone is not None and later.undone <= earlier.undone)
    return is_applied_after and is_undone_before
