"""What holds for every saga, whatever happens to it in whatever order.

The whole language is held to the invariants; what a ledger knows of it must be exactly as its history says.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagaflow.core.decide import decide, fold, new_saga
from sagaflow.core.definition import SagaDefinition, StepKind
from sagaflow.core.events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    ChildInserted,
    Claimed,
    CompensationRequested,
    Deadlocked,
    Decided,
    Ended,
    Event,
    FamilyEnded,
    FamilyTold,
    Fate,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
    ParentTold,
    PauseRequested,
    Probed,
    Released,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
    Succeeded,
    Ticked,
    Undecidable,
    WorkerLost,
)
from sagaflow.core.state import TERMINAL, Direction, SagaState, SagaStatus
from sagaflow.testing.definitions import saga_definitions
from tests.properties.ledger import KNOWN_TO_LEDGERS
from tests.properties.profile import IS_LONG, runs
from tests.properties.world import MOVES, Kind, Move, World

pytestmark = [pytest.mark.timeout(3_600)] if IS_LONG else []

HISTORIES = st.lists(MOVES, max_size=8) | st.lists(MOVES, min_size=30, max_size=90)
"""Mostly long ones; a counterexample shrinks into the short ones."""
STARTS = st.none() | st.sampled_from([900.0, 1_000.0, 1_060.0])
"""When a saga is to begin that is started at 1000: in the past, now, and in the future."""


def known(max_steps: int = 8) -> st.SearchStrategy[SagaDefinition]:
    """Sagas of which a ledger knows everything."""
    return saga_definitions(max_steps=max_steps, features=KNOWN_TO_LEDGERS)


# ---------------------------------------------------------------------------------------- the whole language


@runs(130)
@given(saga_definitions(max_steps=8), STARTS, HISTORIES, st.booleans())
def test_whatever_happens_no_invariant_is_broken(
    definition: SagaDefinition, start_at: float | None, moves: list[Move], is_child: bool
) -> None:
    World(definition, start_at, is_child=is_child).play(moves)


@runs(130)
@given(saga_definitions(max_steps=2), STARTS, HISTORIES)
def test_whatever_happens_to_a_small_saga_no_invariant_is_broken(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    """Small sagas get further in the same number of moves: into late undos, and operators' acts."""
    World(definition, start_at).play(moves)


@runs(120)
@given(saga_definitions(max_steps=8), STARTS, HISTORIES, HISTORIES)
def test_when_faults_stop_every_saga_comes_to_an_end(
    definition: SagaDefinition, start_at: float | None, moves: list[Move], endings: list[Move]
) -> None:
    world = World(definition, start_at)
    world.play(moves)
    world.heal(endings)
    assert world.state.status.is_terminal


@runs(80)
@given(saga_definitions(max_steps=6), HISTORIES, HISTORIES)
def test_an_operator_brings_every_failed_saga_to_another_end(
    definition: SagaDefinition, moves: list[Move], endings: list[Move]
) -> None:
    world = World(definition)
    world.play(moves)
    world.heal(endings)
    was = world.state
    if was.status is SagaStatus.FAILED:
        world.operate()
        assert world.state.status is (SagaStatus.COMPLETED if was.committed else SagaStatus.COMPENSATED)
        assert len(world.state.acts) > len(was.acts)


@runs(60)
@given(saga_definitions())
def test_a_saga_without_trouble_completes_and_runs_each_step_once(definition: SagaDefinition) -> None:
    world = World(replace(definition, deadline=None))
    world.heal()
    assert world.state.status is SagaStatus.COMPLETED
    lists = {step.name for step in definition if step.kind is StepKind.EACH}
    attempts = {name: step.forward.attempt for name, step in world.state.steps.items()}
    assert attempts == {name: 0 if name in lists else 1 for name in attempts}


@runs(60)
@given(saga_definitions(max_steps=6), HISTORIES, HISTORIES)
def test_a_completed_saga_without_a_pivot_can_be_undone(
    definition: SagaDefinition, moves: list[Move], endings: list[Move]
) -> None:
    world = World(replace(definition, deadline=None))
    world.heal()
    world.play([Move(Kind.COMPENSATE, 0, 0, held=False), *moves])
    world.heal(endings)
    if definition.pivot is None:
        assert world.state.status is not SagaStatus.COMPLETED


# ---------------------------------------------------------------------------------------- what a ledger knows


