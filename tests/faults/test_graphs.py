"""What tells a saga that ran by another graph than its own from one that did not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sagaflow.core.decide import new_saga
from sagaflow.core.state import SagaState

from .editions import FIRST, SECOND
from .graphs import strays
from .ledger import Ledger

OLD = FIRST["Sequential"].definition
NEW = SECOND["Sequential"].definition


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def do(ledger: Ledger, *steps: str) -> None:
    for name in steps:
        with ledger.attempt(f"s/{name}", f"s/{name}", "s"):
            ledger.apply(f"s/{name}")


def undo(ledger: Ledger, *steps: str) -> None:
    for name in steps:
        with ledger.attempt(f"s/{name}/undo", f"s/{name}", "s"):
            ledger.undo(f"s/{name}")


def found(ledger: Ledger, state: SagaState | None = None) -> str:
    """What is found of a saga that was started by the first version."""
    state = state or new_saga(OLD, "s", "{}", 1.0)
    return "; ".join(strays(ledger, {"s": OLD}, {"s": state}))


def test_a_saga_that_was_done_and_undone_by_its_graph_is_right(ledger: Ledger) -> None:
    do(ledger, "reserve", "pay", "send")
    assert found(ledger) == ""
    undo(ledger, "send", "pay", "reserve")
    assert found(ledger) == ""


def test_a_saga_that_has_come_only_some_way_is_right(ledger: Ledger) -> None:
    do(ledger, "reserve")
    assert found(ledger) == ""


def test_a_step_of_another_graph_is_found(ledger: Ledger) -> None:
    do(ledger, "reserve", "pick")
    assert found(ledger) == "s/pick: a call that is not in the graph of its saga"


def test_a_compensation_that_is_not_in_the_graph_is_found(ledger: Ledger) -> None:
    failing = FIRST["Failing"].definition
    with ledger.attempt("s/refused/undo", "s/refused", "s"):
        pass
    state = new_saga(failing, "s", "{}", 1.0)
    assert list(strays(ledger, {"s": failing}, {"s": state})) == [
        "s/refused/undo: a call that is not in the graph of its saga"
    ]


@pytest.mark.parametrize("done", [["pay", "reserve"], ["pay"]])
def test_a_step_that_came_before_those_that_it_waits_for_is_found(ledger: Ledger, done: list[str]) -> None:
    do(ledger, *done)
    assert found(ledger) == "s: steps reserve and pay were not done, or undone, in the order of their graph"


@pytest.mark.parametrize("undone", [["reserve", "pay"], ["reserve"]])
def test_a_step_that_was_undone_before_those_that_waited_for_it_is_found(ledger: Ledger, undone: list[str]) -> None:
    do(ledger, "reserve", "pay")
    undo(ledger, *undone)
    assert found(ledger) == "s: steps reserve and pay were not done, or undone, in the order of their graph"


def test_a_state_that_has_another_graph_is_found(ledger: Ledger) -> None:
    wrong = "s: Sequential has the steps pay, pick, insure, send, which are of another graph"
    assert found(ledger, new_saga(NEW, "s", "{}", 1.0)) == wrong
