"""The examples tell the stories that they promise, each run as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, environment


def acts_of(name: str, folder: Path) -> list[str]:
    """What an example prints, act by act, run where it must not leave anything behind."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        env=environment(TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(folder.iterdir()) == [], "it leaves no file behind"
    return re.split(r"^\d\. ", done.stdout, flags=re.MULTILINE)[1:]


@pytest.fixture(scope="module")
def order_saga(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return acts_of("order_saga.py", tmp_path_factory.mktemp("demo"))


@pytest.mark.slow  # the example's third act waits until a killed worker is certainly dead
def test_an_order_that_goes_well_is_completed(order_saga: list[str]) -> None:
    assert "completed: o-1/charge" in order_saga[0]
    assert "in the books: order of ada, goods for ada, payment of 99.00 by ada" in order_saga[0]


@pytest.mark.slow
def test_an_order_whose_payment_is_declined_is_undone_and_leaves_nothing_in_the_books(order_saga: list[str]) -> None:
    assert "Saga OrderSaga o-2 is compensated: step 'charge' failed" in order_saga[1]
    assert "in the books: nothing" in order_saga[1]
    told = order_saga[1].splitlines()
    done = [told.index(f"    {name:<15} compensated") for name in ("reserve", "create_order")]
    assert done == sorted(done)


@pytest.mark.slow
def test_an_order_whose_worker_is_killed_is_finished_by_another_one_in_a_second_attempt(order_saga: list[str]) -> None:
    assert "is killed while it charges the card" in order_saga[2]
    assert f"    {'charge':<15} completed (attempt 2)" in order_saga[2]
    assert "in the books: order of edsger, goods for edsger, payment of 42.00 by edsger" in order_saga[2]


def test_a_trip_is_booked_for_all_travellers_or_for_none(tmp_path: Path) -> None:
    goes_well, fails = acts_of("travel.py", tmp_path)
    assert "completed:" in goes_well
    for index, traveller in enumerate(["ada", "grace", "edsger"]):
        assert f"    {traveller}: t-1/fly/seats[{index}], t-1/sleep/rooms[{index}]" in goes_well
    assert "Saga TripSaga t-2 is compensated: step 'sleep' failed" in fails
    assert "because no room is left for" in fails
    booked = re.findall(r"^    (room|seat) for (\w+)$", fails, re.MULTILINE)
    given_back = re.findall(r"^    gave back the (room|seat) of (\w+)$", fails, re.MULTILINE)
    assert ("room", "barbara") in booked or ("room", "alan") in booked
    assert sorted(given_back) == sorted(booked)
    assert "in the books: 6 bookings" in fails


def test_a_payment_is_awaited_refused_or_too_late(tmp_path: Path) -> None:
    paid, refused, late = acts_of("webhook_payment.py", tmp_path)
    assert "o-1 waits for an answer from outside (step 'pay')" in paid
    assert paid.index("webhook: accepted") < paid.index("webhook: already")
    assert "completed: goods of o-1 sent, paid by tx-1" in paid
    assert "compensated: stolen card" in refused
    assert "put back the goods of o-2" in refused
    assert "compensated: step 'pay' has an unknown outcome (no answer in time)" in late
    assert late.index("closes the page o-3/pay") < late.index("put back the goods of o-3")
    assert late.index("webhook: accepted") < late.index("sends back tx-3")


def test_an_order_goes_past_its_pivot_and_one_is_resolved_by_an_operator(tmp_path: Path) -> None:
    probed, resolved = acts_of("fulfilment.py", tmp_path)
    assert "capture  completed (timed_out)" in probed
    assert "completed: goods for ada, in red paper, paid with o-1/capture" in probed
    assert "wrap     skipped" in resolved
    told = [
        "failed: step 'capture' has an unknown outcome (timed_out), and there is no way back",
        "refused: the saga has failed",
        "a-2 waits for lock 'order:o-2', held by saga 'o-2'",
        "accepted: resolve as happened is recorded",
        "completed: goods for grace, not wrapped, paid with o-2/capture",
        "o-2 goes to Elm Street",
        "in the record: resolve as happened, capture, by grace@example.org: called the bank",
    ]
    places = [resolved.index(line) for line in told]
    assert places == sorted(places)


def test_what_is_provisioned_stands_in_a_file_which_is_checked(tmp_path: Path) -> None:
    basic, storage, cluster, wrong = acts_of("configured.py", tmp_path)
    assert "completed: account, database, greeting\n" in basic
    assert "to the account of ada: Welcome!" in basic
    assert "completed: account, database, greeting, bucket\n" in storage
    assert "compensated: no room for a cluster of 900 GB" in cluster
    assert cluster.index("- database") < cluster.index("- account of edsger")
    assert "action 'creat' is a method of no library. Did you mean 'create'?" in wrong
    assert "after='databse' is no step of this saga. Did you mean 'database'?" in wrong
    assert "+" not in wrong


def test_a_trial_goes_on_after_a_deployment_is_called_off_and_is_forgotten(tmp_path: Path) -> None:
    goes_on, called_off, forgotten = acts_of("trial.py", tmp_path)
    assert "ada is reminded, by the new version\n    steps: open, mail\n" in goes_on
    assert "cancel: accepted: the saga is scheduled and is to be compensated\n    compensated\n" in called_off
    assert "the account of ada is closed\n    compensated: a duplicate, says support" in called_off
    assert "Saga 'alan' existed, as a trial that ended as completed" in forgotten