@runs(100)
@given(known(), STARTS, HISTORIES)
def test_whatever_happens_the_saga_looks_as_its_history_says(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    World(definition, start_at, told=True).play(moves)


@runs(100)
@given(known(2), STARTS, HISTORIES)
def test_whatever_happens_to_a_small_saga_it_looks_as_its_history_says(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    """Small sagas get further in the same number of moves: into late undos and exhausted compensations."""
    World(definition, start_at, told=True).play(moves)


@runs(60)
@given(known(), STARTS, HISTORIES, HISTORIES)
def test_to_the_end_of_all_faults_the_saga_looks_as_its_history_says(
    definition: SagaDefinition, start_at: float | None, moves: list[Move], endings: list[Move]
) -> None:
    world = World(definition, start_at, told=True)
    world.play(moves)
    world.heal(endings)


@runs(60)
@given(known(), HISTORIES, HISTORIES)
def test_a_completed_saga_is_undone_in_the_reverse_of_its_graph(
    definition: SagaDefinition, moves: list[Move], endings: list[Move]
) -> None:
    """The order is the ledger's: it sees every undo that is open, and every step that this waits for."""
    world = World(definition, told=True)
    world.heal()
    world.play([Move(Kind.COMPENSATE, 0, 0, held=False), *moves])
    world.heal(endings)


@runs(60)
@given(known(6), HISTORIES)
def test_after_the_end_nothing_but_a_late_output_or_a_request_changes_a_saga(
    definition: SagaDefinition, moves: list[Move]
) -> None:
    world = World(definition, told=True)
    world.heal(moves)
    ended = world.state
    world.play(move for move in moves if move.kind not in (Kind.COMPENSATE, Kind.ZOMBIE, Kind.NONSENSE))
    assert world.state is ended


# ---------------------------------------------------------------------------------------- any events at all


def events_about(names: list[str]) -> st.SearchStrategy[Event]:
    """Anything at all, about these steps and others, in no order."""
    steps = st.sampled_from([*names, f"{names[0]}[0]", "", "nobody"])
    directions = st.sampled_from(Direction)
    attempts = st.integers(-(2**70), 2**70) | st.integers(0, 3)
    texts = st.text(max_size=3)
    payloads = st.none() | texts
    keys = st.sampled_from(["k0", "k1"])
    terms = st.integers(0, 2)
    times = st.floats(allow_nan=False)
    waits = st.floats(0, allow_nan=False)
    lists = st.none() | st.lists(texts, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Decided, steps, times, st.just(True), lists, st.none() | keys),
        st.builds(Decided, steps, times, st.just(False)),
        st.builds(Undecidable, steps, texts, times),
        st.builds(Claimed, steps, directions, texts, times),
        st.builds(Succeeded, steps, st.just(Direction.FORWARD), attempts, texts, times),
        st.builds(Succeeded, steps, st.just(Direction.UNDO), attempts, st.none(), times),
        st.builds(Succeeded, steps, st.just(Direction.PROBE), attempts, texts, times),
        st.builds(Ended, steps, directions, attempts, st.sampled_from(Fate), texts, times),
        st.builds(Ended, steps, directions, attempts, st.just(Fate.RETRYABLE), texts, times, waits),
        st.builds(Probed, steps, attempts, st.just(True), times, texts),
        st.builds(Probed, steps, attempts, st.just(False), times),
        st.builds(Probed, steps, attempts, st.none(), times, after=st.none() | waits),
        st.builds(Released, steps, directions, attempts, times),
        st.builds(WorkerLost, texts, times),
        st.builds(Ticked, times),
        st.builds(ChildInserted, steps, times),
        st.builds(ChildAsked, steps, times),
        st.builds(ChildEnded, steps, st.sampled_from(sorted(TERMINAL)), times, payloads, texts),
        st.builds(Signalled, steps, texts, times, texts, st.none()),
        st.builds(Signalled, steps, texts, times, st.none(), texts),
        st.builds(LockHeld, keys, terms, times),
        st.builds(LockBlocked, keys, terms, texts, times),
        st.builds(LockReleased, keys, terms, times),
        st.builds(LockFreed, keys, times),
        st.builds(Deadlocked, keys, terms, texts, times),
        st.builds(ParentTold, times),
        st.builds(FamilyTold, times, times),
        st.builds(FamilyEnded, times, times),
        st.builds(CompensationRequested, texts, times, texts),
        st.builds(CancellationRequested, texts, times, texts),
        st.builds(PauseRequested, texts, texts, times),
        st.builds(ResumeRequested, texts, texts, times),
        st.builds(RetryRequested, texts, texts, times, st.none() | steps, st.booleans()),
        st.builds(SkipRequested, texts, texts, times, steps, directions, payloads),
        st.builds(ResolutionRequested, texts, texts, times, steps, st.just(Resolution.HAPPENED), texts),
        st.builds(ResolutionRequested, texts, texts, times, steps, st.sampled_from(list(Resolution)[1:])),
    )


@runs(100)
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
    sealed = {"revision": state.revision, "updated_at": state.updated_at, "digest": state.digest}
    assert msgspec.structs.replace(folded, **sealed) == state
    assert folded.revision == first.revision + (state is not first)


@runs(60)
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
