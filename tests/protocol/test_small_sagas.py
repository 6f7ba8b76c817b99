"""All sagas of up to three steps, in all orders of all that can happen to them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from sagaflow.core.definition import Derived, StepKind
from sagaflow.core.events import Fate
from sagaflow.core.state import SagaStatus
from tests.properties.profile import IS_LONG
from tests.protocol.explorer import explore
from tests.protocol.sagas import Undo, orders, saga, sagas
from tests.protocol.solitude import Solitude, Troubles

ENDS = {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED}


ASKED: dict[str, Any] = {"kind": StepKind.WAIT, "signal": "a"}
needs_time = pytest.mark.skipif(not IS_LONG, reason="takes minutes: SAGAFLOW_PROFILE=long")


def explore_all(size: int, attempts: int, troubles: Troubles, undos: Iterable[Undo] = Undo) -> set[SagaStatus]:
    """Explore each saga of so many steps; returns how they can end."""
    began, ends = time.monotonic(), set[SagaStatus]()
    graphs = states = moves = 0
    for definition in sagas(size, attempts=attempts, undos=undos):
        model = Solitude(definition, troubles)
        report = explore(model)
        assert report.is_clean, str(report)
        ends.update(model.saga_of(case).status for case in report.overs)
        graphs, states, moves = graphs + 1, states + report.states, moves + report.moves
    # Shown by ``pytest -s``.
    print(f"{graphs} sagas of {size} steps, {states} states, {moves} moves, {time.monotonic() - began:.0f} s")  # noqa: T201
    return ends


def _ends_of(model: Solitude) -> Iterator[SagaStatus]:
    report = explore(model)
    assert report.is_clean, str(report)
    return (model.saga_of(case).status for case in report.overs)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_small_saga_ends_whatever_its_attempts_come_to(size: int) -> None:
    """At any moment somebody may ask for compensation, too."""
    assert explore_all(size, 1, Troubles(requested=True)) == ENDS


@needs_time
@pytest.mark.timeout(3_600)
def test_every_saga_of_four_steps_ends_whatever_its_attempts_come_to() -> None:
    """At any moment somebody may ask for compensation, too."""
    assert explore_all(4, 1, Troubles(requested=True)) == ENDS


@needs_time
@pytest.mark.timeout(3_600)
def test_every_saga_of_four_steps_ends_though_attempts_are_repeated() -> None:
    """Each step has a compensation that takes any outcome; the other kinds are seen with fewer steps."""
    troubles = Troubles(fates=(Fate.ABORTED, Fate.RETRYABLE))
    assert explore_all(4, 2, troubles, undos=(Undo.LENIENT,)) == ENDS


@needs_time
@pytest.mark.timeout(3_600)
def test_every_saga_of_three_steps_ends_though_attempts_are_repeated() -> None:
    assert explore_all(3, 2, Troubles(fates=(Fate.ABORTED, Fate.RETRYABLE), requested=True)) == ENDS


@needs_time
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("output", ["done", "late"])
def test_every_saga_of_three_steps_ends_though_workers_are_lost_and_heard_of_again(output: str) -> None:
    assert explore_all(3, 1, Troubles(losses=1, late=(output,), requested=True)) == ENDS


@pytest.mark.parametrize("size", [1, 2])
def test_every_small_saga_ends_though_attempts_are_repeated_and_claims_given_back(size: int) -> None:
    troubles = Troubles(fates=(Fate.ABORTED, Fate.RETRYABLE), requested=True, released=True)
    assert explore_all(size, 2, troubles) == ENDS


@pytest.mark.parametrize("output", ["done", "late"])
@pytest.mark.parametrize("size", [1, 2])
def test_every_small_saga_ends_though_workers_are_lost_and_heard_of_again(size: int, output: str) -> None:
    """A late output may be the one that another attempt has reported, or one of its own."""
    assert explore_all(size, 1, Troubles(losses=1, late=(output,), requested=True)) == ENDS


def test_a_single_step_ends_whatever_happens_to_it() -> None:
    """Everything at once, up to the budget of losses and beyond it."""
    fates = (Fate.ABORTED, Fate.FINAL, Fate.RETRYABLE)
    troubles = Troubles(fates=fates, losses=6, late=("done", "late"), requested=True, released=True)
    assert explore_all(1, 2, troubles) == ENDS


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"probe": "look"}, id="probed"),
        pytest.param(ASKED, id="asked for"),
        pytest.param({"probe": "look", **ASKED}, id="both", marks=needs_time),
        pytest.param({"when": Derived(method="if")}, id="conditional"),
    ],
)
@pytest.mark.parametrize("undo", Undo)
def test_a_step_that_is_probed_asked_for_or_conditional_ends_whatever_happens(
    options: dict[str, Any], undo: Undo
) -> None:
    plain = saga(frozenset(), [undo], attempts=2)
    definition = dataclasses.replace(plain, steps=(dataclasses.replace(plain.steps[0], **options),))
    fates = (Fate.ABORTED, Fate.FINAL, Fate.TIMED_OUT)
    troubles = Troubles(fates=fates, losses=1, late=("late",), requested=True, released=True)
    assert {SagaStatus.COMPLETED, SagaStatus.COMPENSATED} <= set(_ends_of(Solitude(definition, troubles)))


@pytest.mark.parametrize("probe", [None, "look"])
def test_a_saga_with_a_pivot_ends_whatever_happens_before_at_and_after_it(probe: str | None) -> None:
    plain = saga(max(orders(3), key=len), [Undo.LENIENT, Undo.NONE, Undo.NONE])
    first, pivot, last = plain.steps
    pivot = dataclasses.replace(pivot, pivot=True, probe=probe)
    definition = dataclasses.replace(plain, steps=(first, pivot, last))
    troubles = Troubles(losses=1, late=("late",), requested=True, released=True)
    assert set(_ends_of(Solitude(definition, troubles))) == ENDS


def test_a_chain_of_three_is_undone_in_order_though_late_outputs_come_in_between() -> None:
    chain = max(orders(3), key=len)
    troubles = Troubles(fates=(Fate.FINAL,), losses=1, late=("late",), requested=True)
    for last in Undo:
        model = Solitude(saga(chain, [Undo.LENIENT, Undo.NONE, last]), troubles)
        assert set(_ends_of(model)) == ENDS
