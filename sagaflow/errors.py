"""Every error that SagaFlow raises, grouped by who must act.

::

    SagaFlowError
    ├── DefinitionError          the developer: a saga class is wrong (also a TypeError)
    ├── ConfigurationError       the operator: a setting, a URL or a server is wrong (also a ValueError)
    ├── NoEngine                 the caller: no engine is open that has the saga (also a RuntimeError)
    ├── SagaNotFound             the caller: the store has no such saga (also a LookupError)
    ├── SagaExists               the caller: the id is taken by another saga
    ├── SagaNotCompleted         the caller: the saga did not complete; ``.saga`` is its record
    │   ├── SagaCompensated      ... everything was undone
    │   └── SagaFailed           ... something is left undone, and an operator must act
    ├── PayloadError             the caller, the developer: a value cannot be stored, or read back (also a ValueError)
    │   └── PayloadTooLarge      ... it is larger than the settings allow
    ├── InboxFull                the caller: too many requests wait for one saga
    ├── StoreUnavailable         the engine: the store does not answer; it is tried again
    └── BrokerUnavailable        the engine: the broker does not answer; the sweeper makes up for it
        └── Unroutable           ... it has no queue for the message

    Abort, RetryLater            raised by steps, to say how an attempt ended
    StepCancelled                raised in steps, by self.heartbeat(): the attempt is not wanted any more
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .record import SagaRecord


class SagaFlowError(Exception):
    """Whatever SagaFlow raises by itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a definition: who, which rule it breaks, what to write instead, and where."""

    offender: str
    rule: str
    remedy: str
    where: str = ""

    def __str__(self) -> str:
        text = f"{self.offender}: {self.rule}\n     {self.remedy}"
        return f"{text}\n     at {self.where}" if self.where else text


class DefinitionError(SagaFlowError, TypeError):
    """A saga class has faults; all of them are in ``faults``."""

    def __init__(self, saga: str, faults: Iterable[Fault]) -> None:
        self.saga = saga
        self.faults: tuple[Fault, ...] = tuple(faults)
        count = len(self.faults)
        lines = "\n".join(f"  {number}. {fault}" for number, fault in enumerate(self.faults, 1))
        super().__init__(f"{saga} has {count} fault{'s' if count > 1 else ''}\n{lines}")


class ConfigurationError(SagaFlowError, ValueError):
    """A setting, a URL or a server is not as SagaFlow needs it."""


class NoEngine(SagaFlowError, RuntimeError):
    """No open engine, or more than one, could be meant."""


class SagaNotFound(SagaFlowError, LookupError):
    """The store has no saga of this id."""

    def __init__(self, saga_id: str) -> None:
        self.saga_id = saga_id
        super().__init__(
            f"There is no saga {saga_id!r} in this store. Is it the store that the saga was started on, and is the "
            f"id the one that start() returned?"
        )


class SagaExists(SagaFlowError):
    """The id was used before, for another saga class or with another context, or for a saga that was forgotten."""

    def __init__(self, saga_id: str, difference: str, *, is_forgotten: bool = False) -> None:
        self.saga_id = saga_id
        otherwise = "" if is_forgotten else ", or start with the same saga and context to get the one that exists"
        exists = "existed" if is_forgotten else "exists already"
        super().__init__(
            f"Saga {saga_id!r} {exists}, {difference}. An id names one transaction for ever: use a new id for a new "
            f"transaction{otherwise}."
        )


class SagaNotCompleted(SagaFlowError):
    """The saga ended, but did not complete. ``saga`` is its record."""

    def __init__(self, saga: SagaRecord[Any]) -> None:
        self.saga = saga
        super().__init__(f"Saga {saga.name} {saga.id} is {saga.status}: {saga.reason or 'no reason was recorded'}")


class SagaCompensated(SagaNotCompleted):
    """Everything that the saga did was undone."""


class SagaFailed(SagaNotCompleted):
    """Automatic work has come to an end with something left undone; an operator must act."""


class PayloadError(SagaFlowError, ValueError):
    """A context or an output cannot be encoded, or cannot be read back as its declared type."""


class PayloadTooLarge(PayloadError):
    """A context or an output is larger than the settings allow."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.size: int = size
        self.limit: int = limit
        super().__init__(
            f"{what} takes {size:,} characters encoded; {limit:,} are allowed. Keep large data in a store of your "
            f"own and hand its key on, or raise the limit in Settings."
        )


class InboxFull(SagaFlowError):
    """Too many requests wait for one saga."""

    def __init__(self, saga_id: str, limit: int) -> None:
        self.saga_id: str = saga_id
        self.limit: int = limit
        super().__init__(
            f"As many requests wait for saga {saga_id!r} as it takes: {limit}, or fewer if they are large. Is a worker "
            f"running that has its class? Try again when it has caught up."
        )


class StoreUnavailable(SagaFlowError):
    """The store did not answer, or not in time. Whether the last write took effect is not known."""


class BrokerUnavailable(SagaFlowError):
    """The broker did not take a message. The saga goes on all the same: sweepers find it in the store."""


class Unroutable(BrokerUnavailable):
    """The broker has no queue for a message."""


class Abort(Exception):
    """Raised by a step: a business failure. Nothing happened; it is not tried again, and the saga is compensated.

    Example:
        >>> raise Abort("nobody to sell to")
        Traceback (most recent call last):
        ...
        sagaflow.errors.Abort: nobody to sell to
    """


class RetryLater(Exception):
    """Raised by a step or a compensation: try this again after a while. It counts as an attempt.

    Args:
        after: how long to wait.
        message: why; it is kept with the step's error.
    """

    def __init__(self, after: timedelta, message: str = "") -> None:
        if after < timedelta(0):
            raise ValueError(f"RetryLater({after}): a wait is not negative")
        self.after = after
        super().__init__(message or f"try again after {after}")


class StepCancelled(Exception):
    """Raised by ``self.heartbeat()``: the saga has turned back, and this attempt is not wanted any more.

    Let it pass: what the attempt did until now is compensated.
    """


def near(word: str, words: Iterable[str], otherwise: str = "") -> str:
    """A hint at what was meant: the nearest of ``words``, else ``otherwise``, else all of them."""
    known = sorted(set(words))
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return otherwise or (f"There is: {', '.join(known)}." if known else "")


def place(fn: object) -> str:
    """Where a function is written, as ``file:line``; empty if that cannot be told."""
    code = getattr(getattr(fn, "__wrapped__", fn), "__code__", None)
    return f"{os.path.relpath(code.co_filename)}:{code.co_firstlineno}" if code else ""
