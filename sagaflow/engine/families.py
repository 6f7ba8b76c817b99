"""The records of child sagas, for those who look at a saga or take the output of a step that another saga did."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..core.state import SagaState
from ..execution import step_key
from ..ports import Store
from ..record import Family, SagaRecord

_DEEPEST = 32  # levels; whatever is deeper is not shown

Record = Callable[[SagaState, Family], SagaRecord[Any]]
"""What makes the record of a state."""


def child_id(state: SagaState, step: str) -> str:
    """The id of the child saga of a step."""
    return step_key(state.id, step, state.steps[step].generation)


def children_of(state: SagaState) -> list[str]:
    """The ids of the child sagas that exist."""
    return [child_id(state, name) for name, step in state.steps.items() if step.linked]


def children_ever_of(state: SagaState) -> list[str]:
    """The ids of all child sagas that may exist, those included whose place others have taken."""
    return [
        step_key(state.id, name, generation)
        for name, step in state.steps.items()
        for generation in range(step.generation + 1)
        if generation < step.generation or step.linked
    ]


async def load_family(store: Store, states: Iterable[SagaState], record: Record) -> Family:
    """The records of all child sagas of these, of theirs, and so on: one read for each level.

    Raises:
        StoreUnavailable
    """
    family: dict[str, SagaRecord[Any]] = {}
    wanted = [saga_id for state in states for saga_id in children_of(state)]
    for _ in range(_DEEPEST):
        if not wanted:
            break
        found = [stored.state for stored in (await store.load(wanted)).values()]
        family |= {state.id: record(state, family) for state in found}
        wanted = [saga_id for state in found for saga_id in children_of(state) if saga_id not in family]
    return family
