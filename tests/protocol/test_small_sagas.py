"""All sagas of up to three steps, in all orders of all that can happen to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sagaflow.core.events import Fate
from sagaflow.core.state import SagaStatus
from tests.protocol.explorer import explore
from tests.protocol.sagas import Undo, orders, saga, sagas
from tests.protocol.solitude import Solitude, Troubles

ENDS = {SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED}


def explore_all(size: int, attempts: int, troubles: Troubles) -> set[SagaStatus]:
    """Explore each saga of so many steps; returns how they can end."""
    return set().union(*(_ends_of(Solitude(saga, troubles)) for saga in sagas(size, attempts=attempts)))


def _ends_of(model: Solitude) -> Iterator[SagaStatus]:
    report = explore(model)
    assert report.is_clean, str(report)
    return (model.saga_of(case).status for case in report.overs)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_small_saga_ends_whatever_its_attempts_come_to(size: int) -> None:
    """At any moment somebody may ask for compensation, too."""
    assert explore_all(size, 1, Troubles(requested=True)) == ENDS


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


def test_a_chain_of_three_is_undone_in_order_though_late_outputs_come_in_between() -> None:
    chain = max(orders(3), key=len)
    troubles = Troubles(fates=(Fate.FINAL,), losses=1, late=("late",), requested=True)
    for last in Undo:
        model = Solitude(saga(chain, [Undo.LENIENT, Undo.NONE, last]), troubles)
        assert set(_ends_of(model)) == ENDS
