"""Telling observers, so that none of them can do any harm; and what there is to tell of one commit."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Concatenate, Final, ParamSpec

from ..core.definition import SagaDefinition
from ..core.events import Claimed, Ended, Event, Probed, Released, Succeeded, WorkerLost
from ..core.state import Direction, SagaState, StepStatus
from ..core.unfold import unfold
from ..errors import ConfigurationError
from ..ports.observer import SETTLED, Attempt, AttemptEnd, Observer
from ..throttle import Throttle

logger: logging.Logger = logging.getLogger("sagaflow.observers")

UNOBSERVED: Final[AbstractContextManager[None]] = nullcontext()
"""What is done within when nobody looks on."""

P = ParamSpec("P")

# What the store and the broker are given is a traceparent, whatever an observer says.
_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_UNDONE: Final = frozenset({StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED})


class Observers:
    """All observers of one engine. Where there are none there is no such thing, so that it costs nothing."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.all: tuple[Observer, ...] = tuple(observers)
        self._throttle = Throttle(logger)

    @classmethod
    def of(cls, observers: Sequence[object]) -> Observers | None:
        """None if there are none.

        Raises:
            ConfigurationError: one of them is no observer.
        """
        known = [observer for observer in observers if isinstance(observer, Observer)]
        for observer in observers:
            if not isinstance(observer, Observer):
                what = observer.__name__ if isinstance(observer, type) else type(observer).__name__
                remedy = f"{what}()" if isinstance(observer, type) else "an object of a subclass of Observer"
                raise ConfigurationError(f"Engine(observers=[...]): {what} is no observer; write {remedy}")
        return cls(known) if known else None

    def tell(self, what: Callable[Concatenate[Observer, P], None], *args: P.args, **named: P.kwargs) -> None:
        """Tell each of them by this method of ``Observer``, whatever the others raise."""
        for observer in self.all:
            self.tell_one(observer, what, *args, **named)

    def tell_one(
        self,
        observer: Observer,
        what: Callable[Concatenate[Observer, P], None],
        *args: P.args,
        **named: P.kwargs,
    ) -> None:
        """Tell one of them."""
        try:
            getattr(observer, what.__name__)(*args, **named)
        except Exception:
            self._failed(observer)

    def started(self, saga: SagaState) -> None:
        """Tell of a saga that is stored; one that has nothing to do has ended with that."""
        self.tell(Observer.saga_started, saga)
        if saga.status.is_terminal:
            self.tell(Observer.saga_ended, saga)

    def running(self, attempt: Attempt) -> AbstractContextManager[object]:
        """What its handler is called within."""
        self.tell(Observer.attempt_began, attempt)
        return self._within(Observer.running, attempt)

    @contextmanager
    def starting(self, saga: str, saga_id: str) -> Generator[str | None]:
        """What a saga is stored within; gives the trace that the first observer names that names one."""
        with self._within(Observer.starting, saga, saga_id) as given:
            yield next((trace for trace in given if isinstance(trace, str) and _TRACE.fullmatch(trace)), None)

    def committed(
        self, definition: SagaDefinition, before: SagaState, after: SagaState, events: Sequence[Event]
    ) -> None:
        """Tell all that a commit has brought about."""
        try:
            attempts = list(ended_attempts(before, after, events))
            steps = list(ended_steps(definition, before, after))
        except Exception:  # what was committed goes on, whatever is wrong here
            logger.exception("saga %s: what a commit has brought about cannot be told", after.id)
            return
        for attempt, end, seconds in attempts:
            self.tell(Observer.attempt_ended, attempt, end, seconds)
        for step, since in steps:
            self.tell(Observer.step_ended, after, step, since)
        if after.status.is_terminal and not before.status.is_terminal:
            self.tell(Observer.saga_ended, after)

    @contextmanager
    def _within(
        self, what: Callable[Concatenate[Observer, P], AbstractContextManager[Any]], *args: P.args, **named: P.kwargs
    ) -> Generator[list[object]]:
        entered: list[tuple[Observer, AbstractContextManager[Any]]] = []
        given: list[object] = []
        for observer in self.all:
            try:
                manager = getattr(observer, what.__name__)(*args, **named)
                given.append(manager.__enter__())
                entered.append((observer, manager))
            except Exception:
                self._failed(observer)
        raised: BaseException | None = None
        try:
            yield given
        except BaseException as error:
            raised = error
            raise
        finally:
            kind, trace = (type(raised), raised.__traceback__) if raised is not None else (None, None)
            for observer, manager in reversed(entered):
                try:
                    manager.__exit__(kind, raised, trace)
                except Exception as error:
                    if error is not raised:
                        self._failed(observer)

    def _failed(self, observer: Observer) -> None:
        # Without a traceback: what an exception says or shows may be a payload.
        error, name = sys.exc_info()[0], type(observer).__name__
        kind = error.__name__ if error is not None else "nothing"
        self._throttle.warning(name, "the observer %s has raised %s, which no saga heeds", name, kind)


