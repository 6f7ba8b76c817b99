"""The example that ``make demo`` runs tells the story that it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, environment

pytestmark = pytest.mark.slow  # its third act waits until a killed worker is certainly dead


@pytest.fixture(scope="module")
def acts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the example prints, act by act, run where it must not leave anything behind."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "order_saga.py")],
        cwd=folder,
        env=environment(TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(Path(folder).iterdir()) == [], "it leaves no file behind"
    return re.split(r"^\d\. ", done.stdout, flags=re.MULTILINE)[1:]


def test_an_order_that_goes_well_is_completed(acts: list[str]) -> None:
    assert "completed: o-1/charge" in acts[0]
    assert "in the books: order of ada, goods for ada, payment of 99.00 by ada" in acts[0]


def test_an_order_whose_payment_is_declined_is_undone_and_leaves_nothing_in_the_books(acts: list[str]) -> None:
    assert "Saga OrderSaga o-2 is compensated: step 'charge' failed" in acts[1]
    assert "in the books: nothing" in acts[1]
    told = acts[1].splitlines()
    done = [told.index(f"    {name:<15} compensated") for name in ("reserve", "create_order")]
    assert done == sorted(done)


def test_an_order_whose_worker_is_killed_is_finished_by_another_one_in_a_second_attempt(acts: list[str]) -> None:
    assert "is killed while it charges the card" in acts[2]
    assert f"    {'charge':<15} completed (attempt 2)" in acts[2]
    assert "in the books: order of edsger, goods for edsger, payment of 42.00 by edsger" in acts[2]
