"""Small changes of one step's attempts, which several kinds of events have in common."""

from __future__ import annotations

from msgspec.structs import replace

from .definition import StepDefinition
from .state import Direction, StepState, StepStatus, Track


def ended(track: Track, at: float) -> Track:
    """The latest attempt is over, and no other one is open."""
    return replace(track, claim=None, due=None, ended_at=at)


def opened(track: Track, at: float) -> Track:
    """Another attempt may be claimed from then on."""
    return replace(track, due=at)


def closed(track: Track) -> Track:
    """No attempt is open."""
    return replace(track, due=None)


def afresh(track: Track, at: float | None = None) -> Track:
    """As if it had never been tried, but for what is known of the attempts; open at ``at``, if that is given."""
    return replace(track, tries=0, losses=0, due=at)


def with_track(step: StepState, direction: Direction, track: Track) -> StepState:
    """The step with this in the place of its track in that direction."""
    match direction:
        case Direction.FORWARD:
            return replace(step, forward=track)
        case Direction.UNDO:
            return replace(step, undo=track)
        case _:
            return replace(step, probe=track)


def can_be_probed(declared: StepDefinition, step: StepState) -> bool:
    """Whether somebody can find out what became of it, and has not tried in vain."""
    return declared.probe is not None and not step.unresolved


def is_in_motion(step: StepState) -> bool:
    """Whether something of it runs, is open, or is waited for."""
    return step.is_waiting or is_busy(step.forward) or is_busy(step.undo) or is_busy(step.probe)


def is_busy(track: Track) -> bool:
    """Whether an attempt runs, or is open."""
    return track.due is not None or track.claim is not None


def has_claim(step: StepState) -> bool:
    """Whether somebody runs something of it."""
    return any(track.claim is not None for track in step.tracks)


def over(declared: StepDefinition, step: StepState, at: float) -> StepState:
    """It gets no more attempts: failed if certainly nothing of it remains, else unknown, or first to be probed."""
    step = replace(step, exhausted=True, forward=closed(step.forward), asked=False, wait_until=None)
    if not step.unclean:
        return replace(step, status=StepStatus.FAILED)
    if can_be_probed(declared, step):
        return replace(step, status=StepStatus.STARTED, probe=afresh(step.probe, at))
    return replace(step, status=StepStatus.UNKNOWN)


def completed(step: StepState, output: str, at: float) -> StepState:
    """It is done, with this output."""
    return replace(
        step,
        status=StepStatus.COMPLETED,
        output=output,
        forward=ended(step.forward, at),
        probe=closed(step.probe),
        asked=False,
        wait_until=None,
        # The output of an earlier attempt may have come already: one transaction is undone once.
        late=tuple(late for late in step.late if late != output),
    )


def failing(track: Track, error: str | None, reason: str) -> Track:
    """It went wrong; the first error stays for ever."""
    return replace(
        track,
        reason=reason,
        first_error=track.first_error if track.first_error is not None else error,
        last_error=error if error is not None else track.last_error,
    )
