"""What a worker knows of the store's time, from heartbeats whose round trips take long now and then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagaflow.engine.clock import StoreClock
from sagaflow.engine.machine import Machine


class Stopped(Machine):
    """A machine whose clocks stand still until they are moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 100.0

    def wall(self) -> float:
        return self.at + 5_000

    def monotonic(self) -> float:
        return self.at


def beat(clock: StoreClock, machine: Stopped, *, ahead: float, there: float, back: float) -> None:
    """A heartbeat that takes so long there and back again, to a store whose clock is so far ahead of the machine's."""
    asked_at = machine.at
    store_time = asked_at + there + ahead
    machine.at += there + back
    clock.observe(store_time, asked_at, machine.at)


def test_before_the_first_heartbeat_the_wall_clock_is_believed() -> None:
    machine = Stopped()
    assert StoreClock(machine).now() == machine.wall()


def test_the_clock_follows_the_store_and_not_the_machine() -> None:
    machine = Stopped()
    clock = StoreClock(machine)
    beat(clock, machine, ahead=1_000, there=0, back=0)
    machine.at += 60
    assert clock.now() == pytest.approx(machine.at + 1_000)


def test_a_slow_round_trip_does_not_move_a_clock_that_is_known_better() -> None:
    machine = Stopped()
    clock = StoreClock(machine)
    beat(clock, machine, ahead=1_000, there=0.001, back=0.001)
    machine.at += 1.5
    beat(clock, machine, ahead=1_000, there=0.001, back=0.4)
    assert abs(clock.now() - machine.at - 1_000) < 0.003


@pytest.mark.parametrize("ahead", [400.0, 1_600.0])
def test_a_clock_that_is_set_is_believed_at_once(ahead: float) -> None:
    machine = Stopped()
    clock = StoreClock(machine)
    beat(clock, machine, ahead=1_000, there=0.001, back=0.001)
    machine.at += 1.5
    beat(clock, machine, ahead=ahead, there=0.1, back=0.1)
    assert abs(clock.now() - machine.at - ahead) <= 0.1 + 1e-6


moments = st.floats(0, 1)


@given(
    drift=st.floats(-0.0009, 0.0009),
    beats=st.lists(st.tuples(moments, moments, st.floats(0, 5)), min_size=1, max_size=30),
)
def test_it_is_never_further_off_than_by_the_best_heartbeat(
    drift: float, beats: list[tuple[float, float, float]]
) -> None:
    machine = Stopped()
    clock = StoreClock(machine)
    width, observed_at = float("inf"), machine.at  # of what the offset is known to lie within
    for there, back, pause in beats:
        beat(clock, machine, ahead=1_000 + drift * (machine.at + there), there=there, back=back)
        width = min((there + back) * 1.001, width + 2 * 0.001 * (machine.at - observed_at))
        observed_at = machine.at
        assert abs(clock.now() - machine.at - (1_000 + drift * machine.at)) <= width / 2 + 1e-6
        machine.at += pause
