"""Which live sagas need what today's class does not have any more."""

from __future__ import annotations

import pytest

from sagaflow import Saga, SagaStatus, step
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.state import SagaState, StepState, StepStatus
from sagaflow.core.versions import to_text
from sagaflow.engine.binding import Binding
from sagaflow.engine.bindings import Bindings
from sagaflow.engine.clock import StoreClock
from sagaflow.engine.machine import Machine
from sagaflow.engine.recipes import Library
from sagaflow.engine.stranded import find_stranded
from sagaflow.ports import Graph
from sagaflow.probing import Happened
from sagaflow.testing.store_states import new_saga


class Old(Saga[str], name="order"):
    @step(compensate="undo")
    async def gone(self, text: str) -> None: ...

    async def undo(self, text: str) -> None: ...

    @step(compensate="drop", probe="look", each=list)
    async def some(self, text: str, letter: str) -> None: ...

    async def drop(self, text: str, letter: str) -> None: ...

    async def look(self, text: str, letter: str) -> Happened[None]:
        return Happened(None)


class New(Saga[str], name="order"):
    @step(each=list)
    async def some(self, text: str, letter: str) -> None: ...


DONE, OPEN, UNDONE = StepStatus.COMPLETED, StepStatus.PENDING, StepStatus.COMPENSATED
COMPENSATING, FAILED, STARTED = SagaStatus.COMPENSATING, SagaStatus.FAILED, SagaStatus.STARTED


def a_saga(status: SagaStatus, gone: StepStatus, some: StepStatus, *, committed: bool = False) -> SagaState:
    steps = {"gone": StepState(gone), "some": StepState(some)}
    fingerprint = Old.definition.fingerprint
    return (
        new_saga("s-1", saga="order", fingerprint=fingerprint, status=status, committed=committed)
        .with_step("gone", steps["gone"])
        .with_step("some", steps["some"])
    )


async def lines(*states: SagaState, keep: bool = True, limit: int = 100) -> list[tuple[str, str]]:
    """Each line as the step, and what it lacks in a word."""
    store = MemoryStore()
    if keep:
        await store.keep_graph(Graph(Old.definition.fingerprint, "order", to_text(Old.definition)))
    for state in states:
        await store.insert(state, None)
    bindings = Bindings({"order": Binding.of(New, JsonCodec())}, Library([]), store, JsonCodec(), StoreClock(Machine()))
    words = ("no step", "no compensation", "no probe", "not in the store")
    return [
        (one.step, next(word for word in words if word in one.why))
        for one in await find_stranded(store, bindings, limit)
    ]


GONE = ("gone", "no step")
UNDO, PROBE = ("some", "no compensation"), ("some", "no probe")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (a_saga(STARTED, OPEN, OPEN), [GONE, UNDO, PROBE]),
        (a_saga(SagaStatus.SCHEDULED, OPEN, OPEN), [GONE, UNDO, PROBE]),
        (a_saga(STARTED, DONE, OPEN), [GONE, UNDO, PROBE]),
        (a_saga(STARTED, DONE, OPEN, committed=True), [PROBE]),
        (a_saga(COMPENSATING, DONE, OPEN), [GONE]),
        (a_saga(COMPENSATING, DONE, UNDONE), [GONE]),
        (a_saga(COMPENSATING, UNDONE, UNDONE), []),
        (a_saga(COMPENSATING, StepStatus.FAILED, StepStatus.SKIPPED), []),
        (a_saga(COMPENSATING, UNDONE, StepStatus.UNKNOWN), [UNDO, PROBE]),
        (a_saga(COMPENSATING, UNDONE, StepStatus.COMPENSATING), [UNDO]),
        (a_saga(FAILED, StepStatus.COMPENSATION_FAILED, UNDONE), [GONE]),
        (a_saga(FAILED, StepStatus.FAILED, DONE, committed=True), [GONE]),
        (a_saga(SagaStatus.COMPLETED, DONE, DONE), []),
        (a_saga(SagaStatus.COMPENSATED, UNDONE, UNDONE), []),
    ],
)
async def test_a_line_for_each_step_that_may_be_needed(state: SagaState, expected: list[tuple[str, str]]) -> None:
    assert await lines(state) == expected


@pytest.mark.parametrize(("last", "expected"), [(DONE, [UNDO]), (UNDONE, [])])
async def test_of_a_list_its_elements_count(last: StepStatus, expected: list[tuple[str, str]]) -> None:
    state = a_saga(COMPENSATING, UNDONE, DONE).with_step("some", StepState(DONE, size=2))
    state = state.with_step("some[0]", StepState(UNDONE)).with_step("some[1]", StepState(last))
    assert await lines(state) == expected


async def test_a_saga_whose_graph_was_never_kept_is_stranded_wholly() -> None:
    assert await lines(a_saga(STARTED, DONE, OPEN), keep=False) == [("", "not in the store")]


async def test_there_are_as_many_lines_as_are_wanted() -> None:
    assert await lines(a_saga(STARTED, OPEN, OPEN), limit=2) == [GONE, UNDO]
