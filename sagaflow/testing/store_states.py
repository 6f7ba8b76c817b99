"""Sagas to put into a store: short ways to make states, and changes of them, without an engine."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from msgspec.structs import replace

from ..core.events import (
    CancellationRequested,
    ChildEnded,
    CompensationRequested,
    FamilyEnded,
    LockFreed,
    PauseRequested,
    Request,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
)
from ..core.state import Claim, SagaState, SagaStatus, StepState, StepStatus, Track
from ..ports import Signal, Ticket, Transition

ENDLESS = 1e11
"""A time after all others, for ``Store.due``: the year 5138."""

_numbers = count(1)


def new_saga(saga_id: str | None = None, *, steps: Iterable[str] = ("reserve", "charge"), **fields: Any) -> SagaState:
    """A saga that has just started, under an id of its own.

    Args:
        saga_id: its id; one that was not used before in this process, if it is left out.
        steps: the names of its steps, all pending.
        fields: what is to be different from the usual, by the names of ``SagaState``.

    Example:
        >>> new_saga("o-1", saga="Order").revision
        0
    """
    usual: dict[str, Any] = {
        "saga": "Order",
        "fingerprint": "f-1",
        "status": SagaStatus.STARTED,
        "revision": 0,
        "context": '{"customer":"ada"}',
        "steps": {name: StepState() for name in steps},
        "created_at": 1_000.0,
        "updated_at": 1_000.0,
    }
    return SagaState(id=saga_id or f"saga-{next(_numbers)}", **{**usual, **fields})


def changed(state: SagaState, **fields: Any) -> SagaState:
    """The saga's next revision, with these fields.

    Example:
        >>> changed(new_saga(), reason="too late").revision
        1
    """
    return replace(state, revision=state.revision + 1, **fields)


def claimed(state: SagaState, owner: str, step: str = "reserve") -> SagaState:
    """The saga's next revision, with a step claimed by ``owner``.

    Example:
        >>> claimed(new_saga(), "worker-1").owners
        ('worker-1',)
    """
    attempt = state.steps[step].forward.attempt + 1
    track = Track(attempt=attempt, claim=Claim(owner, 1_000.0), due=1_000.0)
    return changed(state.with_step(step, StepState(StepStatus.STARTED, forward=track)))


def change(
    before: SagaState,
    after: SagaState | None = None,
    *,
    wake_at: float | None = None,
    consumed: tuple[str, ...] = (),
    inbox_size: int | None = None,
) -> Transition:
    """A transition that nobody needs to look at afterwards, if it is not said otherwise.

    Args:
        before: what it is decided on.
        after: what it leads to; the bare next revision, if it is left out.
        wake_at, consumed, inbox_size: as for ``Transition``.

    Example:
        >>> change(new_saga(), wake_at=5.0).wake_at
        5.0
    """
    return Transition(before, after or changed(before), wake_at, consumed, inbox_size)


def request(token: str, reason: str = "the customer called") -> Signal:
    """A request to cancel.

    Example:
        >>> request("token-1").token
        'token-1'
    """
    return Signal(token, CancellationRequested(reason, 1_000.0))


REQUESTS: tuple[Request, ...] = (
    CancellationRequested("the customer called", 1_000.0),
    CompensationRequested("the customer called", 1_000.0),
    RetryRequested("ada", "it is mended", 1_000.0),
    SkipRequested("ada", "by hand", 1_000.0, "reserve"),
    ResolutionRequested("ada", "I looked", 1_000.0, "reserve", Resolution.HAPPENED, "7"),
    PauseRequested("ada", "an outage", 1_000.0),
    ResumeRequested("ada", "it is over", 1_000.0),
    Signalled("paid", "token", 1_000.0, "true"),
    ChildEnded("reserve", SagaStatus.COMPLETED, 1_000.0),
    LockFreed("customer 7", 1_000.0),
    FamilyEnded(2_000.0, 1_000.0),
)
"""A request of each kind."""


def ticket(saga_id: str, root: str | None = None, term: int = 1) -> Ticket:
    """A place in a line, of a saga that is a family by itself, if it is not said otherwise.

    Example:
        >>> ticket("o-1").root
        'o-1'
    """
    return Ticket(saga_id, saga_id if root is None else root, term)
