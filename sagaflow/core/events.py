"""What can happen to a saga. Illegal values are refused here, so that ``decide`` need not look for them.

``at`` is the store's time, in seconds since the epoch, at which the event was seen.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from .state import Direction, SagaStatus


class Fate(StrEnum):
    """How an attempt ended that did not succeed."""

    ABORTED = "aborted"
    """By ``Abort``, or an exception type of ``abort_on``: nothing happened, no further attempt."""
    RETRYABLE = "retryable"
    """By an exception that the policy retries."""
    TIMED_OUT = "timed_out"
    """It was cut off because it took too long, or was silent for too long; the policy tries it again."""
    CANCELLED = "cancelled"
    """It was told to stop because the saga had turned back; what it did is not known."""
    FINAL = "final"
    """By an exception that the policy does not retry."""
    UNRECORDABLE = "unrecordable"
    """It returned, but its output cannot be stored."""
    REFUSED = "refused"
    """Its handler could not be called: a context or an input cannot be read. Certainly nothing happened."""


class Decided(Struct, frozen=True, tag=True):
    """User code was asked about a step that could begin.

    Attributes:
        proceed: whether it is to be done.
        elements: of an ``EACH`` step that is to be done: the payloads of the list.
        lock: the key that must be held first.
    """

    step: str
    at: float
    proceed: bool = True
    elements: tuple[str, ...] | None = None
    lock: str | None = None

    def __post_init__(self) -> None:
        if not self.proceed and (self.elements is not None or self.lock is not None):
            raise ValueError(f"Decided({self.step!r}, proceed=False): what is not done has no elements and no lock")


class Undecidable(Struct, frozen=True, tag=True):
    """User code was asked about a step that could begin, and failed: nothing has happened. ``error`` is a payload."""

    step: str
    error: str
    at: float


class Claimed(Struct, frozen=True, tag=True):
    """A worker wants to run the open attempt of a step."""

    step: str
    direction: Direction
    owner: str
    at: float


class Succeeded(Struct, frozen=True, tag=True):
    """An attempt returned.

    ``output`` is the payload; None for a compensation, and only for that. Of a child saga it is the context, of a step
    that waits for the outside it says nothing.
    """

    step: str
    direction: Direction
    attempt: int
    output: str | None
    at: float

    def __post_init__(self) -> None:
        if (self.output is None) is not (self.direction is Direction.UNDO):
            raise ValueError(
                f"Succeeded({self.step!r}, {self.direction}): a step has an output, a compensation has none"
            )


class Ended(Struct, frozen=True, tag=True):
    """An attempt did not succeed.

    ``error`` is a payload. ``after`` is the wait, in seconds, that the handler itself asked for; only with
    ``Fate.RETRYABLE``.
    """

    step: str
    direction: Direction
    attempt: int
    fate: Fate
    error: str
    at: float
    after: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None and (self.fate is not Fate.RETRYABLE or self.after < 0):
            raise ValueError(
                f"Ended(fate={self.fate}, after={self.after}): only what is retried waits, and not negatively"
            )


class Probed(Struct, frozen=True, tag=True):
    """A probe returned.

    Attributes:
        happened: whether the step was done; None if that cannot be told yet.
        output: the payload of its output, if it was done, and only then.
        after: if it cannot be told yet: the wait, in seconds, that the probe asked for.
    """

    step: str
    attempt: int
    happened: bool | None
    at: float
    output: str | None = None
    after: float | None = None

    def __post_init__(self) -> None:
        if (self.output is not None) is not (self.happened is True):
            raise ValueError(f"Probed({self.step!r}, happened={self.happened}): there is an output if it happened")
        if self.after is not None and (self.happened is not None or self.after < 0):
            raise ValueError(
                f"Probed({self.step!r}, after={self.after}): only what cannot be told yet waits, and not negatively"
            )

    @property
    def direction(self) -> Direction:
        """That of every probe."""
        return Direction.PROBE


class Released(Struct, frozen=True, tag=True):
    """A claim was given back by its worker, which stops: that counts neither as an attempt nor as a loss.

    Attributes:
        begun: its handler had begun, and was cut off: it may have had its effect, or not.
    """

    step: str
    direction: Direction
    attempt: int
    at: float
    begun: bool = False


class WorkerLost(Struct, frozen=True, tag=True):
    """A worker is recorded as dead: whatever it had claimed may have happened, or not."""

    owner: str
    at: float


class Ticked(Struct, frozen=True, tag=True):
    """Time has passed: a start or a deadline may have come."""

    at: float


class ChildInserted(Struct, frozen=True, tag=True):
    """The child saga of a step exists. ``generation`` is the step's when it was inserted; None for the present one."""

    step: str
    at: float
    generation: int | None = None


class ChildAsked(Struct, frozen=True, tag=True):
    """The child saga of a step was told to undo itself, and will."""

    step: str
    at: float


class ParentTold(Struct, frozen=True, tag=True):
    """The parent has been told how this child saga ended: with ``status``; None for the present one."""

    at: float
    status: SagaStatus | None = None


class FamilyTold(Struct, frozen=True, tag=True):
    """All child sagas have been told that this one may be forgotten at ``expire_at``."""

    expire_at: float
    at: float


