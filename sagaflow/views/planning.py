"""What undoing one saga would do, before anybody asks for it: the dry run of ``compensate`` and ``cancel``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal

from msgspec import Struct

from ..answer import Verdict, answer_of, refusal_of
from ..core.definition import SagaDefinition
from ..core.events import CancellationRequested, CompensationRequested
from ..core.state import Direction, SagaState, SagaStatus
from ..errors import ConfigurationError
from ..record import SagaRecord
from .rehearsing import Kept, Rehearsal, Wave

Act = Literal["compensate", "cancel"]
"""What can be asked for."""

_REQUESTS: Final[Mapping[Act, type[CompensationRequested | CancellationRequested]]] = {
    "compensate": CompensationRequested,
    "cancel": CancellationRequested,
}
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


class UndoPlan(Struct, frozen=True):
    """What ``compensate`` or ``cancel`` would do to one saga as it stands.

    Attributes:
        saga_id, saga: which saga, and the name of its class.
        act: what is asked for.
        status: where the saga stands.
        verdict: whether it would be taken, as in ``Answer``; ``already``: it is undone, or being undone, without it.
        why: the verdict, in words.
        awaited: the attempts that run, whose end is awaited first; one that has nothing done is not undone.
        asks: the steps whose probes are asked first what became of them.
        locks: the keys of the locks that the saga needs again before it can undo anything.
        waves: what is undone, in order; what stands in one wave is undone side by side.
        stays: the steps that are not undone, and why.
        ends: how the saga would end if every compensation succeeded; None if the act would be refused.
        failure: why it could not end well.
        is_paused: nothing of it begins before somebody resumes the saga.
        limit: how long it may take; None is for ever.
    """

    saga_id: str
    saga: str
    act: Act
    status: SagaStatus
    verdict: Verdict
    why: str
    awaited: tuple[Awaited, ...] = ()
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


def plan_undo(
    record: SagaRecord[Any], act: Act = "compensate", *, definition: SagaDefinition | None = None
) -> UndoPlan:
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
    state, definition = record.state, definition or record.definition
    if definition is None:
        raise ConfigurationError(
            f"{record!r}: what it runs by is not known here, so nobody can tell what would be undone. Write "
            f"Engine(sagas=[...]) with its class"
        )
    answer = refusal_of(act, state)
    if answer is None:
        answer = answer_of(act, act in state.accepts, state.status, committed=state.committed)
    about: dict[str, Any] = {
        "saga_id": state.id,
        "saga": state.saga,
        "act": act,
        "status": state.status,
        "verdict": answer.verdict,
        "why": answer.why,
    }
    rehearsal = Rehearsal(definition, state, _stuck(record))
    if answer.verdict is Verdict.REFUSED:
        return UndoPlan(**about, stays=tuple(rehearsal.kept(())) if state.committed else ())
    rehearsal.happens(_REQUESTS[act](_NOBODY, state.updated_at))
    turned = rehearsal.state
    rehearsal.unwinds()
    undone = {undo.step for wave in rehearsal.waves for undo in wave}
    return UndoPlan(
        **about,
        awaited=tuple(_awaited(turned)),
        asks=tuple(name for name, step in turned.steps.items() if step.probe.due is not None),
        locks=tuple(rehearsal.locks),
        waves=tuple(rehearsal.waves),
        stays=tuple(rehearsal.kept(undone)),
        ends=rehearsal.state.status,
        failure=rehearsal.state.failure,
        is_paused=state.paused,
        limit=definition.compensation_deadline if rehearsal.waves else None,
    )


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
