"""The fault scripts themselves: one small play of them, and the verdict on what should never be found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sagaflow import SagaStatus, StepStatus
from sagaflow.core.attempts import LOSS_BUDGET
from sagaflow.core.state import SagaState, StepState, Track

from .grounds import QUICK, Ground
from .kills import busy_one
from .ledger import Attempt, Ledger, Undone
from .shutdown import Ending
from .stage import staged
from .verdict import Evidence


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


async def test_sagas_survive_a_kill_and_nothing_is_found(tmp_path: Path) -> None:
    ground = Ground("sqlite", tmp_path)
    async with staged(ground.place(), pause=0.2, settings=QUICK) as stage:
        workers = await stage.fleet.crew(2)
        await stage.crowd.start(30)
        victim = await busy_one(stage.ledger, workers)
        await victim.kill()
        figures = await stage.verdict(seconds=20)
    assert figures.violations == ()
    assert figures.sagas == 30
    assert figures.interrupted >= 1


def test_the_ledger_applies_once_and_never_after_an_undo(ledger: Ledger) -> None:
    ledger.apply("s/one")
    ledger.apply("s/one")
    assert ledger.effects()["s/one"].stands
    ledger.undo("s/one")
    ledger.undo("s/never-came")
    for key in ("s/one", "s/never-came"):
        with pytest.raises(Undone):
            ledger.apply(key)
    assert not any(effect.stands for effect in ledger.effects().values())


def test_an_attempt_that_is_cut_off_has_no_end(ledger: Ledger) -> None:
    with ledger.attempt("s/one", "s/one", "s"):
        pass
    with pytest.raises(KeyboardInterrupt), ledger.attempt("s/two", "s/two", "s"):
        raise KeyboardInterrupt
    assert [attempt.ended is None for attempt in ledger.attempts()] == [False, True]


def saga(status: SagaStatus, step: StepStatus) -> SagaState:
    return SagaState(
        id="s",
        saga="Sequential",
        fingerprint="f",
        status=status,
        revision=1,
        context="{}",
        steps={"one": StepState(status=step)},
        created_at=0.0,
        updated_at=0.0,
    )


def found(ledger: Ledger, expected: SagaStatus, state: SagaState | None, hits: dict[int, list[float]]) -> str:
    states = {} if state is None else {state.id: state}
    return "; ".join(Evidence.of(ledger, {"s": expected}, states, hits).violations())


def test_a_saga_that_did_what_it_says_is_right(ledger: Ledger) -> None:
    ledger.apply("s/one")
    assert found(ledger, SagaStatus.COMPLETED, saga(SagaStatus.COMPLETED, StepStatus.COMPLETED), {}) == ""
    ledger.undo("s/one")
    assert found(ledger, SagaStatus.COMPENSATED, saga(SagaStatus.COMPENSATED, StepStatus.COMPENSATED), {}) == ""


@pytest.mark.parametrize(
    ("status", "step", "acts", "words"),
    [
        (SagaStatus.COMPLETED, StepStatus.COMPLETED, "", "step one is completed without its effect"),
        (SagaStatus.COMPLETED, StepStatus.COMPLETED, "apply undo", "step one is completed without its effect"),
        (SagaStatus.COMPENSATED, StepStatus.COMPENSATED, "apply", "the compensation of step one is missing"),
        (SagaStatus.COMPENSATED, StepStatus.COMPENSATED, "", "the compensation of step one is missing"),
        (SagaStatus.COMPENSATED, StepStatus.FAILED, "apply", "step one is failed, and its effect stands"),
        (SagaStatus.COMPENSATED, StepStatus.COMPLETED, "apply", "the saga is compensated, and the effect of step one"),
    ],
)
def test_what_the_ledger_contradicts_is_found(
    ledger: Ledger, status: SagaStatus, step: StepStatus, acts: str, words: str
) -> None:
    for act in acts.split():
        getattr(ledger, act)("s/one")
    assert words in found(ledger, status, saga(status, step), {})


def test_a_saga_is_unlucky_if_five_workers_died_in_its_compensation_and_not_if_many_are(ledger: Ledger) -> None:
    def unlucky(losses: int, count: int) -> list[str]:
        step = StepState(status=StepStatus.FAILED, undo=Track(losses=losses))
        states = {
            f"s{n}": replace(saga(SagaStatus.FAILED, StepStatus.FAILED), id=f"s{n}", steps={"one": step})
            for n in range(count)
        }
        return Evidence.of(ledger, dict.fromkeys(states, SagaStatus.COMPENSATED), states, {}).unlucky()

    assert unlucky(LOSS_BUDGET, 1) == ["s0"]
    assert unlucky(LOSS_BUDGET - 1, 1) == []
    assert unlucky(LOSS_BUDGET, 3) == []


def test_a_saga_that_is_lost_or_has_not_ended_is_found(ledger: Ledger) -> None:
    assert "the saga is lost" in found(ledger, SagaStatus.COMPLETED, None, {})
    unended = saga(SagaStatus.STARTED, StepStatus.PENDING)
    assert "is started (None), not completed" in found(ledger, SagaStatus.COMPLETED, unended, {})


def test_an_effect_of_no_saga_is_found(ledger: Ledger) -> None:
    ledger.apply("other/one")
    assert "other/one: an effect of no saga" in found(ledger, SagaStatus.COMPLETED, None, {})


def test_an_attempt_is_repeated_only_after_one_that_was_cut_off(ledger: Ledger) -> None:
    done = saga(SagaStatus.COMPLETED, StepStatus.COMPLETED)
    for _ in range(2):
        with ledger.attempt("s/one", "s/one", "s"):
            ledger.apply("s/one")
    assert "1 repeated attempts that nothing explains" in found(ledger, SagaStatus.COMPLETED, done, {})
    assert found(ledger, SagaStatus.COMPLETED, done, {os.getpid(): [time.time()]}) == ""


LEAVER, OTHER = 1, 2


def call(step: str, pid: int, began: float, ended: float) -> Attempt:
    key = f"s/{step}"
    return Attempt(0, key, key, "s", pid, began, ended, ended)


def test_what_waits_for_a_sibling_elsewhere_does_not_wait_to_be_handed_over() -> None:
    attempts = [call("left", LEAVER, 0, 2), call("right", OTHER, 1, 5), call("join", OTHER, 5.25, 6)]
    assert Ending.of(attempts, LEAVER, told=1.5).longest_wait == 0.25


def test_what_nobody_works_on_waits_to_be_handed_over() -> None:
    attempts = [call("left", LEAVER, 0, 2), call("right", OTHER, 1, 1.75), call("join", OTHER, 5.25, 6)]
    assert Ending.of(attempts, LEAVER, told=1.5).longest_wait == 3.25
