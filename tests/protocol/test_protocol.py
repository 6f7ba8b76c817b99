"""The protocol holds in every state that it can come to, and each of its parts is needed for that.

The saga is a step, two parallel ones and a join. Either all goes well, or the join aborts and all is undone.
"""

from __future__ import annotations

import pytest

from sagaflow.core.state import SagaStatus
from tests.protocol.cluster import ALL_FAULTS, Cluster, Faults, Without, World
from tests.protocol.documents import Documents, Ending
from tests.protocol.explorer import STUCK, Report, explore
from tests.protocol.sagas import Undo, saga

DIAMOND = frozenset({(0, 1), (0, 2), (0, 3), (1, 3), (2, 3)})
HINTS = Faults.LOST_HINT | Faults.DOUBLED_HINT


def diamond(ending: Ending, *, short: bool = False) -> Documents:
    """``short``: only the first step and one of the parallel ones have compensations."""
    late = Undo.NONE if short else Undo.LENIENT
    return Documents(saga(DIAMOND, [Undo.LENIENT, Undo.LENIENT, late, late]), ending)


def ends(cluster: Cluster) -> set[SagaStatus]:
    """How the saga can end, if nothing is wrong in any state that there is."""
    report = explore(cluster)
    assert report.is_clean, str(report)
    return {cluster.documents[world.document].status for world in report.overs}


def broken(without: Without, *, faults: int = 1, kinds: Faults = ALL_FAULTS, rule: str | None = None) -> Report[World]:
    """What is found when something is missing; ``rule``: the only one that is looked at."""
    rules = None if rule is None else frozenset({rule})
    cluster = Cluster(documents=diamond(Ending.SUCCESS), faults=faults, kinds=kinds, without=without, rules=rules)
    return explore(cluster)


# ---------------------------------------------------------------------------------------- as it is


@pytest.mark.parametrize(("slots", "hints"), [(2, 1), (1, 2)])
def test_a_saga_survives_anything_that_happens_once(slots: int, hints: int) -> None:
    """With one slot each, two workers share the parallel steps; with two, one of them can do it all."""
    cluster = Cluster(documents=diamond(Ending.SUCCESS), faults=1, slots=slots, hints=hints)
    assert ends(cluster) == {SagaStatus.COMPLETED, SagaStatus.COMPENSATED}


@pytest.mark.parametrize(("kinds", "short"), [(~Faults.MISJUDGED, False), (Faults.MISJUDGED, True)])
def test_a_saga_that_is_undone_survives_anything_that_happens_once(kinds: Faults, short: bool) -> None:
    """Zombies make the most states by far, and get the saga with fewer compensations."""
    cluster = Cluster(documents=diamond(Ending.ABORT, short=short), faults=1, kinds=kinds)
    assert ends(cluster) == {SagaStatus.COMPENSATED}


def test_a_saga_survives_two_crashes_and_losses_of_hints() -> None:
    cluster = Cluster(documents=diamond(Ending.SUCCESS), faults=2, kinds=Faults.CRASH | HINTS)
    assert ends(cluster) == {SagaStatus.COMPLETED}


def test_a_saga_that_is_undone_survives_two_crashes_and_losses_of_hints() -> None:
    cluster = Cluster(documents=diamond(Ending.ABORT, short=True), faults=2, kinds=Faults.CRASH | HINTS)
    assert ends(cluster) == {SagaStatus.COMPENSATED}


def test_a_request_is_answered_though_a_worker_crashes_before_or_after_it() -> None:
    cluster = Cluster(documents=diamond(Ending.SUCCESS, short=True), faults=2, kinds=Faults.CRASH | Faults.REQUEST)
    assert ends(cluster) == {SagaStatus.COMPLETED, SagaStatus.COMPENSATED}


# ---------------------------------------------------------------------------------------- without a part of it


def test_without_the_fence_of_revisions_outputs_are_overwritten_and_handlers_run_twice() -> None:
    report = broken(Without.REVISION, faults=0)
    assert {"overwritten", "ran twice", "robbed"} <= report.violations.keys(), str(report)


def test_without_the_fence_of_revisions_parallel_steps_are_joined_twice() -> None:
    report = broken(Without.REVISION, faults=0, rule="double join")
    assert "double join" in report.violations, str(report)


def test_without_the_fence_of_attempts_a_step_is_completed_by_an_attempt_that_did_not_end() -> None:
    report = broken(Without.ATTEMPT, kinds=Faults.MISJUDGED)
    assert report.violations.keys() == {"no effect"}, str(report)


def test_without_the_sweeper_a_lost_hint_leaves_a_saga_stuck() -> None:
    report = broken(Without.SWEEPER, kinds=Faults.LOST_HINT)
    assert report.violations.keys() == {STUCK}, str(report)


def test_without_the_sweeper_a_crash_and_a_lost_hint_leave_a_saga_stuck_midway() -> None:
    one = broken(Without.SWEEPER, faults=2, kinds=Faults.LOST_HINT)
    both = broken(Without.SWEEPER, faults=2, kinds=Faults.CRASH | Faults.LOST_HINT)
    assert len(both.stuck) > len(one.stuck), str(both)


def test_without_the_record_of_deaths_a_worker_that_lives_is_robbed_of_what_it_runs() -> None:
    report = broken(Without.RECORD, kinds=Faults.MISJUDGED)
    assert report.violations.keys() == {"robbed"}, str(report)


def test_when_nobody_records_deaths_a_crash_leaves_a_saga_stuck() -> None:
    report = broken(Without.JUDGE, kinds=Faults.CRASH)
    assert report.violations.keys() == {STUCK}, str(report)


def test_without_a_look_at_the_inbox_a_saga_ends_and_passes_over_a_request() -> None:
    report = broken(Without.INBOX_SIZE, kinds=Faults.REQUEST)
    assert report.violations.keys() == {"passed over"}, str(report)
