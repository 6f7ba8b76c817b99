"""What is explained and planned is what the core then really does, in whatever order things happen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.decide import decide
from sagaflow.core.definition import SagaDefinition, StepDefinition, StepKind
from sagaflow.core.events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    Claimed,
    CompensationRequested,
    Ended,
    Event,
    Fate,
    Ticked,
)
from sagaflow.core.state import Direction, SagaState, SagaStatus, StepStatus
from sagaflow.core.typecheck import SagaTypes
from sagaflow.core.work import open_work
from sagaflow.record import SagaRecord
from sagaflow.testing.definitions import saga_definitions
from sagaflow.views import as_builtins, dot, mermaid, saga_data, svg, waits
from sagaflow.views.explaining import explain
from sagaflow.views.planning import Act, plan_undo
from sagaflow.views.rehearsing import Wave
from tests.properties.graph import graph_of
from tests.properties.profile import IS_LONG, runs
from tests.properties.world import MOVES, Handler, Kind, Move, World

pytestmark = [pytest.mark.timeout(3_600)] if IS_LONG else []

CHOICES = st.lists(st.integers(0, 11), min_size=1, max_size=40)
HISTORIES = st.lists(MOVES, max_size=8) | st.lists(MOVES, min_size=20, max_size=60)
ACTS: st.SearchStrategy[Act] = st.sampled_from(["compensate", "cancel"])
REQUESTS: dict[Act, type[CompensationRequested | CancellationRequested]] = {
    "compensate": CompensationRequested,
    "cancel": CancellationRequested,
}


def base(name: str) -> str:
    """The step that an element belongs to."""
    return name.partition("[")[0]


def undos_in(events: list[Event]) -> list[str]:
    """The steps whose undo begins, in order."""
    return [
        event.step
        for event in events
        if isinstance(event, ChildAsked) or (isinstance(event, Claimed) and event.direction is Direction.UNDO)
    ]


def check_order(definition: SagaDefinition, state: SagaState, waves: tuple[Wave, ...], *, whole: bool) -> None:
    """What depends on a step, directly or not, is undone in an earlier wave."""
    _, below = graph_of(definition, state)
    places: dict[str, list[int]] = {}
    for number, wave in enumerate(waves):
        for undo in wave:
            places.setdefault(undo.step, []).append(number)
    for step, dependents in below.items():
        after = {base(name) for name in dependents} - {base(step)} if whole else dependents
        for dependent in after & places.keys() if (base(step) if whole else step) in places else ():
            assert places[dependent][-1] < places[base(step) if whole else step][0]


# ---------------------------------------------------------------------------------------- explaining


class Mishap(World):
    """A world in which all goes well, in an order that is drawn, but for one step.

    Args:
        fate: how its attempt ends; None: it ends well, but the saga is cancelled while it runs.
    """

    def __init__(self, definition: SagaDefinition, step: StepDefinition, fate: Fate | None, choices: list[int]) -> None:
        super().__init__(definition)
        self._step = step
        self._name = f"{step.name}[1]" if step.kind is StepKind.EACH else step.name
        self._fate = fate
        self._choices = choices

    def run(self) -> None:
        for turn in range(100 + 50 * len(self.definition.steps)):
            if self.state.status.is_terminal:
                return
            possible = list(self._possible())
            self.held = [possible[self._choices[turn % len(self._choices)] % len(possible)]]
            self.flush()
        raise AssertionError("it never ends")

    def _possible(self) -> Iterator[Event]:
        for handler in self.running:
            if self._goes_well(handler):
                yield self._ending(handler, [])
            elif self._may_fail():
                yield self._trouble(handler)
        for event in self._answers():
            if not isinstance(event, ChildEnded) or event.step != self._name:
                yield event
            elif self._may_fail():
                yield self._child_fails(event)
        if open_work(self.definition, self.state):
            yield from (event for event in self._begin() if not isinstance(event, Ticked))

    def _goes_well(self, handler: Handler) -> bool:
        if handler.step != self._name or handler.direction is Direction.UNDO:
            return True
        if self._fate is None:
            return self.state.status is not SagaStatus.STARTED
        return self._step.kind is StepKind.CHILD  # it is the child that fails

    def _trouble(self, handler: Handler) -> Event:
        if self._fate is None:
            return CancellationRequested("cancelled", self.now)
        return Ended(handler.step, handler.direction, handler.attempt, self._fate, "", self.now)

    def _child_fails(self, event: ChildEnded) -> ChildEnded:
        if self._fate is None:
            return event
        status = SagaStatus.COMPENSATED if self._fate is Fate.ABORTED else SagaStatus.FAILED
        return ChildEnded(event.step, status, self.now, child=event.child)

    def _may_fail(self) -> bool:
        """Whether no other step would be cut off whose compensation does not accept that nobody knows of it."""
        others = (step for step in self.definition if step.kind is StepKind.WAIT and step.name != self._name)
        return not any(self.state.steps[step.name].status is StepStatus.STARTED for step in others)


@runs(150)
@given(saga_definitions(max_steps=6), st.integers(0, 5), st.sampled_from([Fate.ABORTED, Fate.FINAL, None]), CHOICES)
def test_what_is_explained_of_a_step_is_what_comes_of_it(
    definition: SagaDefinition, which: int, fate: Fate | None, choices: list[int]
) -> None:
    timeless = replace(definition, deadline=None, compensation_deadline=None)
    step = timeless.steps[which % len(timeless.steps)]
    explained = next(one for one in explain(timeless).steps if one.step == step.name)
    consequence = {Fate.ABORTED: explained.failed, Fate.FINAL: explained.unknown, None: explained.cancelled}[fate]
    assume(consequence is not None)
    assert consequence is not None
    world = Mishap(timeless, step, fate, choices)
    world.run()

    undone = {base(name) for name in undos_in(world.log) if world.state.steps[name].status is StepStatus.COMPENSATED}
    assert world.state.status is consequence.ends
    assert undone <= set(consequence.undone)
    assert undone >= {undo.step for wave in consequence.waves for undo in wave if not undo.if_done}
    check_order(timeless, world.state, consequence.waves, whole=True)
    assert undone.isdisjoint(one.step for one in consequence.stays if base(one.step) != step.name)


@runs(50)
@given(saga_definitions(max_steps=6))
def test_every_step_of_every_saga_is_explained(definition: SagaDefinition) -> None:
    explanation = explain(definition)
    assert [one.step for one in explanation.steps] == [step.name for step in definition]
    for one in explanation.steps:
        for consequence in filter(None, (one.failed, one.unknown, one.cancelled)):
            assert consequence.ends in (SagaStatus.COMPENSATED, SagaStatus.FAILED)
            assert {*consequence.undone, *(kept.step for kept in consequence.stays)} >= {
                step.name for step in definition
            }


# ---------------------------------------------------------------------------------------- showing


@runs(80)
@given(saga_definitions(max_steps=6), HISTORIES, st.booleans())
def test_whatever_has_happened_to_a_saga_it_can_be_shown(
    definition: SagaDefinition, moves: list[Move], is_known: bool
) -> None:
    world = World(definition)
    world.play(move for move in moves if move.kind is not Kind.NONSENSE)  # no store's clock says such times
    record = record_of(definition, world.state)
    shown = record if is_known else SagaRecord[object](world.state, JsonCodec(), None)
    assert svg(shown)
    assert mermaid(shown)
    assert dot(shown)
    assert json.dumps(as_builtins(saga_data(shown)))
    told = waits(shown, datetime.fromtimestamp(world.now, UTC))
    assert told
    assert all(wait.text and "\n" not in wait.text for wait in told)


# ---------------------------------------------------------------------------------------- planning


def record_of(definition: SagaDefinition, state: SagaState) -> SagaRecord[object]:
    return SagaRecord(state, JsonCodec(), SagaTypes(definition=definition, context=object, outputs={}))


@runs(250)
@given(saga_definitions(max_steps=6), HISTORIES, ACTS)
def test_a_plan_is_what_is_then_done(definition: SagaDefinition, moves: list[Move], act: Act) -> None:
    timeless = replace(definition, deadline=None, compensation_deadline=None)
    world = World(timeless)
    world.play(moves)
    before = world.state
    request = REQUESTS[act]("asked for", world.now)

    plan = plan_undo(record_of(timeless, before), act)

    assert (plan.verdict == "accepted") is (decide(timeless, before, request) is not before)
    if plan.verdict == "refused":
        assert (plan.waves, plan.ends) == ((), None)
        return
    running = [name for name, step in before.steps.items() if step.undo.claim is not None]
    running += [name for name, step in before.steps.items() if step.undo_asked and step.is_waiting]
    seen = len(world.log)
    world.held = [request]
    world.flush()
    world.heal()
    undone = [*running, *undos_in(world.log[seen:])]
    assert (world.state.status, world.state.failure) == (plan.ends, plan.failure)
    assert set(undone) == set(plan.undone)
    if not plan.awaited and not plan.asks:
        assert Counter(undone) == Counter(undo.step for wave in plan.waves for undo in wave)
    check_order(timeless, world.state, plan.waves, whole=False)
    assert {one.step: one.status for one in plan.stays} == {
        step: world.state.steps[step].status for step in (one.step for one in plan.stays)
    }


@runs(120)
@given(saga_definitions(max_steps=5), HISTORIES)
def test_what_hangs_on_an_attempt_that_runs_is_marked_so(definition: SagaDefinition, moves: list[Move]) -> None:
    timeless = replace(definition, deadline=None, compensation_deadline=None)
    world = World(timeless)
    world.play(moves)
    plan = plan_undo(record_of(timeless, world.state))
    if plan.verdict == "refused":
        return
    seen = len(world.log)
    undone = {name for name, step in world.state.steps.items() if step.undo.claim is not None or step.undo_asked}
    world.held = [CompensationRequested("asked for", world.now)]
    world.flush()
    for handler in list(world.running):
        if handler.direction is Direction.FORWARD:
            world.held.append(
                Ended(handler.step, handler.direction, handler.attempt, Fate.ABORTED, "nothing happened", world.now)
            )
    world.flush()
    world.heal()
    undone |= set(undos_in(world.log[seen:]))
    if world.state.status is SagaStatus.COMPENSATED:
        certain = {undo.step for wave in plan.waves for undo in wave if not undo.if_done}
        assert certain <= undone
