"""What a saga knows of the locks that it needs. Who really has them, the line in the store says.

A lock is wanted, then held, and released when the saga has ended; one that failed keeps it. A saga that turns back
after it had completed wants its locks again, under a new term, so that a release that is still under way says nothing
about it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from .events import LockBlocked, LockFreed, LockHeld, LockReleased
from .state import Lock, LockStatus, SagaState, StepState

_GONE = (LockStatus.RELEASING, LockStatus.RELEASED)


def with_lock(state: SagaState, key: str) -> SagaState:
    """The saga wants this lock, if it does not have it, or want it, already."""
    known = state.locks.get(key)
    if known is not None and known.status in (LockStatus.WANTED, LockStatus.HELD):
        return state
    return _with(state, key, Lock(LockStatus.WANTED, known.term + 1 if known else 1))


def gate_is_open(state: SagaState, step: StepState) -> bool:
    """Whether the saga has the locks without which this step may not be done or undone."""
    return not state.locks or all(
        state.locks[key].status is LockStatus.HELD for key in (state.lock, step.lock) if key is not None
    )


def has_left_lines(state: SagaState) -> bool:
    """Whether it stands in the line for no lock any more."""
    return all(lock.status is LockStatus.RELEASED for lock in state.locks.values())


def give_up_wanted(state: SagaState) -> SagaState:
    """What waits for a lock will not begin any more."""
    return _change(state, (LockStatus.WANTED,), lambda lock: replace(lock, status=LockStatus.RELEASING))


def release_all(state: SagaState) -> SagaState:
    """The saga has ended."""
    held = (LockStatus.WANTED, LockStatus.HELD)
    return _change(state, held, lambda lock: replace(lock, status=LockStatus.RELEASING))


def want_again(state: SagaState) -> SagaState:
    """The saga goes on after it had ended."""
    return _change(state, _GONE, lambda lock: Lock(LockStatus.WANTED, lock.term + 1))


def want_for_undo(state: SagaState) -> SagaState:
    """What is to be undone needs the locks under which it was done, be it that they were given up already."""
    undone = [step for step in state.steps.values() if step.undo.due is not None]
    needed = {key for step in undone for key in (state.lock, step.lock)} if state.locks else set[str | None]()
    gone = [key for key in needed if key is not None and state.locks[key].status in _GONE]
    for key in gone:
        state = _with(state, key, Lock(LockStatus.WANTED, state.locks[key].term + 1))
    return state


def lock_changed(state: SagaState, event: LockHeld | LockBlocked | LockReleased | LockFreed) -> SagaState:
    """The store has said how the saga stands with a lock."""
    lock = state.locks.get(event.key)
    if lock is None:
        return state
    if lock.status is LockStatus.RELEASED and not isinstance(event, LockReleased):
        # Somebody who was held up has put the saga into the line after it had left.
        return _with(state, event.key, replace(lock, status=LockStatus.RELEASING))
    if not isinstance(event, LockFreed) and event.term != lock.term:
        return state
    match event:
        case LockHeld() if lock.status is LockStatus.WANTED:
            return _with(state, event.key, Lock(LockStatus.HELD, lock.term))
        case LockBlocked(freed=freed) if lock.status is LockStatus.WANTED and freed in (None, lock.freed):
            return state if event.holder == lock.holder else _with(state, event.key, replace(lock, holder=event.holder))
        case LockFreed() if lock.status is LockStatus.WANTED:
            return _with(state, event.key, replace(lock, holder=None, freed=lock.freed + 1))
        case LockReleased() if lock.status is LockStatus.RELEASING:
            return _with(state, event.key, replace(lock, status=LockStatus.RELEASED, holder=None))
        case _:
            return state


def _with(state: SagaState, key: str, lock: Lock) -> SagaState:
    return replace(state, locks={**state.locks, key: lock})


def _change(state: SagaState, among: tuple[LockStatus, ...], change: Callable[[Lock], Lock]) -> SagaState:
    locks = {key: change(lock) if lock.status in among else lock for key, lock in state.locks.items()}
    return replace(state, locks=locks) if state.locks else state
