"""Who looks on: metrics, traces, and whatever else is to be told what this process has done.

An observer is told facts, each once at most, by the process that committed it, and after the commit. What was committed
by a call whose reply was lost may never be told: figures are for people, and nothing of a saga depends on them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from ..core.state import Direction, SagaState, StepStatus

_NOTHING: Final[AbstractContextManager[None]] = nullcontext()


class AttemptEnd(StrEnum):
    """How an attempt ended, in one of few words."""

    SUCCEEDED = "succeeded"
    """Its handler returned; of a probe: it could tell."""
    STILL_UNKNOWN = "still_unknown"
    """A probe could not tell yet."""
    ABORTED = "aborted"
    """By ``Abort``, or an exception type of ``abort_on``."""
    RETRYABLE = "retryable"
    """By an exception that the policy retries."""
    TIMED_OUT = "timed_out"
    """It took too long, or was silent for too long."""
    CANCELLED = "cancelled"
    """It was told to stop, because the saga had turned back."""
    FINAL = "final"
    """By an exception that the policy does not retry."""
    UNRECORDABLE = "unrecordable"
    """It returned what cannot be stored."""
    REFUSED = "refused"
    """Its handler could not be called: a context or an input cannot be read."""
    RELEASED = "released"
    """Its worker stopped, and gave it back."""
    LOST = "lost"
    """Its worker died."""


class Attempt(Struct, frozen=True):
    """One attempt of one step.

    Attributes:
        saga: the name of the saga's definition.
        saga_id: which saga.
        step: the step; an element of a list is ``name[index]``.
        direction: whether the step is done, undone, or looked for.
        number: counted from 1, each direction for itself.
        trace: the W3C ``traceparent`` that the saga carries; None if it carries none.
        waited: seconds from when it could begin until it was claimed; None where that is not known.
    """

    saga: str
    saga_id: str
    step: str
    direction: Direction
    number: int
    trace: str | None = None
    waited: float | None = None


class Sample(Struct, frozen=True):
    """What the store shows of the sagas that wait, as far as one query of bounded size sees it.

    Attributes:
        oldest: seconds for which the longest waiting saga has been due without anybody's having looked at it.
        due: how many sagas are due now.
        stale: how many sagas were looked at several times since they last changed, and nobody takes them up.
        is_cut: there may be more of them than were counted.
    """

    oldest: float
    due: int
    stale: int
    is_cut: bool


class Observer:
    """Is told what happens in one process. Every method does nothing: override those that you need.

    They are called within the event loop, so they are quick and wait for nothing. What they raise is logged, and does
    no saga any harm.

    Attributes:
        sample_every: how often this process asks the store for a ``Sample``, with one indexed query; None is never.
            One process of a system is enough.

    Example:
        >>> class Failures(Observer):
        ...     def saga_ended(self, saga: SagaState) -> None:
        ...         if saga.status == "failed":
        ...             print(saga.saga, saga.id, "has failed")
    """

    sample_every: timedelta | None = None

    def starting(self, saga: str, saga_id: str) -> AbstractContextManager[str | None]:
        """What a new saga is stored within; a child saga is not, it carries what its parent does.

        Args:
            saga: the name of its definition.
            saga_id: the saga; it may turn out that it exists already.

        Returns:
            a context manager that gives the W3C ``traceparent`` for the saga to carry, or None.
        """
        return _NOTHING

    def saga_started(self, saga: SagaState) -> None:
        """A saga is stored, by this process."""

    def saga_ended(self, saga: SagaState) -> None:
        """A saga has come to an end: its ``status`` is terminal, and was not before."""

    def step_ended(self, saga: SagaState, step: str, since: float) -> None:
        """A step has come to an end, forward or back: see its ``status`` in ``saga.steps``.

        Args:
            saga: as it is now.
            step: of which step.
            since: when it could begin, in seconds since the epoch.
        """

    def attempt_began(self, attempt: Attempt) -> None:
        """An attempt was claimed by this process, and its handler is called now."""

    def running(self, attempt: Attempt) -> AbstractContextManager[object]:
        """What the handler is called within: it sees the context variables that are set here.

        An exception of the handler comes through it, and is not held back even if this says so.
        """
        return _NOTHING

    def attempt_ended(self, attempt: Attempt, end: AttemptEnd, seconds: float) -> None:
        """It is recorded how an attempt ended.

        Args:
            attempt: which one; ``waited`` is None.
            end: how.
            seconds: from its claim to its end.
        """

    def committed(self, changes: int, conflicts: int, unsure: int) -> None:
        """Changes of so many sagas went to the store in one call.

        Args:
            changes: all of them.
            conflicts: those of them that were not made, since somebody else was quicker.
            unsure: those of which it is not known.
        """

    def swept(self, due: int, orphans: int) -> None:
        """The sweeper has found something.

        Args:
            due: sagas that were due, and that it has put off and dispatched.
            orphans: claims of workers that are dead.
        """

    def hints_lost(self, hints: int) -> None:
        """So many hints were not taken by the broker; sweepers make up for them."""

    def dead_lettered(self) -> None:
        """A hint was put aside: there is no such saga."""

    def sampled(self, sample: Sample) -> None:
        """The store was asked for what waits."""


SETTLED: Final = frozenset(
    {
        StepStatus.COMPLETED,
        StepStatus.FAILED,
        StepStatus.UNKNOWN,
        StepStatus.COMPENSATED,
        StepStatus.COMPENSATION_FAILED,
    }
)
"""The statuses with which ``Observer.step_ended`` is told of a step."""