class LockHeld(Struct, frozen=True, tag=True):
    """The saga has the lock."""

    key: str
    term: int
    at: float


class LockBlocked(Struct, frozen=True, tag=True):
    """The saga stands in the line for a lock that ``holder`` has.

    ``freed`` is ``Lock.freed`` when somebody began to look; None for the present one. What was seen before the line
    moved on says nothing about now.
    """

    key: str
    term: int
    holder: str
    at: float
    freed: int | None = None


class LockReleased(Struct, frozen=True, tag=True):
    """The saga has left the line for a lock."""

    key: str
    term: int
    at: float


class Deadlocked(Struct, frozen=True, tag=True):
    """The saga waits for a lock whose holder waits for this saga; ``why`` are words."""

    key: str
    term: int
    why: str
    at: float


# ---------------------------------------------------------------------------------------- requests


class CompensationRequested(Struct, frozen=True, tag=True):
    """Somebody wants the saga undone, whether it runs or has completed."""

    kind: ClassVar[str] = "compensate"
    reason: str
    at: float
    by: str = ""


class CancellationRequested(Struct, frozen=True, tag=True):
    """Somebody wants the saga stopped and undone while it runs."""

    kind: ClassVar[str] = "cancel"
    reason: str
    at: float
    by: str = ""


class RetryRequested(Struct, frozen=True, tag=True):
    """An operator wants a failed saga to try again from where it stopped: one step, or all that failed.

    ``new_key``: under a new key, where it is certain that nothing has happened under the old one.
    """

    kind: ClassVar[str] = "retry"
    by: str
    reason: str
    at: float
    step: str | None = None
    new_key: bool = False


class SkipRequested(Struct, frozen=True, tag=True):
    """An operator wants a step, or its compensation, left out. ``output`` is a payload in the place of its output."""

    kind: ClassVar[str] = "skip"
    by: str
    reason: str
    at: float
    step: str
    direction: Direction = Direction.FORWARD
    output: str | None = None


class Resolution(StrEnum):
    """What an operator found out about a step."""

    HAPPENED = "happened"
    NOT_HAPPENED = "not_happened"
    COMPENSATED = "compensated"


class ResolutionRequested(Struct, frozen=True, tag=True):
    """An operator knows what became of a step. ``output`` is the payload of what it yielded, if it happened."""

    kind: ClassVar[str] = "resolve"
    by: str
    reason: str
    at: float
    step: str
    resolution: Resolution
    output: str | None = None

    def __post_init__(self) -> None:
        if (self.output is not None) is not (self.resolution is Resolution.HAPPENED):
            raise ValueError(
                f"ResolutionRequested({self.step!r}, {self.resolution}): there is an output if it happened"
            )


class PauseRequested(Struct, frozen=True, tag=True):
    """Somebody wants nothing more of the saga to be begun for now."""

    kind: ClassVar[str] = "pause"
    by: str
    reason: str
    at: float


class ResumeRequested(Struct, frozen=True, tag=True):
    """Somebody wants a paused saga to go on."""

    kind: ClassVar[str] = "resume"
    by: str
    reason: str
    at: float


class Signalled(Struct, frozen=True, tag=True):
    """The outside answers, under the name of a signal: with an output, or with an error. Both are payloads."""

    kind: ClassVar[str] = "signal"
    signal: str
    token: str
    at: float
    output: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        if (self.output is None) is (self.error is None):
            raise ValueError(f"Signalled({self.signal!r}): the outside answers with an output, or with an error")


class ChildEnded(Struct, frozen=True, tag=True):
    """The child saga ``child`` of a step has come to an end. ``error`` is a payload; None if it completed.

    ``is_final``: it has completed, and cannot be undone.
    ``generation`` is the step's when that child was begun (``Link.generation``); None for the present one.
    """

    kind: ClassVar[str] = "child"
    step: str
    status: SagaStatus
    at: float
    error: str | None = None
    child: str = ""
    generation: int | None = None
    is_final: bool = False

    def __post_init__(self) -> None:
        if not self.status.is_terminal:
            raise ValueError(f"ChildEnded({self.step!r}, {self.status}): a saga that is {self.status} has not ended")


class LockFreed(Struct, frozen=True, tag=True):
    """The line for a lock has moved on: it is worth another look."""

    kind: ClassVar[str] = "lock"
    key: str
    at: float


class FamilyEnded(Struct, frozen=True, tag=True):
    """The saga that started this one has ended: this one may be forgotten too, but not before ``expire_at``."""

    kind: ClassVar[str] = "family"
    expire_at: float
    at: float


OperatorsAct = RetryRequested | SkipRequested | ResolutionRequested | PauseRequested | ResumeRequested
"""What is recorded with who, when and why."""

Request = (
    CompensationRequested | CancellationRequested | OperatorsAct | Signalled | ChildEnded | LockFreed | FamilyEnded
)
"""What can wait in an inbox. Its ``kind`` is what a saga accepts, or does not, as it stands."""

Event = (
    Decided
    | Undecidable
    | Claimed
    | Succeeded
    | Ended
    | Probed
    | Released
    | WorkerLost
    | Ticked
    | ChildInserted
    | ChildAsked
    | ParentTold
    | FamilyTold
    | LockHeld
    | LockBlocked
    | LockReleased
    | Deadlocked
    | Request
)
