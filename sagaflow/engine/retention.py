"""How long sagas are kept once they have ended."""

from __future__ import annotations

from msgspec.structs import replace

from ..core.locks import has_left_lines
from ..core.state import SagaState, SagaStatus
from .settings import Settings


def with_retention(state: SagaState, settings: Settings) -> SagaState:
    """The state, with the time at which it may be forgotten if it has ended.

    A child saga is told when by its parent; a saga with children is forgotten only once they know, and none that stands
    in the line for a lock, where it would stand for ever.
    """
    if not state.status.is_terminal:
        return state
    forget_at = state.forget_at
    if state.parent is None:
        keep = {
            SagaStatus.COMPLETED: settings.keep_completed,
            SagaStatus.COMPENSATED: settings.keep_compensated,
            SagaStatus.FAILED: settings.keep_failed,
        }[state.status]
        forget_at = None if keep is None else (state.completed_at or state.updated_at) + keep.total_seconds()
    expire_at = forget_at
    if state.may_have_children:
        expire_at = state.expire_at if state.forget_at == forget_at else None
    if not has_left_lines(state):
        expire_at = None
    if (forget_at, expire_at) == (state.forget_at, state.expire_at):
        return state
    return replace(state, forget_at=forget_at, expire_at=expire_at)
