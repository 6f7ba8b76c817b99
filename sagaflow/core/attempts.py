"""What becomes of one step when user code has been asked about it, or one of its attempts begins or ends."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from .definition import SagaDefinition, StepDefinition, StepKind
from .events import Claimed, Decided, Ended, Fate, Probed, Released, Succeeded, Undecidable, WorkerLost
from .locks import gate_is_open, with_lock
from .retry import delay
from .state import MAIN, Claim, Direction, SagaState, SagaStatus, StepState, StepStatus, Track
from .tracks import afresh, can_be_probed, closed, completed, ended, failing, opened, over, with_track
from .undo import next_undo
from .unfold import element_name

LOSS_BUDGET: Final = 5
"""After so many workers died in one step, it is held to be what kills them."""

LATE_LIMIT: Final = 16
"""How many late outputs of one step are kept."""

POISON: Final = "poison"
"""The reason of a step whose budget of losses is used up."""

INTERRUPTED: Final = "interrupted"
"""The reason of an attempt that its worker, which stopped in good order, did not let come to its end."""

_CLEAN: Final = frozenset({Fate.ABORTED, Fate.REFUSED})
_AGAIN: Final = frozenset({Fate.RETRYABLE, Fate.TIMED_OUT})


# ---------------------------------------------------------------------------------------- before an attempt


def decided(definition: SagaDefinition, state: SagaState, event: Decided) -> SagaState:
    """User code has said whether a step is done, and with what."""
    step = _undecided(definition, state, event.step, event.at)
    if step is None or (event.elements is not None) is not (
        event.proceed and definition[event.step].kind is StepKind.EACH
    ):
        return state
    if not event.proceed:
        return state.with_step(event.step, replace(step, status=StepStatus.SKIPPED, forward=closed(step.forward)))
    if event.lock is not None:
        state = with_lock(state, event.lock)
    if event.elements is None:
        return state.with_step(event.step, replace(step, decided=True, lock=event.lock))
    elements = {
        element_name(event.step, index): StepState(item=item, decided=True, lock=event.lock)
        for index, item in enumerate(event.elements)
    }
    unfolded = replace(step, decided=True, size=len(elements), forward=closed(step.forward))
    return replace(state, steps={**state.steps, **elements, event.step: unfolded})


def undecidable(definition: SagaDefinition, state: SagaState, event: Undecidable) -> SagaState:
    """User code could not say it: the step fails, and nothing of it has happened."""
    step = _undecided(definition, state, event.step, event.at)
    if step is None:
        return state
    track = failing(ended(step.forward, event.at), event.error, "undecidable")
    return state.with_step(event.step, over(definition[event.step], replace(step, forward=track), event.at))


def _undecided(definition: SagaDefinition, state: SagaState, name: str, at: float) -> StepState | None:
    step = state.steps.get(name)
    if step is None or step.decided or state.paused or not definition[name].is_decided:
        return None
    return step if step.forward.due is not None and step.forward.due <= at else None


def claimed(definition: SagaDefinition, state: SagaState, event: Claimed) -> SagaState:
    """A worker takes the open attempt of a step."""
    step = state.steps.get(event.step)
    if step is None or state.paused or not gate_is_open(state, step):
        return state
    declared = definition[event.step]
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
    match event.direction:
        case Direction.FORWARD:
            if declared.is_decided and not step.decided:
                return state
            state = replace(state, committed=True) if declared.pivot else state
            return state.with_step(event.step, replace(step, status=StepStatus.STARTED, forward=taken))
        case Direction.UNDO:
            if declared.compensation is None:
                return state  # a child saga undoes itself
            undoing = next_undo(declared, step)
            return state.with_step(
                event.step, replace(step, status=StepStatus.COMPENSATING, undo=taken, undoing=undoing)
            )
        case _:
            return state.with_step(event.step, replace(step, probe=taken))


def released(definition: SagaDefinition, state: SagaState, event: Released) -> SagaState:
    """A claim is given back: it counts as no attempt, and another one is open."""
    step = _current(state, event.step, event.direction, event.attempt)
    if step is None:
        return state
    if event.begun:
        track = replace(ended(step.track(event.direction), event.at), reason=INTERRUPTED)
        return state.with_step(event.step, _cut_off(definition[event.step], step, event.direction, track, event.at))
    step = with_track(step, event.direction, opened(ended(step.track(event.direction), event.at), event.at))
    if event.direction is Direction.UNDO:
        step = replace(step, undoing=None)
    if event.direction is Direction.FORWARD and not step.unclean:
        step = replace(step, status=StepStatus.PENDING)
        if definition[event.step].pivot:
            # A deadline that passed meanwhile is looked at again: there is a way back now.
            state = replace(state, committed=False, overdue=False)
    return state.with_step(event.step, step)


# ---------------------------------------------------------------------------------------- attempts that succeed


def succeeded(definition: SagaDefinition, state: SagaState, event: Succeeded) -> SagaState:
    """An attempt has done what it was for."""
    if event.step not in definition or event.direction is Direction.PROBE:
        return state
    declared = definition[event.step]
    step = _current(state, event.step, event.direction, event.attempt)
    if step is None:
        return _late(declared, state, event)
    if event.direction is Direction.UNDO:
        return state.with_step(event.step, _undone(declared, step, event.at))
    output = event.output or ""
    if declared.kind is StepKind.CHILD:
        track = ended(step.forward, event.at)
        return state.with_step(event.step, replace(step, forward=track, child=output, asked=True))
    if declared.kind is StepKind.WAIT:
        until = event.at + declared.deadline.total_seconds() if declared.deadline else None
        track = ended(step.forward, event.at)
        return state.with_step(event.step, replace(step, forward=track, asked=True, wait_until=until))
    return state.with_step(event.step, completed(step, output, event.at))


def _undone(declared: StepDefinition, step: StepState, at: float) -> StepState:
    undone_before = step.late_undone if step.undoing in (MAIN, None) else step.undoing + 1
    done = replace(
        step,
        undo=afresh(ended(step.undo, at)),
        # A first late output stands in for an output that is not known: with it the step itself is undone.
        undone=True,
        late_undone=undone_before,
        undoing=None,
    )
    more = next_undo(declared, done) is not None
    return replace(done, status=StepStatus.COMPENSATING if more else StepStatus.COMPENSATED)


def _late(declared: StepDefinition, state: SagaState, event: Succeeded) -> SagaState:
    step = state.steps[event.step]
    if event.output is None or not 0 < event.attempt <= step.forward.attempt:
        return state
    if declared.kind in (StepKind.CHILD, StepKind.WAIT):
        return state  # it only asked
    return keep_late(declared, state, event.output)


def keep_late(declared: StepDefinition, state: SagaState, output: str) -> SagaState:
    """An output of a step that was given up: kept, and undone if its step was undone already."""
    step = state.steps[declared.name]
    if output == step.output or output in step.late or len(step.late) >= LATE_LIMIT:
        return state
    kept = replace(step, late=(*step.late, output), unclean=True)
    if step.status is StepStatus.PENDING:
        # It was held to have not begun, or not to have happened.
        kept = replace(kept, status=StepStatus.STARTED if step.forward.due is not None else StepStatus.UNKNOWN)
    if step.status in (StepStatus.COMPENSATED, StepStatus.FAILED):
        # A step that had failed cleanly has not, whatever was found out about it.
        kept = replace(kept, status=StepStatus.COMPENSATING if step.undone else StepStatus.UNKNOWN)
    if declared.pivot and state.status is SagaStatus.STARTED:
        # It was given back as one that had not begun; it has.
        state = replace(state, committed=True)
    return state.with_step(declared.name, kept)


def probed(definition: SagaDefinition, state: SagaState, event: Probed) -> SagaState:
    """A probe has said what became of its step, or that it cannot tell yet."""
    step = _current(state, event.step, Direction.PROBE, event.attempt)
    if step is None:
        return state
    declared = definition[event.step]
    track = ended(step.probe, event.at)
    if event.happened is None:
        track = replace(track, tries=track.tries + 1, reason="still unknown")
        return state.with_step(event.step, _probe_again(state, declared, step, track, event))
    step = replace(step, probe=afresh(track))
    if event.output is not None:
        return state.with_step(event.step, completed(step, event.output, event.at))
    step = replace(step, unclean=bool(step.late))
    if state.status is SagaStatus.STARTED and not step.exhausted:
        return state.with_step(event.step, replace(step, forward=opened(step.forward, event.at)))
    # An output that came belies the probe: then it is that which is undone.
    status = StepStatus.UNKNOWN if step.late else StepStatus.FAILED
    return state.with_step(event.step, replace(step, status=status, exhausted=True))


# ---------------------------------------------------------------------------------------- attempts that do not


def failed(definition: SagaDefinition, state: SagaState, event: Ended) -> SagaState:
    """An attempt has not done what it was for: there is another one, or the step is over."""
    step = _current(state, event.step, event.direction, event.attempt)
    if step is None:
        return state
    declared = definition[event.step]
    track = ended(step.track(event.direction), event.at)
    track = failing(replace(track, tries=track.tries + 1), event.error, event.fate.value)
    if event.direction is Direction.PROBE:
        return state.with_step(event.step, _probe_again(state, declared, step, track, event))
    forward = event.direction is Direction.FORWARD
    policy = declared.retry if forward else declared.compensation_retry
    again_at: float | None = None
    if event.fate in _AGAIN and policy.allows(track.tries):
        wait = event.after
        if wait is None:
            wait = delay(policy, track.tries, f"{state.id}/{event.step}/{event.direction}/{event.attempt}")
        again_at = event.at + wait
    if not forward:
        status = StepStatus.COMPENSATION_FAILED if again_at is None else StepStatus.COMPENSATING
        return state.with_step(
            event.step, replace(step, status=status, undo=replace(track, due=again_at), undoing=None)
        )
    unclean = step.unclean or (event.fate not in _CLEAN and declared.kind is not StepKind.CHILD)
    step = replace(step, forward=track, unclean=unclean)
    if again_at is None:
        return state.with_step(event.step, over(declared, step, event.at))
    return state.with_step(event.step, _again(declared, step, again_at, ask=event.fate is Fate.TIMED_OUT))


def worker_lost(definition: SagaDefinition, state: SagaState, event: WorkerLost) -> SagaState:
    """All attempts of a dead worker are lost: each may have had its effect, or not."""
    lost = {
        name: _lost(definition[name], step, direction, event.at)
        for name, step in state.steps.items()
        for direction, track in zip(Direction, step.tracks, strict=True)
        if track.claim is not None and track.claim.owner == event.owner
    }
    return replace(state, steps={**state.steps, **lost}) if lost else state


def _lost(declared: StepDefinition, step: StepState, direction: Direction, at: float) -> StepState:
    track = ended(step.track(direction), at)
    poisoned = track.losses + 1 >= LOSS_BUDGET
    track = replace(track, losses=track.losses + 1, reason=POISON if poisoned else "lost")
    return _cut_off(declared, step, direction, track, at, again=not poisoned)


def _cut_off(
    declared: StepDefinition, step: StepState, direction: Direction, track: Track, at: float, *, again: bool = True
) -> StepState:
    """An attempt came to no end, and may have had its effect: there is another one, or the step is over."""
    match direction:
        case Direction.PROBE if again:
            return replace(step, probe=opened(track, at))
        case Direction.PROBE:
            return _unresolved(replace(step, probe=track))
        case Direction.UNDO:
            status = StepStatus.COMPENSATING if again else StepStatus.COMPENSATION_FAILED
            return replace(step, status=status, undo=opened(track, at) if again else track, undoing=None)
        case _:
            unclean = step.unclean or declared.kind is not StepKind.CHILD
            step = replace(step, forward=track, unclean=unclean)
            return _again(declared, step, at, ask=True) if again else over(declared, step, at)


def _again(declared: StepDefinition, step: StepState, at: float, *, ask: bool) -> StepState:
    """Another attempt is due at that time; where ``ask``, the probe, if there is one, has its say first."""
    step = replace(step, status=StepStatus.STARTED)
    if ask and step.unclean and can_be_probed(declared, step):
        return replace(step, probe=afresh(step.probe, at))
    return replace(step, forward=opened(step.forward, at))


def _probe_again(
    state: SagaState, declared: StepDefinition, step: StepState, track: Track, event: Probed | Ended
) -> StepState:
    """The probe could not tell: it is asked again, unless it has been asked often enough."""
    policy = declared.compensation_retry
    if not policy.allows(track.tries) or (isinstance(event, Ended) and event.fate not in _AGAIN):
        return _unresolved(replace(step, probe=track))
    wait = event.after
    if wait is None:
        wait = delay(policy, track.tries, f"{state.id}/{event.step}/probe/{event.attempt}")
    return replace(step, probe=opened(track, event.at + wait))


def _unresolved(step: StepState) -> StepState:
    return replace(step, status=StepStatus.UNKNOWN, unresolved=True, exhausted=True)


def _current(state: SagaState, name: str, direction: Direction, attempt: int) -> StepState | None:
    """The step, if the event is about its latest attempt and that still runs: everything else is stale."""
    step = state.steps.get(name)
    if step is None:
        return None
    track = step.track(direction)
    return step if track.claim is not None and track.attempt == attempt else None
