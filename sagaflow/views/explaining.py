"""What a failure of each step of a saga leads to: which compensations run, in which order, and what stays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ..core.decide import new_saga
from ..core.definition import SagaDefinition, StepDefinition, StepKind
from ..core.events import CancellationRequested, ChildEnded, ChildInserted, Ended, Fate, Succeeded
from ..core.state import Direction, SagaState, SagaStatus
from ..core.unfold import element_name
from ..saga import Saga
from .rehearsing import Kept, Rehearsal, Undo, Wave
from .wording import span

_START: Final = 0.0
_SAGA_LOCK: Final = "the lock of the saga"
_WHO: Final = "explained"


class Consequence(Struct, frozen=True):
    """What comes of it if a step ends in one way.

    Attributes:
        ways: what brings it about, in words.
        asks: the probe that is asked first what became of the step. What follows holds if it cannot tell.
        waves: what is undone, in order; what stands in one wave is undone side by side.
        stays: the steps that are not undone, and why.
        ends: how the saga ends if every compensation succeeds.
        reason: why, as the saga's record will say it.
    """

    ways: tuple[str, ...]
    asks: str | None
    waves: tuple[Wave, ...]
    stays: tuple[Kept, ...]
    ends: SagaStatus
    reason: str | None

    @property
    def undone(self) -> tuple[str, ...]:
        """The steps that are undone, in order."""
        return tuple(dict.fromkeys(undo.step for wave in self.waves for undo in wave))


class StepExplanation(Struct, frozen=True):
    """One step, and what comes of it if it does not succeed.

    Everything before it is held to be done. What stands beside it, and may be done or not, is marked ``if_done``.

    Attributes:
        step: its name.
        kind: what doing it means.
        after: the steps that it waits for.
        compensation: the method that undoes it.
        child: of a step that another saga does: the name of its class.
        is_pivot: whether there is no way back once it has begun.
        is_past_pivot: whether there is none when it begins.
        attempts: how often it is tried, at most; None is without limit.
        failed: if it fails, and certainly nothing of it has happened.
        unknown: if it fails, and may have happened nevertheless.
        cancelled: if the saga is cancelled, or its deadline passes, while it runs; None if that changes nothing then.
    """

    step: str
    kind: StepKind
    after: tuple[str, ...]
    compensation: str | None
    child: str | None
    is_pivot: bool
    is_past_pivot: bool
    attempts: int | None
    failed: Consequence
    unknown: Consequence
    cancelled: Consequence | None


class Explanation(Struct, frozen=True):
    """What a saga does when something goes wrong.

    Attributes:
        saga: the name of its class.
        deadline: after which time it is compensated unless it has ended, or has begun its pivot; None is never.
        compensation_deadline: how long compensating may take, until it is left to a person; None is for ever.
        pivot: the step after whose beginning there is no way back; None if there is none.
        steps: its steps, in order.
    """

    saga: str
    deadline: timedelta | None
    compensation_deadline: timedelta | None
    pivot: str | None
    steps: tuple[StepExplanation, ...]


def explain(saga: type[Saga[Any]] | SagaDefinition) -> Explanation:
    """What comes of it if a step of the saga fails, for every step.

    It is what the core decides about a saga made up for the purpose, played to the end. A list stands for its elements,
    one of which fails when the others are done.

    Raises:
        TypeError: the class is abstract.

    Example:
        >>> from sagaflow.core.definition import StepDefinition
        >>> steps = StepDefinition(name="book", action="book", compensation="free"), StepDefinition(
        ...     name="pay", action="pay", after=("book",)
        ... )
        >>> explain(SagaDefinition(name="Trip", steps=steps)).steps[1].failed.undone
        ('book',)
    """
    definition = saga if isinstance(saga, SagaDefinition) else saga.definition
    pivot = definition.pivot
    past = definition.dependents(pivot.name) if pivot is not None else frozenset[str]()
    return Explanation(
        saga=definition.name,
        deadline=definition.deadline,
        compensation_deadline=definition.compensation_deadline,
        pivot=pivot.name if pivot is not None else None,
        steps=tuple(_explained(definition, step, is_past_pivot=step.name in past) for step in definition),
    )


def _explained(definition: SagaDefinition, step: StepDefinition, *, is_past_pivot: bool) -> StepExplanation:
    scene = _Scene(definition, step)
    return StepExplanation(
        step=step.name,
        kind=step.kind,
        after=step.after,
        compensation=step.compensation,
        child=step.child,
        is_pivot=step.pivot,
        is_past_pivot=is_past_pivot,
        attempts=step.retry.attempts,
        failed=scene.fails(),
        unknown=scene.is_unknown(),
        cancelled=scene.is_cancelled(),
    )


class _Scene:
    """A saga in which one step runs, and all is done that can be done without it."""

    def __init__(self, definition: SagaDefinition, step: StepDefinition) -> None:
        self._definition = definition
        self._step = step
        # Of a list the last element is the one that fails: with at_once=1 the other one could not be done before.
        self._name = element_name(step.name, 1) if step.kind is StepKind.EACH else step.name
        lock = _SAGA_LOCK if definition.lock is not None else None
        rehearsal = Rehearsal(definition, new_saga(definition, _WHO, "", _START, lock=lock))
        if step.kind is StepKind.EACH:
            rehearsal.goes_on(without=step.name)
            rehearsal.begins(step.name, elements=2)
        rehearsal.goes_on(without=self._name)
        rehearsal.begins(self._name)
        # What the outside has told another step is no answer to this one.
        self._running: SagaState = replace(rehearsal.state, signals={})
        self._beside = self._steps_beside()

    def _steps_beside(self) -> set[str]:
        ancestors: set[str] = set()
        for step in reversed(self._definition.steps):
            if step.name == self._step.name or step.name in ancestors:
                ancestors.update(step.after)
        return {step.name for step in self._definition} - ancestors

    # ------------------------------------------------------------------ what happens to it

    def fails(self) -> Consequence:
        aborts = ["Abort", *(kind.__name__ for kind in self._step.abort_on)]
        ways: tuple[str, ...] = (f"it raises {', '.join(aborts)}",)
        if self._step.kind is StepKind.CHILD:
            return self._ends(SagaStatus.COMPENSATED, f"saga {self._step.child} was compensated", *ways)
        if self._step.kind is StepKind.WAIT:
            ways = ("the outside refuses", *ways)
        rehearsal = Rehearsal(self._definition, self._running)
        rehearsal.happens(self._ended(rehearsal, Direction.FORWARD, Fate.ABORTED))
        return self._consequence(rehearsal, ways)

    def is_unknown(self) -> Consequence:
        if self._step.kind is StepKind.CHILD:
            return self._ends(SagaStatus.FAILED, f"saga {self._step.child} has failed")
        rehearsal = Rehearsal(self._definition, self._running)
        rehearsal.happens(self._ended(rehearsal, Direction.FORWARD, Fate.FINAL))
        asks = rehearsal.state.steps[self._name].probe.due is not None
        if asks:
            rehearsal.begins(self._name)
            rehearsal.happens(self._ended(rehearsal, Direction.PROBE, Fate.FINAL))
        return self._consequence(rehearsal, tuple(self._doubts()), asks=self._step.probe if asks else None)

    def _doubts(self) -> Iterable[str]:
        if self._step.kind is StepKind.WAIT and self._step.deadline is not None:
            yield f"there is no answer within {span(self._step.deadline)}"
        attempts = self._step.retry.attempts
        if attempts is not None:
            yield f"another exception, after {attempts} attempts" if attempts > 1 else "another exception"
        if self._step.timeout is not None and attempts is not None:
            yield f"a timeout of {span(self._step.timeout)}, likewise"
        yield "its workers died, five in all"

    def is_cancelled(self) -> Consequence | None:
        rehearsal = Rehearsal(self._definition, self._running)
        if not rehearsal.happens(CancellationRequested("it was cancelled", rehearsal.state.updated_at)):
            return None
        ways = ["the saga is cancelled"]
        if self._definition.deadline is not None:
            ways.append(f"its deadline of {span(self._definition.deadline)} passes")
        return self._consequence(rehearsal, tuple(ways))

    def _ends(self, status: SagaStatus, *ways: str) -> Consequence:
        """The child saga comes to that end."""
        rehearsal = Rehearsal(self._definition, self._running, {self._name: status})
        attempt = rehearsal.state.steps[self._name].forward.attempt
        rehearsal.happens(
            Succeeded(self._name, Direction.FORWARD, attempt, "", _START),
            ChildInserted(self._name, _START),
            ChildEnded(self._name, status, _START, child=_WHO),
        )
        return self._consequence(rehearsal, ways)

    def _ended(self, rehearsal: Rehearsal, direction: Direction, fate: Fate) -> Ended:
        attempt = rehearsal.state.steps[self._name].track(direction).attempt
        return Ended(self._name, direction, attempt, fate, "", _START)

    # ------------------------------------------------------------------ what comes of it

    def _consequence(self, rehearsal: Rehearsal, ways: tuple[str, ...], *, asks: str | None = None) -> Consequence:
        rehearsal.goes_on()  # after the pivot the others do
        rehearsal.unwinds()
        undone = {undo.step for wave in rehearsal.waves for undo in wave}
        return Consequence(
            ways=ways,
            asks=asks,
            waves=tuple(self._shown(wave) for wave in rehearsal.waves),
            stays=tuple(dict.fromkeys(replace(one, step=_base(one.step)) for one in rehearsal.kept(undone))),
            ends=rehearsal.state.status,
            reason=self._said(rehearsal.state.why),
        )

    def _said(self, reason: str | None) -> str | None:
        """As of the class: neither the element nor the fate that stand for all others are named."""
        return reason and reason.replace(repr(self._name), repr(self._step.name)).replace(f" ({Fate.FINAL})", "")

    def _shown(self, wave: Wave) -> Wave:
        """With the names of lists in the place of those of their elements."""
        return tuple(dict.fromkeys(self._marked(undo) for undo in wave))

    def _marked(self, undo: Undo) -> Undo:
        is_beside = _base(undo.step) in self._beside and undo.step != self._name
        return replace(undo, step=_base(undo.step), if_done=undo.if_done or is_beside)


def _base(name: str) -> str:
    return name.partition("[")[0]
