"""The turns of a whole saga: back, and to its end."""

from __future__ import annotations

from msgspec.structs import replace

from .definition import SagaDefinition
from .locks import give_up_wanted, release_all, want_again
from .state import SagaState, SagaStatus


def turn_back(definition: SagaDefinition, state: SagaState, reason: str, at: float) -> SagaState:
    """What was done is to be undone."""
    state = want_again(state) if state.status.is_terminal else give_up_wanted(state)
    limit = definition.compensation_deadline
    return replace(
        go_on(state, SagaStatus.COMPENSATING),
        reason=reason,
        committed=False,
        overdue=False,
        undo_deadline_at=at + limit.total_seconds() if limit is not None else None,
    )


def go_on(state: SagaState, status: SagaStatus) -> SagaState:
    """Whatever end it had come to, it has not."""
    return replace(state, status=status, completed_at=None, failure=None, told=False, expire_at=None)


def at_end(state: SagaState, status: SagaStatus, at: float) -> SagaState:
    """Automatic work has come to its end. A failed saga keeps its locks until somebody has resolved it."""
    state = state if status is SagaStatus.FAILED else release_all(state)
    expire_at = None if state.may_have_children else state.forget_at
    return replace(state, status=status, completed_at=at, expire_at=expire_at)
