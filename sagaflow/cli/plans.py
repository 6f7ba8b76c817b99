"""What would be undone, in words: for dry runs, confirmations and explanations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from ..core.state import Direction
from ..views import ActPlan, Because, Kept, Outcome, Undo, Wave
from ..views.wording import listed, span
from .wording import status

QUIET: Final = frozenset({Because.NOT_BEGUN, Because.NOTHING_LEFT, Because.UNDONE})
"""Reasons to keep a step that nobody needs to be warned of."""


def in_words(waves: Sequence[Wave]) -> str:
    """What is undone, in one line, in order."""
    said = ", then ".join(" and ".join(_short(undo) for undo in wave) for wave in waves)
    return f"undoes {said}" if said else ""


def kept_in_words(kept: Iterable[Kept]) -> list[str]:
    """What stays, by the reason."""
    reasons: dict[str, list[str]] = {}
    for one in kept:
        reasons.setdefault(one.why, []).append(one.step)
    return [f"keeps {listed(steps)}: {why}" for why, steps in reasons.items()]


def plan_of(plan: ActPlan) -> RenderableType:
    """A dry run, from top to bottom."""
    return Group(*_lines(plan))


def _lines(plan: ActPlan) -> Iterator[Text]:
    style = {"accepted": "green", "already": "dim", "refused": "red"}[plan.verdict]
    yield Text.assemble((f"{plan.saga} {plan.saga_id}", "bold"), "  ", (f"{plan.verdict}: ", style), plan.why)
    if plan.is_paused:
        yield Text("  nothing of it begins before somebody resumes it", "yellow")
    for attempt in plan.awaited:
        what = "step" if attempt.direction is Direction.FORWARD else "the probe of step"
        yield Text(f"  waits for {what} {attempt.step!r}, which runs (attempt {attempt.attempt})")
    if plan.does:
        yield Text(f"  does {', '.join(plan.does)}")
    if plan.asks:
        yield Text(f"  asks what became of {listed(plan.asks)}")
    if plan.locks:
        yield Text(f"  takes lock {listed(plan.locks)}")
    for number, wave in enumerate(plan.waves, 1):
        for undo in wave:
            yield Text(f"  {number}. {_long(undo)}", "magenta")
    for line in kept_in_words(plan.stays):
        yield Text(f"  {line}", "dim")
    if plan.failure is not None:
        yield Text(f"  cannot end well: {plan.failure}", "red")
    if plan.ends is not None:
        within = f", within {span(plan.limit)}" if plan.limit is not None else ""
        yield Text.assemble("  then it is ", status(plan.ends), within)


def _short(undo: Undo) -> str:
    return f"{undo.step} (if done)" if undo.if_done else undo.step


def _long(undo: Undo) -> str:
    by = f"by {undo.compensation}" if undo.compensation is not None else f"by saga {undo.child} itself"
    notes = [
        *(["if it was done"] if undo.if_done else []),
        *(["its outcome is unknown"] if undo.outcome is Outcome.UNKNOWN and not undo.if_done else []),
        *(["a late output"] if undo.outcome is Outcome.LATE else []),
        *(["under way"] if undo.is_running else []),
    ]
    return f"undo {undo.step} {by}" + (f" ({', '.join(notes)})" if notes else "")
