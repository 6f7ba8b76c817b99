"""The engine in bad weather: many short runs, each of a seed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.properties.profile import IS_LONG

from .mutations import MUTATIONS, mutated
from .run import simulate

RUNS = 3_000 if IS_LONG else 300


@pytest.mark.slow
@pytest.mark.parametrize("share", range(10))
def test_nothing_is_lost_and_nothing_is_stuck_whatever_fails(share: int) -> None:
    for seed in range(share, RUNS, 10):
        report = simulate(seed)
        assert report.broken is None, report


def test_a_seed_is_a_run() -> None:
    digests = {_digest(hash_seed) for hash_seed in ("1", "2")}
    assert len(digests) == 1


def _digest(hash_seed: str) -> str:
    """What a process of its own tells of some runs; its sets are in an order of their own."""
    program = "from tests.simulation.run import simulate\nfor seed in range(12): print(simulate(seed))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.timeout(600)  # one of them shows only once in a thousand runs
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_fault_of_the_engine_is_found(name: str) -> None:
    with mutated(name):
        assert any(simulate(seed).broken for seed in range(2_000)), f"{name} survived"
