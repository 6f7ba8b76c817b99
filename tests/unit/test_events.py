"""Events refuse what makes no sense, and survive being stored."""

from __future__ import annotations

import msgspec
import pytest

from sagaflow.core.events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    ChildInserted,
    Claimed,
    CompensationRequested,
    Deadlocked,
    Decided,
    Ended,
    Event,
    FamilyEnded,
    FamilyTold,
    Fate,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
    ParentTold,
    PauseRequested,
    Probed,
    Released,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
    Succeeded,
    Ticked,
    Undecidable,
    WorkerLost,
)
from sagaflow.core.state import Direction, SagaStatus

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


@pytest.mark.parametrize(("happened", "output"), [(True, None), (False, "x"), (None, "x")])
def test_a_probe_that_found_it_done_has_an_output_and_no_other_has(happened: bool | None, output: str | None) -> None:
    with pytest.raises(ValueError, match="there is an output if it happened"):
        Probed("a", 1, happened, 0.0, output)


@pytest.mark.parametrize(("happened", "after"), [(True, 1.0), (False, 1.0), (None, -0.1)])
def test_only_a_probe_that_cannot_tell_yet_waits(happened: bool | None, after: float) -> None:
    with pytest.raises(ValueError, match="only what cannot be told yet waits, and not negatively"):
        Probed("a", 1, happened, 0.0, "x" if happened else None, after)


@pytest.mark.parametrize(
    "event",
    [
        Claimed("a", FORWARD, "w1", 1.5),
        Succeeded("a", FORWARD, 1, "null", 1.5),
        Succeeded("a", UNDO, 1, None, 1.5),
        Ended("a", FORWARD, 1, Fate.RETRYABLE, "e", 1.5, 2.5),
        Released("a", UNDO, 1, 1.5),
        Released("a", FORWARD, 1, 1.5, begun=True),
        WorkerLost("w1", 1.5),
        Ticked(1.5),
        CompensationRequested("because", 1.5),
        CancellationRequested("because", 1.5),
        Decided("a", 1.5, elements=("1", "2"), lock="key"),
        Undecidable("a", "e", 1.5),
        Probed("a", 1, True, 1.5, "null"),
        Probed("a", 1, None, 1.5, after=2.5),
        ChildInserted("a", 1.5, 1),
        ChildAsked("a", 1.5),
        ParentTold(1.5, SagaStatus.FAILED),
        FamilyTold(2.5, 1.5),
        LockHeld("key", 1, 1.5),
        LockBlocked("key", 1, "other", 1.5, 2),
        LockReleased("key", 1, 1.5),
        Deadlocked("key", 1, "why", 1.5),
        RetryRequested("ada", "because", 1.5, "a", True),
        SkipRequested("ada", "because", 1.5, "a", UNDO),
        ResolutionRequested("ada", "because", 1.5, "a", Resolution.HAPPENED, "null"),
        PauseRequested("ada", "because", 1.5),
        ResumeRequested("ada", "because", 1.5),
        Signalled("a", "token", 1.5, error="e"),
        ChildEnded("a", SagaStatus.COMPLETED, 1.5, None, "child", 1),
        LockFreed("key", 1.5),
        FamilyEnded(2.5, 1.5),
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


def test_every_probe_has_the_direction_of_probes() -> None:
    assert Probed("a", 1, None, 1.5).direction is Direction.PROBE
