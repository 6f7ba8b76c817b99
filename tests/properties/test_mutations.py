"""The properties see what they are there for: a core that is wrong in one place is found out, in a few runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sagaflow.core import attempts, decide, elsewhere, forward, tracks, undo, unfold, work
from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import ChildAsked, Event
from sagaflow.core.retry import Retry
from sagaflow.core.state import SagaState, StepState, StepStatus
from sagaflow.testing.definitions import Feature, saga_definitions
from tests.properties.test_decide import HISTORIES
from tests.properties.world import Kind, Move, World

PLAIN = Feature(0)
WORK = (Kind.CLAIM, Kind.CLAIM, Kind.SUCCEED, Kind.END, Kind.LOSE, Kind.DECIDE, Kind.WAIT)

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutation:
    """A fault in the core.

    Attributes:
        what: in words.
        patch: brings it about.
        features: what the sagas use that show it.
        told: whether it takes a ledger to see it.
        max_steps: the smaller, the further sagas get.
        kinds: of moves that bring it to light; any, if none are named.
    """

    what: str
    patch: Patch
    features: Feature = PLAIN
    told: bool = False
    max_steps: int = 4
    kinds: tuple[Kind, ...] = ()

    @property
    def histories(self) -> st.SearchStrategy[list[Move]]:
        if not self.kinds:
            return HISTORIES
        moves = st.builds(Move, st.sampled_from(self.kinds), st.integers(0, 59), st.integers(0, 11), st.just(False))
        return st.lists(moves, min_size=4, max_size=30)


def constant(value: object, name: str, *modules: Any) -> Patch:
    """The function ``name`` always returns ``value``, wherever it is used."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for module in modules:
            monkeypatch.setattr(module, name, lambda *_, **__: value)

    return patch


def unchanged(name: str, place: int, *modules: Any) -> Patch:
    """The function ``name`` returns its argument at ``place``."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        for module in modules:
            monkeypatch.setattr(module, name, lambda *given, **_: given[place])

    return patch


def a_pivot_does_not_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = attempts.claimed

    def claimed(definition: SagaDefinition, state: SagaState, event: Any) -> SagaState:
        after = real(definition, state, event)
        return after if after is state else replace(after, committed=state.committed)

    monkeypatch.setattr(decide, "claimed", claimed)


def bounds_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfold.Places, "take", lambda *_: True)


def a_skipped_step_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_DONE", {StepStatus.COMPLETED})


def a_pause_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decide._happened

    def happened(definition: SagaDefinition, state: SagaState, event: Event) -> SagaState:
        if not state.paused:
            return real(definition, state, event)
        running = replace(state, paused=False)
        after = real(definition, running, event)
        return state if after is running else replace(after, paused=True)

    monkeypatch.setattr(decide, "_happened", happened)


def what_is_unclean_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tracks.over

    def over(declared: Any, step: StepState, at: float) -> StepState:
        return real(declared, replace(step, unclean=False), at)

    monkeypatch.setattr(attempts, "over", over)


def a_child_is_held_to_be_undone_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = elsewhere.child_asked

    def child_asked(state: SagaState, event: ChildAsked) -> SagaState:
        after = real(state, event)
        if after is state:
            return state
        return after.with_step(event.step, replace(after.steps[event.step], status=StepStatus.COMPENSATED, undone=True))

    monkeypatch.setattr(decide, "child_asked", child_asked)


def retries_have_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retry, "allows", lambda *_: True)


MUTATIONS = [
    Mutation("an undo does not wait for dependents", constant(set[str](), "_held_back", undo)),
    Mutation("a pivot does not commit", a_pivot_does_not_commit, Feature.PIVOT),
    Mutation(
        "probes are left out",
        constant(False, "can_be_probed", attempts, tracks, undo),
        Feature.PROBE,
        max_steps=2,
        kinds=WORK,
    ),
    Mutation("locks are not waited for", constant(True, "gate_is_open", attempts, work), Feature.LOCK),
    Mutation("at_once is ignored", bounds_are_not_counted, Feature.EACH),
    Mutation("late outputs are dropped", unchanged("keep_late", 1, attempts, elsewhere)),
    Mutation("a skipped step is not done", a_skipped_step_is_not_done, Feature.WHEN, max_steps=2, kinds=WORK),
    Mutation("a pause is ignored", a_pause_is_ignored, kinds=(*WORK, Kind.PAUSE)),
    Mutation("what is unclean is forgotten", what_is_unclean_is_forgotten, kinds=WORK),
    Mutation("a child is undone when it is asked", a_child_is_held_to_be_undone_when_it_is_asked, Feature.CHILD),
    Mutation("the turn back stops nothing", unchanged("stop_forward", 0, decide)),
    Mutation(
        "an early answer is forgotten",
        unchanged("heard_too_late", 1, decide),
        Feature.WAIT,
        max_steps=1,
        kinds=(Kind.SIGNAL, Kind.CANCEL, Kind.CLAIM, Kind.END),
    ),
    Mutation("a deadline never passes", constant(False, "_passed", decide), told=True, max_steps=2, kinds=WORK),
    Mutation("retries have no end", retries_have_no_end, told=True, max_steps=2, kinds=WORK),
    Mutation("nothing is asked for by signals", unchanged("signalled", 1, decide), Feature.WAIT),
]


def is_found_out(mutation: Mutation, examples: int = 600) -> bool:
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(saga_definitions(max_steps=mutation.max_steps, features=mutation.features), mutation.histories)
    def runs(definition: SagaDefinition, moves: list[Move]) -> None:
        world = World(definition, told=mutation.told)
        world.play(moves)
        world.heal()
        world.play([Move(Kind.COMPENSATE, 0, 0, held=False), *moves])
        world.heal()

    try:
        runs()
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what.replace(" ", "-"))
def test_a_core_with_a_fault_is_found_out(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.patch(monkeypatch)
    assert is_found_out(mutation)


def test_the_core_as_it_is_stands_the_same_runs() -> None:
    assert not is_found_out(Mutation("nothing is wrong", lambda _: None), examples=50)
