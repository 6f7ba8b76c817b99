"""Old graphs, with the methods and policies of today: what is found again, and what today's class lacks."""

from __future__ import annotations

from typing import Any

import pytest

from sagaflow.core.definition import Derived, SagaDefinition, StepDefinition, StepKind
from sagaflow.core.state import Direction
from sagaflow.core.versions import Revived, revive, to_text

FORWARD, UNDO, PROBE = Direction.FORWARD, Direction.UNDO, Direction.PROBE


def a_step(name: str, **fields: Any) -> StepDefinition:
    return StepDefinition(**{"name": name, "action": name, **fields})


def a_saga(*steps: StepDefinition) -> SagaDefinition:
    return SagaDefinition(name="order", steps=steps)


def revived(old: SagaDefinition, today: SagaDefinition) -> Revived:
    return revive(to_text(old), old.fingerprint, today)


def lacking(old: SagaDefinition, today: SagaDefinition) -> dict[tuple[str, Direction], str]:
    return dict(revived(old, today).lacking)


def test_an_unchanged_class_gives_the_graph_back() -> None:
    saga = a_saga(
        a_step("a", compensation="undo_a", probe="look", pivot=True, queue="q"),
        a_step("b", after=("a",), inputs=("a",), kind=StepKind.EACH, each=Derived(step="a", inputs=("a",))),
        a_step("c", after=("b",), kind=StepKind.CHILD, child="Other"),
        a_step("d", after=("c",), kind=StepKind.WAIT, signal="paid", when=Derived(method="m", inputs=("a",))),
    )
    found = revived(saga, saga)
    assert found.definition == saga
    assert found.definition.fingerprint == saga.fingerprint
    assert found.names == {name: name for name in "abcd"}
    assert found.lacking == {}


def test_edges_are_those_of_then_and_policies_those_of_now() -> None:
    old = a_saga(a_step("a"), a_step("b", after=("a",)), a_step("c", after=("b",)))
    today = a_saga(a_step("c", queue="fast"), a_step("new"), a_step("a", after=("c",)), a_step("b", after=("a",)))
    found = revived(old, today)
    assert [(step.name, step.after) for step in found.definition] == [("a", ()), ("b", ("a",)), ("c", ("b",))]
    assert found.definition["c"].queue == "fast"
    assert found.lacking == {}


def test_a_renamed_step_is_found_by_a_former_name_and_its_output_by_the_name_of_then() -> None:
    old = a_saga(a_step("a"), a_step("b", after=("a",), inputs=("a",)))
    today = a_saga(
        a_step("x", formerly=("z", "a"), compensation="drop"),
        a_step(
            "b",
            after=("x",),
            inputs=("x",),
            each=Derived(step="x", inputs=("x",)),
            when=Derived(field="f", inputs=("later",)),
        ),
    )
    found = revived(old, today)
    assert found.names == {"a": "x", "b": "b"}
    assert found.definition["a"].action == "x"
    assert found.definition["a"].compensation is None
    assert found.definition["b"].inputs == ("a",)
    assert found.definition["b"].each == Derived(step="a", inputs=("a",))
    # The step was unconditional, and stays so: what a condition of today needs is not needed.
    assert found.definition["b"].when is None
    assert found.lacking == {}


def test_a_removed_step_is_lacking_in_every_direction_and_keeps_its_place() -> None:
    old = a_saga(
        a_step("a", compensation="undo_a", accepts_unknown=False, probe="look"), a_step("b", after=("a",), signal="s")
    )
    found = revived(old, a_saga(a_step("b", signal="s")))
    assert set(found.lacking) == {("a", FORWARD), ("a", UNDO), ("a", PROBE)}
    assert "give the one that took its place formerly='a'" in found.lacking["a", FORWARD]
    gone = found.definition["a"]
    assert (gone.compensation, gone.probe, gone.accepts_unknown) == ("undo_a", "look", False)
    assert found.names == {"b": "b"}


def test_a_compensation_or_probe_that_is_gone_is_lacking_and_still_owed() -> None:
    old = a_saga(a_step("a", compensation="undo_a", accepts_unknown=False, probe="look"))
    found = revived(old, a_saga(a_step("a")))
    assert found.lacking == {
        ("a", UNDO): "step 'a' has no compensation any more",
        ("a", PROBE): "step 'a' has no probe any more",
    }
    step = found.definition["a"]
    assert (step.compensation, step.probe, step.accepts_unknown) == ("undo_a", "look", False)


def test_a_compensation_that_was_renamed_is_that_of_today() -> None:
    found = revived(a_saga(a_step("a", compensation="old")), a_saga(a_step("a", compensation="new")))
    assert found.definition["a"].compensation == "new"
    assert found.lacking == {}


@pytest.mark.parametrize(
    "now", [a_step("a", kind=StepKind.WAIT, signal="a"), a_step("a", kind=StepKind.CHILD, child="Other")]
)
def test_a_step_of_another_kind_is_lacking(now: StepDefinition) -> None:
    found = lacking(a_saga(a_step("a", kind=StepKind.CHILD, child="One")), a_saga(now))
    assert found == dict.fromkeys([("a", FORWARD), ("a", UNDO), ("a", PROBE)], "step 'a' is of another kind now")


@pytest.mark.parametrize(
    "now",
    [
        a_step("b", inputs=("new",)),
        a_step("b", each=Derived(step="new", inputs=("new",))),
        a_step("b", when=Derived(method="m", inputs=("new",))),
    ],
)
def test_what_needs_an_output_that_the_saga_does_not_have_is_lacking_forward(now: StepDefinition) -> None:
    old = a_saga(a_step("a"), a_step("b", after=("a",), when=Derived(field="f")))
    found = lacking(old, a_saga(a_step("new"), now))
    assert found["b", FORWARD] == "it takes the output of 'new' now, which this saga does not have"
    assert ("b", UNDO) not in found


def test_an_output_of_a_step_that_was_not_before_it_is_lacking_too() -> None:
    old = a_saga(a_step("a"), a_step("b"))
    found = lacking(old, a_saga(a_step("a"), a_step("b", after=("a",), inputs=("a",))))
    assert set(found) == {("b", FORWARD)}
