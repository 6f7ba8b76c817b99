"""Tell what happens to a saga, and say what must have become of it.

    given(chain("reserve", "charge")).does("reserve").fails("charge").expect(COMPENSATING, opens="undo reserve")

A story never changes: each event returns a new one, so that one beginning can have several ends. Each event is a
commit of its own. Attempts, owners and times need not be told: an event is about the latest attempt, and time stands
still unless ``later`` moves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

from msgspec.structs import replace as with_fields

from sagaflow.core.decide import decide, fold, new_saga
from sagaflow.core.definition import Derived, SagaDefinition, StepDefinition, StepKind
from sagaflow.core.events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    ChildInserted,
    Claimed,
    CompensationRequested,
    Decided,
    Ended,
    Event,
    Fate,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
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
from sagaflow.core.retry import Retry
from sagaflow.core.state import Direction, SagaState, SagaStatus, StepState, StepStatus
from sagaflow.core.work import duties, next_due, open_work

FORWARD, UNDO, PROBE = Direction.FORWARD, Direction.UNDO, Direction.PROBE
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
    probe: bool = False,
    **others: Any,
) -> StepDefinition:
    """A step and, with ``undo``, its compensation; a ``strict`` one does not accept an unknown outcome.

    ``others`` are further fields of the definition.
    """
    return StepDefinition(
        name=name,
        action=name,
        compensation=f"undo_{name}" if undo else None,
        accepts_unknown=not strict,
        after=tuple(after),
        retry=retry,
        compensation_retry=undo_retry,
        probe=f"probe_{name}" if probe else None,
        **others,
    )


SAYS = Derived(method="says")
"""What is asked before a step: its answer is told by ``decides``."""


def a_fan_out(name: str, *, after: Sequence[str] = (), at_once: int | None = None, **others: Any) -> StepDefinition:
    return a_step(name, after=after, kind=StepKind.EACH, each=SAYS, at_once=at_once, **others)


def a_child(name: str, *, after: Sequence[str] = (), **others: Any) -> StepDefinition:
    return a_step(name, after=after, undo=False, kind=StepKind.CHILD, child="Child", **others)


def a_wait(name: str, *, after: Sequence[str] = (), deadline: float | None = None, **others: Any) -> StepDefinition:
    """A step that is answered by the signal ``<name> answer``."""
    limit = None if deadline is None else timedelta(seconds=deadline)
    return a_step(name, after=after, kind=StepKind.WAIT, signal=f"{name} answer", deadline=limit, **others)


def a_saga(*steps: StepDefinition, deadline: timedelta | None = None, **others: Any) -> SagaDefinition:
    return SagaDefinition(name="Story", steps=steps, deadline=deadline, **others)


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

    def releases(self, step: str, direction: Direction = FORWARD, *, begun: bool = False) -> Self:
        return self.happens(Released(step, direction, self.attempt(step, direction), self.now, begun=begun))

    def loses(self, owner: str = "w1") -> Self:
        return self.happens(WorkerLost(owner, self.now))

    def compensation_is_requested(self, reason: str = "asked to undo") -> Self:
        return self.happens(CompensationRequested(reason, self.now))

    def cancellation_is_requested(self, reason: str = "asked to stop") -> Self:
        return self.happens(CancellationRequested(reason, self.now))

    def decides(
        self, step: str, *elements: str, proceed: bool = True, each: bool = False, lock: str | None = None
    ) -> Self:
        """User code has its say; with ``elements``, or ``each``, it says a list."""
        listed = elements if elements or each else None
        return self.happens(Decided(step, self.now, proceed, listed, lock))

    def cannot_decide(self, step: str, error: str = "error") -> Self:
        return self.happens(Undecidable(step, error, self.now))

    def probes(
        self, step: str, *, happened: bool | None, output: str | None = None, after: float | None = None
    ) -> Self:
        """A probe is claimed and returns; what happened yielded ``<step> found`` by default."""
        if happened and output is None:
            output = f"{step} found"
        story = self.claims(step, PROBE)
        return story.happens(Probed(step, story.attempt(step, PROBE), happened, self.now, output, after))

    def hears(self, step: str, output: str | None = None, *, error: str | None = None, token: str = "t1") -> Self:
        """The outside answers a step; with ``<step> answered`` by default."""
        if error is None and output is None:
            output = f"{step} answered"
        return self.happens(Signalled(f"{step} answer", token, self.now, output, error))

    def inserts(self, step: str) -> Self:
        return self.happens(ChildInserted(step, self.now))

    def asks_child(self, step: str) -> Self:
        return self.happens(ChildAsked(step, self.now))

    def child_ends(self, step: str, status: SagaStatus, error: str | None = None) -> Self:
        return self.happens(ChildEnded(step, status, self.now, error, f"{step} child"))

    def takes_lock(self, key: str) -> Self:
        return self.happens(LockHeld(key, self.state.locks[key].term, self.now))

    def is_blocked(self, key: str, holder: str = "other") -> Self:
        return self.happens(LockBlocked(key, self.state.locks[key].term, holder, self.now))

    def hears_of_lock(self, key: str) -> Self:
        return self.happens(LockFreed(key, self.now))

    def releases_lock(self, key: str) -> Self:
        return self.happens(LockReleased(key, self.state.locks[key].term, self.now))

    def is_paused(self) -> Self:
        return self.happens(PauseRequested("ada", "an outage", self.now))

    def is_resumed(self) -> Self:
        return self.happens(ResumeRequested("ada", "it is over", self.now))

    def is_retried(self, step: str | None = None, *, new_key: bool = False) -> Self:
        return self.happens(RetryRequested("ada", "try again", self.now, step, new_key))

    def is_skipped(self, step: str, direction: Direction = FORWARD, output: str | None = None) -> Self:
        return self.happens(SkipRequested("ada", "not needed", self.now, step, direction, output))

    def is_resolved(self, step: str, resolution: Resolution, output: str | None = None) -> Self:
        return self.happens(ResolutionRequested("ada", "I looked", self.now, step, resolution, output))

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
    def next_due(self) -> float | None:
        """When somebody must look at it again."""
        return next_due(self.definition, self.state)

    @property
    def owes(self) -> str:
        """What it owes to other documents: ``insert child ship``."""
        return ", ".join(f"{duty.kind} {duty.subject}".strip() for duty in duties(self.definition, self.state))

    @property
    def open(self) -> str:
        """What can be claimed, now or later: ``charge``, or ``undo charge``."""
        works = open_work(self.definition, self.state)
        return ", ".join(work.step if work.direction is FORWARD else f"{work.direction} {work.step}" for work in works)

    def expect(
        self,
        status: SagaStatus | None = None,
        *,
        opens: str | None = None,
        owes: str | None = None,
        reason: str | None = None,
        **steps: StepStatus,
    ) -> Self:
        """The saga's status, all that is open, all that it owes, its reason, the status of each step that is named."""
        if status is not None:
            assert self.state.status is status
        if opens is not None:
            assert self.open == opens
        if owes is not None:
            assert self.owes == owes
        if reason is not None:
            assert self.state.why == reason
        assert {name: self.state.steps[name].status for name in steps} == steps
        return self

    def expect_step(self, name: str, status: StepStatus) -> Self:
        """The status of a step whose name is no identifier, as that of an element."""
        assert self.state.steps[name].status is status
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


def given(definition: SagaDefinition, *, start_in: float | None = None, **others: Any) -> Story:
    """A saga that has just been started; ``others`` are further arguments of ``new_saga``."""
    start_at = None if start_in is None else NOW + start_in
    return Story(definition, new_saga(definition, "saga-1", '"context"', NOW, start_at, **others), NOW)