def ended_attempts(
    before: SagaState, after: SagaState, events: Sequence[Event]
) -> Iterator[tuple[Attempt, AttemptEnd, float]]:
    """The attempts that were running before the commit, and have ended by these events."""
    told: set[tuple[str, Direction]] = set()
    for event in events:
        end = _end_of(event)
        if end is None:
            continue
        for step, direction in _ended_by(before, event):
            track = before.steps[step].track(direction)
            now = after.steps[step].track(direction)
            if (step, direction) in told or (now.claim is not None and now.attempt == track.attempt):
                continue
            told.add((step, direction))
            began = track.started_at if track.started_at is not None else event.at
            yield attempt_of(before, step, direction), end, max(0.0, event.at - began)


def _end_of(event: Event) -> AttemptEnd | None:
    match event:
        case Succeeded():
            return AttemptEnd.SUCCEEDED
        case Probed():
            return AttemptEnd.STILL_UNKNOWN if event.happened is None else AttemptEnd.SUCCEEDED
        case Ended():
            return AttemptEnd(event.fate.value)
        case Released():
            return AttemptEnd.RELEASED
        case WorkerLost():
            return AttemptEnd.LOST
        case _:
            return None


def _ended_by(before: SagaState, event: Event) -> Iterator[tuple[str, Direction]]:
    if isinstance(event, WorkerLost):
        for name, step in before.steps.items():
            for direction in Direction:
                claim = step.track(direction).claim
                if claim is not None and claim.owner == event.owner:
                    yield name, direction
    elif isinstance(event, Succeeded | Probed | Ended | Released) and event.step in before.steps:
        track = before.steps[event.step].track(event.direction)
        if track.claim is not None and track.attempt == event.attempt:
            yield event.step, event.direction


def attempt_of(state: SagaState, step: str, direction: Direction, waited: float | None = None) -> Attempt:
    """What observers are told of the latest attempt of a step."""
    number = state.steps[step].track(direction).attempt
    return Attempt(state.saga, state.id, step, direction, number, state.trace, waited)


def ended_steps(definition: SagaDefinition, before: SagaState, after: SagaState) -> Iterator[tuple[str, float]]:
    """The steps that have come to an end by this commit, and since when each could begin."""
    if before.steps is after.steps:
        return
    for name, step in after.steps.items():
        old = before.steps.get(name)
        if step.status in SETTLED and (old is None or old.status is not step.status):
            yield name, _since(definition, after, name)


def _since(definition: SagaDefinition, state: SagaState, name: str) -> float:
    """When a step could begin: what it comes after had ended, going forward; its last attempt began, going back."""
    step = state.steps[name]
    if step.status in _UNDONE:
        began = step.undo.started_at
        return began if began is not None else state.updated_at
    earlier = (state.steps[other].forward.ended_at for other in unfold(definition, state)[name].after)
    begins = state.start_at if state.start_at is not None else state.created_at
    return max((at for at in earlier if at is not None), default=begins)


def waited_for(before: SagaState, claim: Claimed) -> float:
    """Seconds that an attempt could have been claimed, and was not; none for what was opened with its claim."""
    step = before.steps.get(claim.step)
    due = step.track(claim.direction).due if step is not None else None
    return max(0.0, claim.at - due) if due is not None else 0.0
