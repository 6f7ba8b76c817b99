"""What an act on one saga would lead to, before anybody asks for it: its dry run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal

from msgspec import Struct

from ..answer import Answer, Verdict, answer_of, refusal_of
from ..core.definition import SagaDefinition
from ..core.events import CancellationRequested, CompensationRequested, PauseRequested, Request
from ..core.state import Direction, SagaState, SagaStatus, StepStatus
from ..errors import ConfigurationError
from ..record import SagaRecord
from .rehearsing import Kept, Rehearsal, Wave

Act = Literal["compensate", "cancel"]
"""What can be asked for."""

_REQUESTS: Final[Mapping[Act, type[CompensationRequested | CancellationRequested]]] = {
    "compensate": CompensationRequested,
    "cancel": CancellationRequested,
}
_FORWARD: Final = frozenset({SagaStatus.SCHEDULED, SagaStatus.STARTED})
_NOBODY: Final = "dry run"


class Awaited(Struct, frozen=True):
    """An attempt that runs, and is awaited before its step is undone.

    Attributes:
        step: of which step.
        direction: whether the step is done, or it is found out what became of it.
        attempt: the number of the attempt.
    """

    step: str
    direction: Direction
    attempt: int


class ActPlan(Struct, frozen=True):
    """What an act would lead to, for one saga as it stands, if everything goes well.

    Attributes:
        saga_id, saga: which saga, and the name of its class.
        act: what is asked for: ``compensate``, ``cancel``, ``retry``, ``skip``, ….
        status: where the saga stands.
        verdict: whether it would be taken, as in ``Answer``; ``already``: it is undone, or being undone, without it.
        why: the verdict, in words.
        awaited: the attempts that run, whose end is awaited first; one that has nothing done is not undone.
        does: the steps that are done then, side by side or one after the other, if the saga goes forward.
        asks: the steps whose probes are asked first what became of them.
        locks: the keys of the locks that the saga needs again before it can undo anything.
        waves: what is undone, in order; what stands in one wave is undone side by side.
        stays: the steps that are not undone, and why.
        ends: how the saga would end; None if the act would be refused, or brings the saga no nearer to its end.
        failure: why it could not end well.
        is_paused: nothing of it begins before somebody resumes the saga.
        limit: how long it may take; None is for ever.
    """

    saga_id: str
    saga: str
    act: str
    status: SagaStatus
    verdict: Verdict
    why: str
    awaited: tuple[Awaited, ...] = ()
    does: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    waves: tuple[Wave, ...] = ()
    stays: tuple[Kept, ...] = ()
    ends: SagaStatus | None = None
    failure: str | None = None
    is_paused: bool = False
    limit: timedelta | None = None

    @property
    def undone(self) -> tuple[str, ...]:
        """The steps that are undone, in order."""
        return tuple(dict.fromkeys(undo.step for wave in self.waves for undo in wave))


def plan_undo(record: SagaRecord[Any], act: Act = "compensate", *, definition: SagaDefinition | None = None) -> ActPlan:
    """What that act would do to the saga now, if everything goes well. Nothing is changed, and nobody is asked.

    It is what the core decides, played to the end. What it cannot know: how the attempts end that run (they are
    expected to succeed), what a probe will say (it is expected that the step was done), and whether a compensation
    succeeds.

    Args:
        record: the saga.
        act: ``"compensate"`` or ``"cancel"``.
        definition: what the saga runs by, where the record does not know it.

    Raises:
        ConfigurationError: what the saga runs by is not known.

    Example:
        >>> def in_words(record: SagaRecord[Any]) -> str:
        ...     plan = plan_undo(record)
        ...     return ", then ".join(" and ".join(undo.step for undo in wave) for wave in plan.waves) or plan.why
    """
    state = record.state
    answer = refusal_of(act, state)
    if answer is None:
        answer = answer_of(act, act in state.accepts, state.status, committed=state.committed)
    request = _REQUESTS[act](_NOBODY, state.updated_at)
    return plan_act(record, act, answer, request, definition=definition)


def plan_act(
    record: SagaRecord[Any],
    act: str,
    answer: Answer,
    request: Request | None,
    *,
    definition: SagaDefinition | None = None,
) -> ActPlan:
    """What an act would lead to that an engine has judged. Nothing is changed. See ``plan_undo``.

    Args:
        record: the saga.
        act: the name of the act.
        answer: the engine's; of what it refuses nothing comes.
        request: what would be recorded; None if nothing would.
        definition: what the saga runs by, where the record does not know it.

    Raises:
        ConfigurationError: what the saga runs by is not known.
    """
    state, definition = record.state, definition or record.definition
    if definition is None:
        raise ConfigurationError(
            f"{record!r}: what it runs by is not known here, so nobody can tell what would be undone. Write "
            f"Engine(sagas=[...]) with its class"
        )
    about: dict[str, Any] = {
        "saga_id": state.id,
        "saga": state.saga,
        "act": act,
        "status": state.status,
        "verdict": answer.verdict,
        "why": answer.why,
    }
    rehearsal = Rehearsal(definition, state, _stuck(record))
    if answer.verdict is Verdict.REFUSED or request is None:
        return ActPlan(**about, stays=tuple(rehearsal.kept(())) if state.committed else ())
    rehearsal.happens(request)
    asked = rehearsal.state
    if isinstance(request, PauseRequested):
        return ActPlan(**about, awaited=tuple(_awaited(asked)), is_paused=True)
    rehearsal.resumes()
    rehearsal.goes_on()
    does = [name for name in _pending(asked) if rehearsal.state.steps[name].status is StepStatus.COMPLETED]
    rehearsal.unwinds()
    undone = {undo.step for wave in rehearsal.waves for undo in wave}
    return ActPlan(
        **about,
        awaited=tuple(_awaited(asked)),
        does=tuple(does),
        asks=tuple(name for name, step in asked.steps.items() if step.probe.due is not None),
        locks=tuple(rehearsal.locks),
        waves=tuple(rehearsal.waves),
        stays=() if asked.status in _FORWARD else tuple(rehearsal.kept(undone)),
        ends=rehearsal.state.status if rehearsal.state.status.is_terminal else None,
        failure=rehearsal.state.failure,
        is_paused=asked.paused,
        limit=definition.compensation_deadline if rehearsal.waves else None,
    )


def _pending(state: SagaState) -> list[str]:
    """The steps that are not done, and for which nothing runs."""
    return [
        name
        for name, step in state.steps.items()
        if step.status is not StepStatus.COMPLETED and step.forward.claim is None
    ]


def _awaited(state: SagaState) -> list[Awaited]:
    return [
        Awaited(name, direction, track.attempt)
        for name, step in state.steps.items()
        for direction in (Direction.FORWARD, Direction.PROBE)
        if (track := step.track(direction)).claim is not None
    ]


def _stuck(record: SagaRecord[Any]) -> dict[str, SagaStatus]:
    """The steps whose child sagas would not undo themselves, as far as these are known."""
    children = record.children
    failed = {step: SagaStatus.FAILED for step, child in children.items() if child.is_failed}
    return {step: SagaStatus.COMPLETED for step, child in children.items() if child.is_committed} | failed
