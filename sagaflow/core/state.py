"""What has happened to one saga: plain, immutable values that a store keeps as they are.

Times are seconds since the epoch, by the store's clock. Payloads (context, outputs, errors) are opaque text that only
the codec can read. Nothing here decides anything: that is ``decide``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

ACTS_LIMIT: Final = 100
"""How many acts of people are kept of one saga: the latest."""

SCHEMA: Final = 2
"""The version of the stored form; a reader refuses what is newer than it knows."""


class SagaStatus(StrEnum):
    """Where a saga stands. ``decide`` draws the arrows."""

    SCHEDULED = "scheduled"
    STARTED = "started"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Whether automatic work has come to its end."""
        return self in TERMINAL


TERMINAL: Final = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})


class StepStatus(StrEnum):
    """Where a step stands.

    ``failed`` is clean: certainly nothing of it remains. ``unknown`` may have had its effect, and is compensated.
    """

    PENDING = "pending"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"


class Direction(StrEnum):
    """What an execution is for: doing a step, undoing it, or finding out what became of it."""

    FORWARD = "forward"
    UNDO = "undo"
    PROBE = "probe"


class Claim(Struct, frozen=True):
    """The right of one worker's incarnation to run one attempt. Together with the attempt it is unique for ever."""

    owner: str
    since: float


class Track(Struct, frozen=True, omit_defaults=True):
    """The attempts of one step in one direction.

    Attributes:
        attempt: the number of the latest attempt; it only grows, which is what fences off the earlier ones.
        tries: the attempts that ended in an exception or a timeout, and so count against the retry policy.
        losses: the attempts whose worker died; they have a budget of their own.
        claim: who runs the latest attempt, while it runs.
        due: when an attempt may be claimed; None if none is open.
        reason: why the latest attempt that ended did not succeed, in one word.
        first_error, last_error: payloads; the first never changes.
        started_at, ended_at: of the latest attempt.
    """

    attempt: int = 0
    tries: int = 0
    losses: int = 0
    claim: Claim | None = None
    due: float | None = None
    reason: str | None = None
    first_error: str | None = None
    last_error: str | None = None
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.due is not None and self.claim is None


IDLE: Final = Track()


