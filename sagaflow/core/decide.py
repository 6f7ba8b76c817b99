"""The heart: what becomes of a saga when something happens to it.

``decide(definition, state, event)`` is total and deterministic. An event that is stale, repeated or out of place is
no error: it changes nothing, and then the very same state comes back. Nothing here looks at a watch, draws a number,
or calls anybody; what must be done next is read off the state (``open_work``), so that there are no effects to lose.

The rules that hold in every state that comes out of here:

* A step is opened forward (``forward.due``) only while the saga is started and all that it waits for is done.
* A step's undo is opened only while the saga is compensating and all its dependents, direct or not, are settled.
* Only what is open can be claimed; an attempt is current only while its claim stands and its number is the latest.
* Outputs and first errors, once set, stay.

What does not belong here: how events come about (the runner), how changes are kept (the store), who may work on what
and when (the worker).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never

from msgspec.structs import replace

from .definition import SagaDefinition, StepDefinition
from .events import (
    CancellationRequested,
    Claimed,
    CompensationRequested,
    Ended,
    Event,
    Fate,
    Released,
    Succeeded,
    Ticked,
    WorkerLost,
)
from .retry import delay
from .state import MAIN, Claim, Direction, SagaState, SagaStatus, StepState, StepStatus, Track

LOSS_BUDGET: Final = 5
"""After so many workers died in one step, it is held to be what kills them."""

LATE_LIMIT: Final = 16
"""How many late outputs of one step are kept."""

POISON: Final = "poison"
"""The reason of a step whose budget of losses is used up."""

_DONE: Final = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED})
_BROKEN: Final = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN})
_UNDOABLE: Final = frozenset({StepStatus.COMPLETED, StepStatus.UNKNOWN, StepStatus.COMPENSATING})
_CLEAN: Final = frozenset({Fate.ABORTED, Fate.REFUSED})


def new_saga(
    definition: SagaDefinition, saga_id: str, context: str, at: float, start_at: float | None = None
) -> SagaState:
    """The first state of a saga, its first steps open; scheduled if ``start_at`` lies ahead."""
    scheduled = start_at is not None and start_at > at
    begins = start_at if start_at is not None and scheduled else at
    state = SagaState(
        id=saga_id,
        saga=definition.name,
        fingerprint=definition.fingerprint,
        status=SagaStatus.SCHEDULED if scheduled else SagaStatus.STARTED,
        revision=1,
        context=context,
        steps={step.name: StepState() for step in definition},
        created_at=at,
        updated_at=at,
        start_at=start_at if scheduled else None,
        deadline_at=begins + definition.deadline.total_seconds() if definition.deadline else None,
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
    """``changed`` as the next revision after ``before``; ``before`` itself if nothing has changed."""
    if changed is before:
        return before
    return replace(changed, revision=before.revision + 1, updated_at=max(at, before.updated_at))


def decide(definition: SagaDefinition, state: SagaState, event: Event) -> SagaState:
    """The state after ``event``, its revision untouched; ``state`` itself if the event changes nothing."""
    match event:
        case Claimed():
            changed = _claimed(definition, state, event)
        case Succeeded():
            changed = _succeeded(definition, state, event)
        case Ended():
            changed = _ended(definition, state, event)
        case Released():
            changed = _released(state, event)
        case WorkerLost():
            changed = _worker_lost(state, event)
        case Ticked():
            changed = _ticked(state, event.at)
        case CompensationRequested() | CancellationRequested():
            changed = _requested(state, event)
        case _:  # pragma: no cover
            assert_never(event)
    return state if changed is state else _settle(definition, changed, event.at)


# ---------------------------------------------------------------------------------------- attempts


def _claimed(definition: SagaDefinition, state: SagaState, event: Claimed) -> SagaState:
    step = state.steps.get(event.step)
    if step is None:
        return state
    track = step.track(event.direction)
    if track.claim is not None or track.due is None or event.at < track.due:
        return state
    taken = replace(
        track,
        attempt=track.attempt + 1,
        claim=Claim(event.owner, event.at),
        due=None,
        reason=None,
        started_at=event.at,
        ended_at=None,
    )
    if event.direction is Direction.FORWARD:
        return state.with_step(event.step, replace(step, status=StepStatus.STARTED, forward=taken))
    argument = _next_undo(definition[event.step], step)
    return state.with_step(event.step, replace(step, status=StepStatus.COMPENSATING, undo=taken, undoing=argument))


def _succeeded(definition: SagaDefinition, state: SagaState, event: Succeeded) -> SagaState:
    step = _current(state, event)
    if step is None:
        return _late(state, event)
    track = _end(step.track(event.direction), event.at)
    if event.direction is Direction.FORWARD:
        # The output of an earlier attempt may have come already: one transaction is undone once.
        late = tuple(output for output in step.late if output != event.output)
        done = replace(step, status=StepStatus.COMPLETED, forward=track, output=event.output, late=late)
    else:
        undone_before = step.late_undone if step.undoing == MAIN else (step.undoing or 0) + 1
        done = replace(
            step,
            undo=replace(track, tries=0, losses=0),
            undone=True,
            late_undone=undone_before,
            undoing=None,
        )
        more = _next_undo(definition[event.step], done) is not None
        done = replace(done, status=StepStatus.COMPENSATING if more else StepStatus.COMPENSATED)
    return state.with_step(event.step, done)


def _late(state: SagaState, event: Succeeded) -> SagaState:
    """An output of an attempt that was given up: kept, and undone if its step was undone already."""
    step = state.steps.get(event.step)
    output = event.output
    if step is None or output is None or not 0 < event.attempt <= step.forward.attempt:
        return state
    if output == step.output or output in step.late or len(step.late) >= LATE_LIMIT:
        return state
    kept = replace(step, late=(*step.late, output))
    if step.status is StepStatus.COMPENSATED:
        kept = replace(kept, status=StepStatus.COMPENSATING)
        if state.status is SagaStatus.COMPENSATED:
            state = replace(
                state,
                status=SagaStatus.COMPENSATING,
                completed_at=None,
                reason=f"a late output of step {event.step!r} must be undone",
            )
    return state.with_step(event.step, kept)


def _ended(definition: SagaDefinition, state: SagaState, event: Ended) -> SagaState:
    step = _current(state, event)
    if step is None:
        return state
    declared = definition[event.step]
    forward = event.direction is Direction.FORWARD
    policy = declared.retry if forward else declared.compensation_retry
    track = step.track(event.direction)
    track = replace(
        _end(track, event.at),
        tries=track.tries + 1,
        reason=event.fate.value,
        first_error=track.first_error if track.first_error is not None else event.error,
        last_error=event.error,
    )
    again = event.fate is Fate.RETRYABLE and track.tries < policy.attempts
    if again:
        wait = event.after
        if wait is None:
            wait = delay(policy, track.tries, f"{state.id}/{event.step}/{event.direction}/{event.attempt}")
        track = replace(track, due=event.at + wait)
    if not forward:
        status = StepStatus.COMPENSATING if again else StepStatus.COMPENSATION_FAILED
        return state.with_step(event.step, replace(step, status=status, undo=track, undoing=None))
    unclean = step.unclean or event.fate not in _CLEAN
    status = StepStatus.STARTED if again else StepStatus.UNKNOWN if unclean else StepStatus.FAILED
    return state.with_step(event.step, replace(step, status=status, forward=track, unclean=unclean))


def _released(state: SagaState, event: Released) -> SagaState:
    step = _current(state, event)
    if step is None:
        return state
    track = replace(_end(step.track(event.direction), event.at), due=event.at)
    if event.direction is Direction.UNDO:
        return state.with_step(event.step, replace(step, undo=track, undoing=None))
    status = StepStatus.STARTED if step.unclean else StepStatus.PENDING
    return state.with_step(event.step, replace(step, status=status, forward=track))


def _worker_lost(state: SagaState, event: WorkerLost) -> SagaState:
    for name, step in state.steps.items():
        for direction in Direction:
            track = step.track(direction)
            if track.claim is not None and track.claim.owner == event.owner:
                state = state.with_step(name, _loss(step, direction, event.at))
    return state


def _loss(step: StepState, direction: Direction, at: float) -> StepState:
    track = _end(step.track(direction), at)
    losses = track.losses + 1
    poisoned = losses >= LOSS_BUDGET
    track = replace(track, losses=losses, reason=POISON if poisoned else "lost", due=None if poisoned else at)
    if direction is Direction.UNDO:
        status = StepStatus.COMPENSATION_FAILED if poisoned else StepStatus.COMPENSATING
        return replace(step, status=status, undo=track, undoing=None)
    status = StepStatus.UNKNOWN if poisoned else StepStatus.STARTED
    return replace(step, status=status, forward=track, unclean=True)


def _current(state: SagaState, event: Succeeded | Ended | Released) -> StepState | None:
    """The step, if the event is about its latest attempt and that still runs: everything else is stale."""
    step = state.steps.get(event.step)
    if step is None:
        return None
    track = step.track(event.direction)
    return step if track.claim is not None and track.attempt == event.attempt else None


def _end(track: Track, at: float) -> Track:
    return replace(track, claim=None, due=None, ended_at=at)


# ---------------------------------------------------------------------------------------- the saga


def _ticked(state: SagaState, at: float) -> SagaState:
    if state.status is SagaStatus.SCHEDULED and state.start_at is not None and at >= state.start_at:
        state = replace(state, status=SagaStatus.STARTED)
    if state.status is SagaStatus.STARTED and state.deadline_at is not None and at >= state.deadline_at:
        return replace(state, status=SagaStatus.COMPENSATING, reason="its deadline has passed")
    return state


def _requested(state: SagaState, event: CompensationRequested | CancellationRequested) -> SagaState:
    if state.status not in requestable(event):
        return state
    return replace(state, status=SagaStatus.COMPENSATING, completed_at=None, reason=event.reason)


def requestable(request: CompensationRequested | CancellationRequested) -> frozenset[SagaStatus]:
    """In which statuses a request still has something to do."""
    running = frozenset({SagaStatus.SCHEDULED, SagaStatus.STARTED})
    if isinstance(request, CompensationRequested):
        return running | {SagaStatus.COMPLETED}
    return running


def _settle(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    """Draw the consequences: open what may now be claimed, and see whether the saga has come to an end."""
    if state.status is SagaStatus.STARTED:
        broken = [name for name, step in state.steps.items() if step.status in _BROKEN]
        if broken:
            step = state.steps[broken[0]]
            why = "failed" if step.status is StepStatus.FAILED else f"has an unknown outcome ({step.forward.reason})"
            state = replace(state, status=SagaStatus.COMPENSATING, reason=f"step {broken[0]!r} {why}")
        else:
            state = _open_forward(definition, state, at)
    if state.status is SagaStatus.COMPENSATING:
        state = _open_undo(definition, _stop_forward(state), at)
    return state


def _open_forward(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    steps = dict(state.steps)
    for declared in definition:
        step = steps[declared.name]
        if step.status is not StepStatus.PENDING or step.forward.due is not None:
            continue
        if all(steps[name].status in _DONE for name in declared.after):
            steps[declared.name] = replace(step, forward=replace(step.forward, due=at))
    if all(step.status in _DONE for step in steps.values()):
        return replace(state, status=SagaStatus.COMPLETED, completed_at=at)
    return replace(state, steps=steps)


def _stop_forward(state: SagaState) -> SagaState:
    """Nothing starts forward any more: what waits for its first attempt, or for another one, ends here."""
    steps = dict(state.steps)
    for name, step in steps.items():
        if step.forward.due is not None:
            status = StepStatus.UNKNOWN if step.unclean else StepStatus.PENDING
            steps[name] = replace(step, status=status, forward=replace(step.forward, due=None))
    return replace(state, steps=steps)


def _open_undo(definition: SagaDefinition, state: SagaState, at: float) -> SagaState:
    steps = dict(state.steps)
    for declared in definition:
        step = steps[declared.name]
        if not _to_undo(declared, step) or step.undo.claim is not None or _next_undo(declared, step) is None:
            continue
        ready = all(_settled(definition[name], steps[name]) for name in definition.dependents(declared.name))
        if ready is not (step.undo.due is not None):
            # Closed as well as opened: a late output unsettles a step that was undone, and then this one waits again.
            steps[declared.name] = replace(step, undo=replace(step.undo, due=at if ready else None))
    state = replace(state, steps=steps)
    if any(_in_motion(step) for step in steps.values()):
        return state
    left = [declared for declared in definition if not _settled(declared, steps[declared.name])]
    if not left:
        return replace(state, status=SagaStatus.COMPENSATED, completed_at=at)
    return replace(state, status=SagaStatus.FAILED, completed_at=at, reason=_why_failed(state, left))


def _to_undo(declared: StepDefinition, step: StepState) -> bool:
    return declared.compensation is not None and step.status in _UNDOABLE


def _settled(declared: StepDefinition, step: StepState) -> bool:
    """Whether nothing of the step remains to be undone, so that what it depends on can be."""
    if step.status in (StepStatus.STARTED, StepStatus.COMPENSATION_FAILED):
        return False
    return not _to_undo(declared, step)


def _in_motion(step: StepState) -> bool:
    return any(track.claim is not None or track.due is not None for track in (step.forward, step.undo))


def _next_undo(declared: StepDefinition, step: StepState) -> int | None:
    """What the compensation is to be given next: ``MAIN``, an index into ``late``, or None for "nothing can be"."""
    if step.undone:
        return step.late_undone if step.late_undone < len(step.late) else None
    if step.output is not None:
        return MAIN
    if step.late:
        return 0
    return MAIN if declared.accepts_unknown else None


def _why_failed(state: SagaState, left: list[StepDefinition]) -> str:
    for declared in left:
        step = state.steps[declared.name]
        if step.status is StepStatus.COMPENSATION_FAILED:
            what = f"compensation {declared.compensation!r} of step {declared.name!r} failed ({step.undo.reason})"
            return f"{state.reason}; {what}"
    stuck = next(declared for declared in left if _next_undo(declared, state.steps[declared.name]) is None)
    what = f"compensation {stuck.compensation!r} does not accept the unknown outcome of step {stuck.name!r}"
    return f"{state.reason}; {what}"
