"""What has happened to one saga: plain, immutable values that a store keeps as they are.

Times are seconds since the epoch, by the store's clock. Payloads (context, outputs, errors) are opaque text that only
the codec can read. Nothing here decides anything: that is ``decide``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

SCHEMA: Final = 1
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
    """Which way an execution goes: doing a step, or undoing it."""

    FORWARD = "forward"
    UNDO = "undo"


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
        output: the payload of the attempt that completed it; it never changes again.
        unclean: an attempt began that may have left something behind.
        late: outputs that came from attempts that had been given up.
        undone: the compensation has succeeded for the recorded (or unknown) outcome.
        late_undone: how many of ``late`` have been undone.
        undoing: what the running compensation was given: ``MAIN``, or an index into ``late``.
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

    def track(self, direction: Direction) -> Track:
        return self.forward if direction is Direction.FORWARD else self.undo


MAIN: Final = -1
"""``StepState.undoing``: the compensation was given the recorded output, or None for an unknown outcome."""


class SagaState(Struct, frozen=True, kw_only=True):
    """What has happened to one saga, whole.

    Attributes:
        revision: grows by one with every change; the fence of all changes.
        fingerprint: of the definition that it runs by.
        context: the payload that it was started with.
        reason: why it is compensating, compensated or failed.
        start_at: when a scheduled saga begins.
        deadline_at: when it is compensated unless it has ended.
        completed_at: when it became terminal.
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

    def with_step(self, name: str, step: StepState) -> SagaState:
        return replace(self, steps={**self.steps, name: step})

    @property
    def owners(self) -> tuple[str, ...]:
        """Whose claims it holds, sorted: what a store indexes to find the orphans of a dead worker."""
        found = {
            track.claim.owner
            for step in self.steps.values()
            for track in (step.forward, step.undo)
            if track.claim is not None
        }
        return tuple(sorted(found))

    @property
    def payload_size(self) -> int:
        """Characters of customer data that it holds."""
        size = len(self.context)
        for step in self.steps.values():
            size += len(step.output or "") + sum(map(len, step.late))
            for track in (step.forward, step.undo):
                size += len(track.first_error or "") + len(track.last_error or "")
        return size
