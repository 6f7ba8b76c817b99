"""Events refuse what makes no sense, and survive being stored."""

from __future__ import annotations

import msgspec
import pytest

from sagaflow.core.events import (
    CancellationRequested,
    Claimed,
    CompensationRequested,
    Ended,
    Event,
    Fate,
    Released,
    Succeeded,
    Ticked,
    WorkerLost,
)
from sagaflow.core.state import Direction

FORWARD, UNDO = Direction.FORWARD, Direction.UNDO


def test_a_step_has_an_output_and_a_compensation_has_none() -> None:
    assert Succeeded("a", FORWARD, 1, "null", 0.0).output == "null"
    assert Succeeded("a", UNDO, 1, None, 0.0).output is None


@pytest.mark.parametrize(("direction", "output"), [(FORWARD, None), (UNDO, "null")])
def test_an_output_in_the_wrong_direction_is_refused(direction: Direction, output: str | None) -> None:
    with pytest.raises(ValueError, match=r"Succeeded\('a', .*a step has an output, a compensation has none"):
        Succeeded("a", direction, 1, output, 0.0)


@pytest.mark.parametrize("after", [None, 0.0, 2.5])
def test_what_is_retried_may_wait(after: float | None) -> None:
    assert Ended("a", FORWARD, 1, Fate.RETRYABLE, "e", 0.0, after).after == after


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.RETRYABLE])
def test_what_is_not_retried_does_not_wait(fate: Fate) -> None:
    assert Ended("a", FORWARD, 1, fate, "e", 0.0).after is None
    with pytest.raises(ValueError, match="only what is retried waits"):
        Ended("a", FORWARD, 1, fate, "e", 0.0, 1.0)


def test_nobody_waits_negatively() -> None:
    with pytest.raises(ValueError, match=r"after=-0\.1.*not negatively"):
        Ended("a", FORWARD, 1, Fate.RETRYABLE, "e", 0.0, -0.1)


@pytest.mark.parametrize(
    "event",
    [
        Claimed("a", FORWARD, "w1", 1.5),
        Succeeded("a", FORWARD, 1, "null", 1.5),
        Succeeded("a", UNDO, 1, None, 1.5),
        Ended("a", FORWARD, 1, Fate.RETRYABLE, "e", 1.5, 2.5),
        Released("a", UNDO, 1, 1.5),
        WorkerLost("w1", 1.5),
        Ticked(1.5),
        CompensationRequested("because", 1.5),
        CancellationRequested("because", 1.5),
    ],
    ids=repr,
)
def test_an_event_that_was_stored_is_read_as_what_it_was(event: Event) -> None:
    stored = msgspec.json.encode(event)
    assert msgspec.json.decode(stored, type=Event) == event
    assert type(event).__name__.encode() in stored


def test_an_illegal_event_is_refused_also_when_it_is_read() -> None:
    stored = b'{"type":"Succeeded","step":"a","direction":"undo","attempt":1,"output":"x","at":0.0}'
    with pytest.raises(msgspec.ValidationError, match="a compensation has none"):
        msgspec.json.decode(stored, type=Event)
