"""What holds for every saga, whatever happens to it in whatever order."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sagaflow.core.decide import decide, fold, new_saga
from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import (
    CancellationRequested,
    Claimed,
    CompensationRequested,
    Ended,
    Event,
    Fate,
    Released,
    Succeeded,
    Ticked,
    WorkerLost,
)
from sagaflow.core.state import Direction, SagaState, SagaStatus
from sagaflow.testing.definitions import saga_definitions
from tests.properties.world import MOVES, Kind, Move, World

HISTORIES = st.lists(MOVES, max_size=8) | st.lists(MOVES, min_size=30, max_size=90)
"""Mostly long ones; a counterexample shrinks into the short ones."""
STARTS = st.none() | st.sampled_from([900.0, 1_000.0, 1_060.0])
"""When a saga is to begin that is started at 1000: in the past, now, and in the future."""


@given(saga_definitions(), STARTS, HISTORIES)
def test_whatever_happens_the_saga_looks_as_its_history_says(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    World(definition, start_at).play(moves)


@given(saga_definitions(max_steps=2), STARTS, HISTORIES)
def test_whatever_happens_to_a_small_saga_it_looks_as_its_history_says(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    """Small sagas get further in the same number of moves: into late undos and exhausted compensations."""
    World(definition, start_at).play(moves)


@given(saga_definitions(), STARTS, HISTORIES, HISTORIES)
def test_when_faults_stop_every_saga_comes_to_an_end(
    definition: SagaDefinition, start_at: float | None, moves: list[Move], endings: list[Move]
) -> None:
    world = World(definition, start_at)
    world.play(moves)
    world.heal(endings)
    assert world.state.status.is_terminal


@given(saga_definitions())
def test_a_saga_without_trouble_completes_and_runs_each_step_once(definition: SagaDefinition) -> None:
    world = World(definition)
    world.heal()
    assert world.state.status is SagaStatus.COMPLETED
    assert {step.forward.attempt for step in world.state.steps.values()} == {1}


@given(saga_definitions(), HISTORIES, HISTORIES)
def test_a_completed_saga_is_undone_in_the_reverse_of_its_graph(
    definition: SagaDefinition, moves: list[Move], endings: list[Move]
) -> None:
    """The order is the ledger's: it sees every undo that is open, and every step that this waits for."""
    world = World(definition)
    world.heal()
    world.play([Move(Kind.COMPENSATE, 0, 0, held=False), *moves])
    world.heal(endings)
    assert world.state.status in (SagaStatus.COMPENSATED, SagaStatus.FAILED)


@given(saga_definitions(max_steps=6), HISTORIES)
def test_after_the_end_nothing_but_a_late_output_or_a_request_changes_a_saga(
    definition: SagaDefinition, moves: list[Move]
) -> None:
    world = World(definition)
    world.heal(moves)
    ended = world.state
    world.play(move for move in moves if move.kind not in (Kind.COMPENSATE, Kind.ZOMBIE, Kind.NONSENSE))
    assert world.state is ended


def events_about(names: list[str]) -> st.SearchStrategy[Event]:
    """Anything at all, about these steps and others, in no order."""
    steps = st.sampled_from([*names, "", "nobody"])
    directions = st.sampled_from(Direction)
    attempts = st.integers(-(2**70), 2**70) | st.integers(0, 3)
    texts = st.text(max_size=3)
    times = st.floats(allow_nan=False)
    waits = st.floats(0, allow_nan=False)
    return st.one_of(
        st.builds(Claimed, steps, directions, texts, times),
        st.builds(Succeeded, steps, st.just(Direction.FORWARD), attempts, texts, times),
        st.builds(Succeeded, steps, st.just(Direction.UNDO), attempts, st.none(), times),
        st.builds(Ended, steps, directions, attempts, st.sampled_from(Fate), texts, times),
        st.builds(Ended, steps, directions, attempts, st.just(Fate.RETRYABLE), texts, times, waits),
        st.builds(Released, steps, directions, attempts, times),
        st.builds(WorkerLost, texts, times),
        st.builds(Ticked, times),
        st.builds(CompensationRequested, texts, times),
        st.builds(CancellationRequested, texts, times),
    )


@given(saga_definitions(max_steps=4), st.data())
def test_decide_never_raises_and_a_fold_is_its_events_one_by_one(
    definition: SagaDefinition, data: st.DataObject
) -> None:
    events = data.draw(st.lists(events_about([step.name for step in definition]), max_size=30))
    first = state = new_saga(definition, "saga-1", "{}", 0.0)
    for event in events:
        state = decide(definition, state, event)
    folded = fold(definition, first, events)
    assert (folded is first) is (state is first)
    assert (folded.status, folded.steps) == (state.status, state.steps)
    assert folded.revision == first.revision + (state is not first)


@given(saga_definitions(max_steps=4), HISTORIES)
def test_a_saga_that_was_stored_and_read_again_goes_on_as_if_it_had_not_been(
    definition: SagaDefinition, moves: list[Move]
) -> None:
    world = World(definition)
    world.play(moves)
    read = msgspec.json.decode(msgspec.json.encode(world.state), type=SagaState)
    assert read == world.state
    for event in world.log:
        assert decide(definition, read, event) == decide(definition, world.state, event)
