"""Which live sagas a new version of a class would leave behind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from ..core.definition import StepDefinition
from ..core.state import Direction, SagaState, SagaStatus, StepStatus
from ..core.unfold import element_name
from ..errors import DefinitionError
from ..ports import Graph, Query, Store
from .bindings import Bindings
from .reports import Stranded

_LIVE = (SagaStatus.SCHEDULED, SagaStatus.STARTED, SagaStatus.COMPENSATING, SagaStatus.FAILED)
_TO_UNDO = frozenset(StepStatus) - {StepStatus.PENDING, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.COMPENSATED}
_PAGE = 200


async def find_stranded(store: Store, bindings: Bindings, limit: int) -> list[Stranded]:
    """The sagas of these classes that are not at a good end, and need what the classes do not have any more.

    Raises:
        StoreUnavailable
    """
    await bindings.look()
    graphs = {graph.fingerprint: graph for graph in await store.graphs([*bindings.classes])}
    found: list[Stranded] = []
    async for state in _live(store, tuple(bindings.classes)):
        found += _of(bindings, graphs, state)
    found.sort(key=lambda one: one.created_at)
    return found[:limit]


async def _live(store: Store, names: tuple[str, ...]) -> AsyncGenerator[SagaState, None]:
    cursor: str | None = None
    while names:
        page = await store.find(Query(sagas=names, statuses=_LIVE, limit=_PAGE, cursor=cursor))
        for state in page.sagas:
            yield state
        if page.cursor is None:
            return
        cursor = page.cursor


def _of(bindings: Bindings, graphs: dict[str, Graph], state: SagaState) -> Iterator[Stranded]:
    binding = bindings.known(state)
    if binding is None and state.fingerprint in graphs:
        try:
            binding = bindings.read(graphs[state.fingerprint])
        except DefinitionError as error:
            yield Stranded(state.id, state.saga, "", str(error), state.created_at)
            return
    if binding is None:
        why = "its graph is not in the store: it was started by a version of SagaFlow that kept none"
        yield Stranded(state.id, state.saga, "", why, state.created_at)
        return
    needed = {
        (step, why): None
        for (step, direction), why in binding.lacking.items()
        if any(_may_need(binding.definition[step], state, status, direction) for status in _statuses(state, step))
    }
    for step, why in needed:
        yield Stranded(state.id, state.saga, step, why, state.created_at)


def _statuses(state: SagaState, step: str) -> set[StepStatus]:
    """Where a step stands, or its elements."""
    size = state.steps[step].size
    names = [step] if size is None else [element_name(step, index) for index in range(size)]
    return {state.steps[name].status for name in names}


def _may_need(step: StepDefinition, state: SagaState, status: StepStatus, direction: Direction) -> bool:
    goes_forward = state.status in (SagaStatus.SCHEDULED, SagaStatus.STARTED) or state.committed
    to_do = goes_forward and status in (StepStatus.PENDING, StepStatus.STARTED)
    match direction:
        case Direction.UNDO:
            return step.is_undoable and not state.committed and (to_do or status in _TO_UNDO)
        case Direction.PROBE:
            return step.probe is not None and (to_do or status in (StepStatus.STARTED, StepStatus.UNKNOWN))
        case Direction.FORWARD:
            return to_do or (state.committed and status in (StepStatus.FAILED, StepStatus.UNKNOWN))
