"""The waits between attempts: they grow, they are capped, and whoever decides the same event waits the same time."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagaflow.core.retry import COMPENSATION_RETRY, STEP_RETRY, Retry, delay

waits = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365))
policies = st.builds(
    Retry,
    attempts=st.integers(1, 1_000),
    backoff=waits,
    factor=st.floats(1, 1e6),
    max_delay=waits,
    jitter=st.booleans(),
)


def test_the_defaults() -> None:
    assert Retry() == STEP_RETRY
    assert (STEP_RETRY.attempts, STEP_RETRY.on) == (3, (Exception,))
    assert Retry(attempts=10) == COMPENSATION_RETRY


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 6), (3, 18), (4, 20), (1_000_000, 20)])
def test_without_jitter_waits_grow_by_the_factor_up_to_the_cap(failures: int, seconds: int) -> None:
    policy = Retry(backoff=timedelta(seconds=2), factor=3, max_delay=timedelta(seconds=20), jitter=False)
    assert delay(policy, failures, "seed") == seconds


def test_a_cap_below_the_backoff_holds_from_the_first_wait() -> None:
    policy = Retry(backoff=timedelta(seconds=9), max_delay=timedelta(seconds=1), jitter=False)
    assert delay(policy, 1, "seed") == 1


def test_no_backoff_is_no_wait() -> None:
    assert delay(Retry(backoff=timedelta(0)), 9, "seed") == 0


@given(policies, st.integers(1, 10**9), st.text())
def test_a_wait_lies_between_nothing_and_the_cap(policy: Retry, failures: int, seed: str) -> None:
    assert 0 <= delay(policy, failures, seed) <= policy.max_delay.total_seconds()


@given(policies, st.integers(1, 10**9), st.text())
def test_the_same_event_waits_the_same_time(policy: Retry, failures: int, seed: str) -> None:
    assert delay(policy, failures, seed) == delay(policy, failures, seed)


def test_jitter_is_spread_over_the_whole_wait() -> None:
    policy = Retry(backoff=timedelta(seconds=1), max_delay=timedelta(seconds=1))
    drawn = sorted(delay(policy, 1, f"saga-{number}") for number in range(1_000))

    assert drawn[0] < 0.02
    assert drawn[-1] > 0.98
    assert 0.45 < sum(drawn) / 1_000 < 0.55
    assert max(later - earlier for earlier, later in pairwise(drawn)) < 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"attempts": 0}, ValueError, "there is at least 1 attempt"),
        ({"backoff": timedelta(seconds=-1)}, ValueError, "a wait is not negative"),
        ({"max_delay": timedelta(seconds=-1)}, ValueError, "a wait is not negative"),
        ({"factor": 0.99}, ValueError, "waits do not shrink"),
        ({"on": (3,)}, TypeError, "3 is no exception type"),
        ({"on": (ValueError, int)}, TypeError, "<class 'int'> is no exception type"),
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Retry(**arguments)


def test_the_least_values_are_allowed() -> None:
    policy = Retry(attempts=1, backoff=timedelta(0), max_delay=timedelta(0), factor=1, on=())
    assert delay(policy, 1, "seed") == 0