class StepState(Struct, frozen=True, omit_defaults=True):
    """What has happened to one step.

    Attributes:
        forward, undo, probe: the attempts to do it, to undo it, and to find out what became of it.
        output: the payload of the attempt that completed it; it never changes again. Of a child saga: its id.
        unclean: an attempt began that may have left something behind.
        late: outputs that came from attempts that had been given up.
        undone: the compensation has succeeded for the recorded (or unknown) outcome.
        late_undone: how many of ``late`` have been undone.
        undoing: what the running compensation was given: ``MAIN``, or an index into ``late``.
        exhausted: it has had all the attempts that it gets.
        unresolved: the probe has had all of its attempts, and could not tell.
        generation: how often an operator gave it a new key.
        decided: user code has said that it is to be done.
        size: of an ``EACH`` step: into how many elements it was unfolded.
        item: of an element: the payload that it works on.
        lock: the key of the lock that it needs.
        child: of a child saga: the payload of its context.
        asked: its method has run, and the rest is done elsewhere: by a child saga, or outside.
        linked: the child saga exists.
        wait_until: until when the answer from outside is waited for.
        undo_asked: the child saga was told to undo itself.
    """

    status: StepStatus = StepStatus.PENDING
    forward: Track = IDLE
    undo: Track = IDLE
    output: str | None = None
    unclean: bool = False
    late: tuple[str, ...] = ()
    undone: bool = False
    late_undone: int = 0
    undoing: int | None = None
    probe: Track = IDLE
    exhausted: bool = False
    unresolved: bool = False
    generation: int = 0
    decided: bool = False
    size: int | None = None
    item: str | None = None
    lock: str | None = None
    child: str | None = None
    asked: bool = False
    linked: bool = False
    wait_until: float | None = None
    undo_asked: bool = False

    def track(self, direction: Direction) -> Track:
        if direction is Direction.FORWARD:
            return self.forward
        return self.undo if direction is Direction.UNDO else self.probe

    @property
    def tracks(self) -> tuple[Track, Track, Track]:
        return self.forward, self.undo, self.probe

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a child saga, or for the outside."""
        return (self.asked and self.status is StepStatus.STARTED) or (
            self.undo_asked and self.status is StepStatus.COMPENSATING
        )


MAIN: Final = -1
"""``StepState.undoing``: the compensation was given the recorded output, or None for an unknown outcome."""


class Link(Struct, frozen=True):
    """Of a child saga: the saga that started it, in which step, and in which generation of that."""

    saga_id: str
    step: str
    generation: int = 0


class LockStatus(StrEnum):
    """Where a saga stands with a lock."""

    WANTED = "wanted"
    HELD = "held"
    RELEASING = "releasing"
    RELEASED = "released"


class Lock(Struct, frozen=True):
    """A lock that a saga needs.

    Attributes:
        status: where it stands.
        term: which time the saga wants it; what it did with an earlier one says nothing about this one.
        holder: the saga that it waits for, as far as is known.
        freed: how often the line has moved on in this term: what was seen of it before is old.
    """

    status: LockStatus
    term: int
    holder: str | None = None
    freed: int = 0


class Received(Struct, frozen=True):
    """What the outside has said: an output, or an error."""

    token: str
    at: float
    output: str | None = None
    error: str | None = None


class Act(Struct, frozen=True):
    """What a person did to a saga: what, to which step, who, when and why."""

    what: str
    at: float
    by: str
    reason: str
    step: str | None = None


class SagaState(Struct, frozen=True, kw_only=True):
    """What has happened to one saga, whole.

    Attributes:
        revision: grows by one with every change; the fence of all changes.
        fingerprint: of the definition that it runs by.
        context: the payload that it was started with.
        reason: why it turned back.
        failure: why automatic work has come to its end with something left undone.
        start_at: when a scheduled saga begins.
        deadline_at: when it is compensated unless it has ended.
        completed_at: when it became terminal.
        undo_deadline_at: until when it may compensate.
        committed: the pivot has begun, and has not failed: there is no way back.
        overdue: the deadline has passed when there was no way back any more.
        paused: nothing of it is begun until somebody resumes it.
        named: its id was chosen by who started it.
        parent: of a child saga: who started it.
        root: of a child saga: the first of its line.
        told: the parent knows how it ended.
        lock: the key of the lock that all of it needs.
        locks: the locks that it or its steps need, by key.
        signals: what the outside has said, by name.
        acts: what people did to it, the latest ``ACTS_LIMIT`` of it.
        forget_at: when it may be forgotten, once its child sagas know.
        expire_at: when it may be forgotten.
        digest: of a saga that has ended: of all that it holds (``digest_of``), so that it cannot change unseen.
        trace: the W3C ``traceparent`` that its spans belong to; nothing is decided by it.
        tags: the labels that people find it by, as they were given; they never change, and nothing is decided by them.
    """

    id: str
    saga: str
    fingerprint: str
    status: SagaStatus
    revision: int
    context: str
    steps: dict[str, StepState]
    created_at: float
    updated_at: float
    completed_at: float | None = None
    start_at: float | None = None
    deadline_at: float | None = None
    reason: str | None = None
    schema: int = SCHEMA
    undo_deadline_at: float | None = None
    committed: bool = False
    overdue: bool = False
    paused: bool = False
    named: bool = False
    parent: Link | None = None
    root: str | None = None
    told: bool = False
    failure: str | None = None
    lock: str | None = None
    locks: dict[str, Lock] = {}
    signals: dict[str, Received] = {}
    acts: tuple[Act, ...] = ()
    forget_at: float | None = None
    expire_at: float | None = None
    digest: str | None = None
    trace: str | None = None
    tags: tuple[str, ...] = ()

    def with_step(self, name: str, step: StepState) -> SagaState:
        return replace(self, steps={**self.steps, name: step})

    def with_act(self, act: Act) -> SagaState:
        return replace(self, acts=(*self.acts, act)[-ACTS_LIMIT:])

    @property
    def why(self) -> str | None:
        """Why it turned back, and why it could come to no good end, in words; None if neither is so."""
        return "; ".join(filter(None, (self.reason, self.failure))) or None

    @property
    def accepts(self) -> tuple[str, ...]:
        """The kinds of requests (``Request.kind``) that still have something to do, sorted.

        What only the saga itself knows to be pointless (a signal that nobody waits for) is accepted, and does nothing.
        """
        return _ACCEPTS[self.status, self.committed]

    @property
    def may_have_children(self) -> bool:
        """Whether other documents may have to be told before this one is forgotten."""
        return any(step.linked or step.generation for step in self.steps.values())

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose claims it holds, sorted: what a store indexes to find the orphans of a dead worker."""
        found = {
            track.claim.owner
            for step in self.steps.values()
            for track in (step.forward, step.undo, step.probe)  # not the property: this is asked for at every commit
            if track.claim is not None
        }
        return tuple(sorted(found)) if found else ()

    @property
    def payload_size(self) -> int:
        """Characters of customer data that it holds."""
        size = len(self.context)
        for received in self.signals.values():
            size += len(received.output or "") + len(received.error or "")
        for step in self.steps.values():
            if step.output is not None:
                size += len(step.output)
            if step.item is not None:
                size += len(step.item)
            if step.child is not None:
                size += len(step.child)
            if step.late:
                size += sum(map(len, step.late))
            for track in (step.forward, step.undo, step.probe):
                if track.first_error is not None:  # there is no last one without a first one
                    size += len(track.first_error) + len(track.last_error or "")
        return size


_ALWAYS: Final = frozenset({"resume", "signal", "child", "lock", "family"})
_WHILE_RUNNING: Final = _ALWAYS | {"pause", "cancel", "compensate", "skip", "resolve"}
_BY_STATUS: Final = {
    SagaStatus.SCHEDULED: _WHILE_RUNNING,
    SagaStatus.STARTED: _WHILE_RUNNING,
    SagaStatus.COMPENSATING: _ALWAYS | {"pause", "skip", "resolve"},
    SagaStatus.COMPLETED: _ALWAYS | {"compensate"},
    SagaStatus.COMPENSATED: _ALWAYS,
    SagaStatus.FAILED: _ALWAYS | {"retry", "skip", "resolve"},
}
_ACCEPTS: Final = {
    (status, committed): tuple(sorted(kinds - {"cancel", "compensate"} if committed else kinds))
    for status, kinds in _BY_STATUS.items()
    for committed in (False, True)
}
