"""The heart: what becomes of a saga when something happens to it.

``decide(definition, state, event)`` is total and deterministic. An event that is stale, repeated or out of place is
no error: it changes nothing, and then the very same state comes back. Nothing here looks at a watch, draws a number,
or calls anybody; what must be done next is read off the state (``work``), so that there are no effects to lose.

The rules that hold in every state that comes out of here:

* A step is opened forward (``forward.due``) only while the saga is started and all that it waits for is done.
* A step's undo is opened only while the saga is compensating and all its dependents, direct or not, are settled.
* Only what is open can be claimed; an attempt is current only while its claim stands and its number is the latest.
* Outputs and first errors, once set, stay, but for what an operator says.

Each kind of event has a function of its own in the modules beside this one; here they come together, and the
consequences are drawn. What does not belong into the core: how events come about (the runner), how changes are kept
(the store), who may work on what and when (the worker).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from .acts import acted
from .attempts import (
    claimed,
    decided,
    failed,
    probed,
    released,
    succeeded,
    undecidable,
    worker_lost,
)
from .definition import SagaDefinition
from .digest import digest_of
from .elsewhere import child_asked, child_ended, child_inserted, heard_too_late, signalled
from .events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    ChildInserted,
    Claimed,
    CompensationRequested,
    Deadlocked,
    Decided,
    Ended,
    Event,
    FamilyEnded,
    FamilyTold,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
    ParentTold,
    Probed,
    Released,
    Signalled,
    Succeeded,
    Ticked,
    Undecidable,
    WorkerLost,
)
from .forward import go_forward, stop_forward
from .locks import lock_changed
from .state import SCHEMA, Act, Link, Lock, LockStatus, SagaState, SagaStatus, StepState, StepStatus
from .tracks import closed, over
from .turning import turn_back
from .undo import open_undo, unsettled
from .unfold import unfold

_UNDONE = (SagaStatus.COMPENSATED, SagaStatus.FAILED)


def new_saga(  # noqa: PLR0913  # all that is known of a saga when it begins
    definition: SagaDefinition,
    saga_id: str,
    context: str,
    at: float,
    start_at: float | None = None,
    *,
    named: bool = False,
    parent: Link | None = None,
    root: str | None = None,
    lock: str | None = None,
    items: dict[str, str] | None = None,
    trace: str | None = None,
    tags: tuple[str, ...] = (),
) -> SagaState:
    """The first state of a saga, its first steps open; scheduled if ``start_at`` lies ahead.

    Args:
        named: whether the id was chosen by who starts it.
        parent, root: of a child saga.
        lock: the key of the lock that all of it needs.
        items: the payloads that some steps are given besides the context.
        trace: the W3C ``traceparent`` that its spans belong to.
        tags: the labels that people find it by.
    """
    scheduled = start_at is not None and start_at > at
    begins = start_at if start_at is not None and scheduled else at
    state = SagaState(
        id=saga_id,
        saga=definition.name,
        fingerprint=definition.fingerprint,
        status=SagaStatus.SCHEDULED if scheduled else SagaStatus.STARTED,
        revision=1,
        context=context,
        steps={step.name: StepState(item=(items or {}).get(step.name)) for step in definition},
        created_at=at,
        updated_at=at,
        start_at=start_at if scheduled else None,
        deadline_at=begins + definition.deadline.total_seconds() if definition.deadline else None,
        named=named,
        parent=parent,
        root=root,
        lock=lock,
        locks={lock: Lock(LockStatus.WANTED, 1)} if lock is not None else {},
        trace=trace,
        tags=tags,
    )
    return _settle(definition, state, at)


def fold(definition: SagaDefinition, state: SagaState, events: Iterable[Event]) -> SagaState:
    """All these events, in order, as one change: the revision grows by one, or nothing has changed at all."""
    changed = state
    at = state.updated_at
    for event in events:
        changed = decide(definition, changed, event)
        at = max(at, event.at)
    return seal(state, changed, at)


def seal(before: SagaState, changed: SagaState, at: float) -> SagaState:
    """``changed`` as the next revision after ``before``; ``before`` itself if nothing has changed.

    One that has ended is given its digest, whatever it has changed in after its end.
    """
    if changed is before:
        return before
    at = max(at, before.updated_at)
    sealed = replace(changed, revision=before.revision + 1, updated_at=at, schema=SCHEMA, digest=None)
    return replace(sealed, digest=digest_of(sealed)) if sealed.status.is_terminal else sealed


def decide(definition: SagaDefinition, state: SagaState, event: Event) -> SagaState:
    """The state after ``event``, its revision untouched; ``state`` itself if the event changes nothing."""
    changed = _happened(unfold(definition, state), state, event)
    if changed is state or isinstance(event, Claimed):  # what is taken up opens nothing, and closes nothing
        return changed
    return _settle(definition, changed, event.at)


def _happened(definition: SagaDefinition, state: SagaState, event: Event) -> SagaState:  # noqa: C901, PLR0912
    match event:
        case Claimed():
            return claimed(definition, state, event)
        case Succeeded():
            return succeeded(definition, state, event)
        case Ended():
            return failed(definition, state, event)
        case Decided():
            return decided(definition, state, event)
        case Undecidable():
            return undecidable(definition, state, event)
        case Probed():
            return probed(definition, state, event)
        case Released():
            return released(definition, state, event)
        case WorkerLost():
            return worker_lost(definition, state, event)
        case Ticked():
            return _ticked(definition, state, event.at)
        case CompensationRequested() | CancellationRequested():
            return _requested(definition, state, event)
        case Signalled():
            return signalled(definition, state, event)
        case ChildInserted():
            return child_inserted(state, event)
        case ChildAsked():
            return child_asked(state, event)
        case ChildEnded():
            return child_ended(definition, state, event)
        case ParentTold():
            return _told(state, event)
        case FamilyTold() | FamilyEnded():
            return _may_be_forgotten(state, event)
        case LockHeld() | LockBlocked() | LockReleased() | LockFreed():
            return lock_changed(state, event)
        case Deadlocked():
            return _deadlocked(definition, state, event)
        case _:
            return acted(definition, state, event)


# ---------------------------------------------------------------------------------------- the saga


def _ticked(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    if state.paused:
        return state
    if state.status is SagaStatus.SCHEDULED and state.start_at is not None and at >= state.start_at:
        state = replace(state, status=SagaStatus.STARTED)
    if state.status is SagaStatus.STARTED and _passed(state.deadline_at, at) and not state.overdue:
        if not state.committed:
            return turn_back(definition, state, "its deadline has passed", at)
        state = replace(state, overdue=True)
    if state.status is SagaStatus.COMPENSATING and _passed(state.undo_deadline_at, at) and not state.overdue:
        return _give_up(state, at)
    for declared in definition:
        step = state.steps[declared.name]
        if step.is_waiting and _passed(step.wait_until, at):
            track = replace(step.forward, reason="no answer in time", ended_at=at)
            state = state.with_step(declared.name, over(declared, replace(step, forward=track, unclean=True), at))
    return state


def _passed(limit: float | None, at: float) -> bool:
    return limit is not None and at >= limit


def _give_up(state: SagaState, at: float) -> SagaState:
    """Compensating has taken too long: what is not undone by now is left to an operator."""
    for name, step in state.steps.items():
        if step.status is StepStatus.COMPENSATING and step.undo.claim is None:
            track = replace(closed(step.undo), reason="its deadline has passed", ended_at=at)
            state = state.with_step(name, replace(step, status=StepStatus.COMPENSATION_FAILED, undo=track))
    return replace(state, overdue=True)


def _requested(
    definition: SagaDefinition, state: SagaState, event: CompensationRequested | CancellationRequested
) -> SagaState:
    if event.kind not in state.accepts:
        return state
    if event.by:
        state = state.with_act(Act(event.kind, event.at, event.by, event.reason))
    return turn_back(definition, state, event.reason, event.at)


def _deadlocked(definition: SagaDefinition, state: SagaState, event: Deadlocked) -> SagaState:
    """A victim that can turn back does; what it holds is then free for the others."""
    lock = state.locks.get(event.key)
    if lock is None or lock.term != event.term or lock.status is not LockStatus.WANTED:
        return state
    if state.status is not SagaStatus.STARTED or state.committed:
        return state
    return turn_back(definition, state, event.why, event.at)


def _told(state: SagaState, event: ParentTold) -> SagaState:
    """The parent knows; unless what it was told is not so any more."""
    if not state.status.is_terminal or state.told or event.status not in (None, state.status):
        return state
    return replace(state, told=True)


def _may_be_forgotten(state: SagaState, event: FamilyTold | FamilyEnded) -> SagaState:
    if isinstance(event, FamilyEnded):
        if state.forget_at is not None and state.forget_at >= event.expire_at:
            return state
        at_once = state.status.is_terminal and not state.may_have_children
        return replace(state, forget_at=event.expire_at, expire_at=event.expire_at if at_once else None)
    if not state.status.is_terminal or state.expire_at == event.expire_at or state.forget_at != event.expire_at:
        return state
    return replace(state, expire_at=event.expire_at)


def _settle(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    """Draw the consequences: open what may now be claimed, and see whether the saga has come to an end."""
    definition = unfold(definition, state)
    if state.status is SagaStatus.STARTED:
        state = go_forward(definition, state, at)
    elif state.status in _UNDONE and not state.committed:
        state = heard_too_late(definition, state)
    if state.status is SagaStatus.COMPENSATED:
        late = next(iter(unsettled(definition, state)), None)
        if late is not None:
            state = turn_back(definition, state, f"a late output of step {late!r} must be undone", at)
    if state.status is SagaStatus.COMPENSATING:
        state = open_undo(definition, heard_too_late(definition, stop_forward(state)), at)
    return state
