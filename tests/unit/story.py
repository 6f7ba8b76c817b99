"""Tell what happens to a saga, and say what must have become of it.

    given(chain("reserve", "charge")).does("reserve").fails("charge").expect(COMPENSATING, opens="undo reserve")

A story never changes: each event returns a new one, so that one beginning can have several ends. Each event is a
commit of its own. Attempts, owners and times need not be told: an event is about the latest attempt, and time stands
still unless ``later`` moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Self

from msgspec.structs import replace as with_fields

from sagaflow.core.decide import decide, fold, new_saga
from sagaflow.core.definition import SagaDefinition, StepDefinition
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
from sagaflow.core.retry import Retry
from sagaflow.core.state import Direction, SagaState, SagaStatus, StepState, StepStatus
from sagaflow.core.work import open_work

FORWARD, UNDO = Direction.FORWARD, Direction.UNDO
NOW = 1_000.0

PATIENT = Retry(attempts=3, backoff=timedelta(seconds=10), jitter=False)
"""Three attempts, 10 s and then 20 s apart."""


def a_step(
    name: str,
    *,
    after: Sequence[str] = (),
    undo: bool = True,
    strict: bool = False,
    retry: Retry = PATIENT,
    undo_retry: Retry = PATIENT,
) -> StepDefinition:
    """A step and, with ``undo``, its compensation; a ``strict`` one does not accept an unknown outcome."""
    return StepDefinition(
        name=name,
        action=name,
        compensation=f"undo_{name}" if undo else None,
        accepts_unknown=not strict,
        after=tuple(after),
        retry=retry,
        compensation_retry=undo_retry,
    )


def a_saga(*steps: StepDefinition, deadline: timedelta | None = None) -> SagaDefinition:
    return SagaDefinition(name="Story", steps=steps, deadline=deadline)


def chain(*names: str) -> SagaDefinition:
    """Steps one after the other."""
    return a_saga(*(a_step(name, after=names[place - 1 : place] if place else ()) for place, name in enumerate(names)))


def diamond() -> SagaDefinition:
    """``top``, then ``left`` and ``right`` in parallel, then ``join``."""
    return a_saga(
        a_step("top"),
        a_step("left", after=["top"]),
        a_step("right", after=["top"]),
        a_step("join", after=["left", "right"]),
    )


class Story:
    """A saga's definition, its state, and the time."""

    def __init__(self, definition: SagaDefinition, state: SagaState, now: float) -> None:
        self.definition = definition
        self.state = state
        self.now = now

    # ------------------------------------------------------------------ when

    def happens(self, *events: Event) -> Self:
        """These events, as one commit."""
        return type(self)(self.definition, fold(self.definition, self.state, events), self.now)

    def later(self, seconds: float) -> Self:
        """Time passes, and somebody looks at the watch."""
        return type(self)(self.definition, self.state, self.now + seconds).happens(Ticked(self.now + seconds))

    def claims(self, step: str, direction: Direction = FORWARD, *, by: str = "w1") -> Self:
        return self.happens(Claimed(step, direction, by, self.now))

    def succeeds(
        self, step: str, output: str | None = None, *, direction: Direction = FORWARD, attempt: int | None = None
    ) -> Self:
        """An attempt returns: by default the latest, with ``<step> done`` for its output."""
        if direction is FORWARD and output is None:
            output = f"{step} done"
        return self.happens(Succeeded(step, direction, attempt or self.attempt(step, direction), output, self.now))

    def ends(
        self, step: str, fate: Fate, *, direction: Direction = FORWARD, error: str = "error", after: float | None = None
    ) -> Self:
        return self.happens(Ended(step, direction, self.attempt(step, direction), fate, error, self.now, after))

    def releases(self, step: str, direction: Direction = FORWARD) -> Self:
        return self.happens(Released(step, direction, self.attempt(step, direction), self.now))

    def loses(self, owner: str = "w1") -> Self:
        return self.happens(WorkerLost(owner, self.now))

    def compensation_is_requested(self, reason: str = "asked to undo") -> Self:
        return self.happens(CompensationRequested(reason, self.now))

    def cancellation_is_requested(self, reason: str = "asked to stop") -> Self:
        return self.happens(CancellationRequested(reason, self.now))

    # Whole attempts, from claim to end.

    def does(self, *steps: str) -> Self:
        story = self
        for step in steps:
            story = story.claims(step).succeeds(step)
        return story

    def fails(self, step: str, fate: Fate = Fate.ABORTED) -> Self:
        return self.claims(step).ends(step, fate)

    def undoes(self, *steps: str) -> Self:
        story = self
        for step in steps:
            story = story.claims(step, UNDO).succeeds(step, direction=UNDO)
        return story

    def fails_to_undo(self, step: str, fate: Fate = Fate.FINAL) -> Self:
        return self.claims(step, UNDO).ends(step, fate, direction=UNDO)

    def loses_worker_of(self, step: str, direction: Direction = FORWARD) -> Self:
        """Its output, if it has one, may still come: see ``succeeds(attempt=...)``."""
        return self.claims(step, direction, by="doomed").loses("doomed")

    # ------------------------------------------------------------------ then

    def attempt(self, step: str, direction: Direction = FORWARD) -> int:
        return self.state.steps[step].track(direction).attempt

    def step(self, name: str) -> StepState:
        return self.state.steps[name]

    @property
    def open(self) -> str:
        """What can be claimed, now or later: ``charge``, or ``undo charge``."""
        works = open_work(self.definition, self.state)
        return ", ".join(work.step if work.direction is FORWARD else f"undo {work.step}" for work in works)

    def expect(
        self,
        status: SagaStatus | None = None,
        *,
        opens: str | None = None,
        reason: str | None = None,
        **steps: StepStatus,
    ) -> Self:
        """The saga's status, all that is open, its reason, and the status of each step that is named."""
        if status is not None:
            assert self.state.status is status
        if opens is not None:
            assert self.open == opens
        if reason is not None:
            assert self.state.reason == reason
        assert {name: self.state.steps[name].status for name in steps} == steps
        return self

    def expect_no_change(self, *events: Event) -> Self:
        """Each of these events would change nothing."""
        for event in events:
            assert decide(self.definition, self.state, event) is self.state, event
            assert fold(self.definition, self.state, [event]) is self.state
        return self

    def expect_at(self, seconds: float, step: str, direction: Direction = FORWARD) -> Self:
        """The open attempt can be claimed so many seconds from now, and not before."""
        due = self.now + seconds
        assert self.state.steps[step].track(direction).due == due
        self.expect_no_change(Claimed(step, direction, "early", due - 0.001))
        assert self.happens(Claimed(step, direction, "w1", due)).state is not self.state
        return self

    def with_step(self, name: str, **fields: object) -> Self:
        """The same, with a step as another version may have left it."""
        step = with_fields(self.state.steps[name], **fields)
        return type(self)(self.definition, self.state.with_step(name, step), self.now)


def given(definition: SagaDefinition, *, start_in: float | None = None) -> Story:
    """A saga that has just been started."""
    start_at = None if start_in is None else NOW + start_in
    return Story(definition, new_saga(definition, "saga-1", '"context"', NOW, start_at), NOW)
