"""A compiled saga as data: its graph, and its fingerprint."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import pytest
from hypothesis import given

from sagaflow.core.definition import SagaDefinition, StepDefinition
from sagaflow.core.retry import Retry
from sagaflow.testing.definitions import reduced, saga_definitions
from tests.unit.story import a_saga, a_step, chain, diamond


def test_steps_are_found_by_name_and_stand_in_order() -> None:
    definition = diamond()
    assert [step.name for step in definition] == ["top", "left", "right", "join"]
    assert definition["left"].after == ("top",)
    with pytest.raises(KeyError):
        definition["nobody"]


def test_dependents_are_all_that_wait_for_a_step_directly_or_through_others() -> None:
    definition = diamond()
    assert definition.dependents("top") == {"left", "right", "join"}
    assert definition.dependents("left") == {"join"}
    assert definition.dependents("join") == frozenset()


def test_steps_of_separate_parts_do_not_depend_on_each_other() -> None:
    definition = a_saga(a_step("a"), a_step("b"), a_step("c", after=["a"]))
    assert definition.dependents("a") == {"c"}
    assert definition.dependents("b") == frozenset()


@given(saga_definitions())
def test_dependents_are_what_one_finds_by_walking_the_edges(definition: SagaDefinition) -> None:
    def waits_for(name: str, other: str) -> bool:
        return any(direct == other or waits_for(direct, other) for direct in definition[name].after)

    for step in definition:
        assert definition.dependents(step.name) == {it.name for it in definition if waits_for(it.name, step.name)}


@given(saga_definitions())
def test_drawn_definitions_are_as_a_compiler_makes_them(definition: SagaDefinition) -> None:
    names = [step.name for step in definition]
    assert len(set(names)) == len(names)
    for place, step in enumerate(definition):
        assert set(step.after) <= set(names[:place])
        implied = {other for other in step.after if definition.dependents(other) & set(step.after)}
        assert not implied, "no edge is implied by another"
        assert all(step.name in definition.dependents(name) for name in step.inputs)
        assert step.takes_output or step.accepts_unknown


def test_reducing_a_graph_leaves_out_what_other_edges_imply() -> None:
    assert reduced([[], [0], [0, 1], [0, 2], []]) == ((), (0,), (1,), (2,), ())


def test_a_definition_does_not_change() -> None:
    definition = chain("a")
    with pytest.raises(FrozenInstanceError):
        definition.name = "Other"  # type: ignore[misc]  # this is what must fail
    with pytest.raises(FrozenInstanceError):
        definition["a"].name = "b"  # type: ignore[misc]  # as above


BASE = StepDefinition(name="b", action="do_b", compensation="undo_b", after=("a",), inputs=("a",))


def with_second(step: StepDefinition) -> SagaDefinition:
    return SagaDefinition(name="Saga", steps=(StepDefinition(name="a", action="a"), step))


@pytest.mark.parametrize(
    "change",
    [{"name": "c"}, {"action": "other"}, {"compensation": None}, {"after": ()}, {"inputs": ()}],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_covers_what_a_running_saga_must_not_see_change(change: dict[str, object]) -> None:
    assert with_second(replace(BASE, **change)).fingerprint != with_second(BASE).fingerprint  # type: ignore[arg-type]  # names and values belong together


def test_the_fingerprint_covers_the_name_of_the_saga_and_the_order_of_its_steps() -> None:
    definition = with_second(replace(BASE, after=(), inputs=()))
    other_name = SagaDefinition(name="Other", steps=definition.steps)
    other_order = SagaDefinition(name="Saga", steps=definition.steps[::-1])
    assert len({it.fingerprint for it in (definition, other_name, other_order)}) == 3


@pytest.mark.parametrize(
    "change",
    [{"retry": Retry(attempts=9)}, {"compensation_retry": Retry()}, {"timeout": timedelta(1)}, {"queue": "other"}],
    ids=lambda change: next(iter(change)),
)
def test_policies_may_change_under_a_running_saga(change: dict[str, object]) -> None:
    assert with_second(replace(BASE, **change)).fingerprint == with_second(BASE).fingerprint  # type: ignore[arg-type]  # names and values belong together


def test_the_fingerprint_does_not_depend_on_the_order_in_which_dependencies_are_named() -> None:
    def join(*after: str) -> SagaDefinition:
        return a_saga(a_step("left"), a_step("right"), a_step("join", after=after))

    assert join("left", "right").fingerprint == join("right", "left").fingerprint


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    assert chain("a", "b").fingerprint == "25f2268a5ddaac579c2da66fea0de87b"
