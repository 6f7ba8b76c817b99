"""One call of one handler: from the recorded state to the event that says how it ended."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar, cast

from ..core.definition import StepDefinition, StepKind
from ..core.events import Ended, Fate, Probed, Succeeded
from ..core.retry import Retry
from ..core.state import Direction, SagaState
from ..core.work import undo_payload
from ..errors import Abort, PayloadError, RetryLater, StepCancelled
from ..execution import Execution, attach
from ..ports import Codec
from ..ports.clock import Clock
from ..probing import Happened, NotHappened, StillUnknown
from ..record import Family
from .binding import Binding
from .failures import describe
from .observing import UNOBSERVED, Observers, attempt_of
from .settings import Settings

logger: logging.Logger = logging.getLogger("sagaflow.step")

T = TypeVar("T")

Result = Succeeded | Probed | Ended
"""How an attempt ended."""

_UNLIMITED = nullcontext()  # a timeout of None would cost each call more than all else that is done for it
_RUN = {Direction.FORWARD: "run", Direction.UNDO: "compensation", Direction.PROBE: "probe"}


class Pulse:
    """The life of one attempt, as seen from outside: whether it is heard of, in time, and still wanted.

    Args:
        limit: how long it may take.
        silence: how long it may go on without being heard of.
    """

    def __init__(self, limit: timedelta | None, silence: timedelta | None) -> None:
        self.is_cancelled = False
        self._limit = asyncio.timeout(limit.total_seconds()) if limit is not None else None
        self._silence = asyncio.timeout(None) if silence is not None else None
        self._longest = silence.total_seconds() if silence is not None else 0.0
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._is_over = False

    async def bound(self, work: Awaitable[T]) -> T:
        """Let it take no longer than it may.

        Raises:
            TimeoutError: it did, and was cut off.
        """
        try:
            async with self._limit or _UNLIMITED, self._silence or _UNLIMITED:
                self._put_off()
                return await work
        finally:
            self._is_over = True  # whoever is heard of now is a straggler

    @property
    def was_cut(self) -> bool:
        """Whether it has taken longer than it may."""
        return any(limit is not None and limit.expired() for limit in (self._limit, self._silence))

    def beat(self) -> None:
        """The attempt is heard of; from any thread.

        Raises:
            StepCancelled: it is not wanted any more.
        """
        if self.is_cancelled:
            raise StepCancelled("the saga has turned back: this attempt is not wanted any more")
        if self._is_over:  # a thread that goes on after its handler has been cut off
            raise StepCancelled("this attempt was cut off: nobody waits for it any more")
        if threading.get_ident() == self._thread:
            self._put_off()
        else:
            self._loop.call_soon_threadsafe(self._put_off)

    def _put_off(self) -> None:
        if self._silence is not None and not self._is_over and not self._silence.expired():
            self._silence.reschedule(self._loop.time() + self._longest)


class Runner:
    """Calls handlers. Whatever a handler does, an event comes out; only the worker's own cancellation gets through."""

    def __init__(self, codec: Codec, clock: Clock, settings: Settings, observers: Observers | None = None) -> None:
        self._codec = codec
        self._clock = clock
        self._settings = settings
        self._observers = observers

    async def run(  # all that there is to know of an attempt
        self,
        binding: Binding,
        state: SagaState,
        declared: StepDefinition,
        direction: Direction,
        *,
        family: Family,
        pulse: Pulse,
        waited: float | None = None,
    ) -> Result:
        """Run the attempt that ``state`` has claimed.

        Args:
            waited: how long it had waited to be claimed, in seconds, if that is known.

        Raises:
            asyncio.CancelledError: this call was cancelled; then how the handler ended is not known.
        """
        step = declared.name
        attempt = state.steps[step].track(direction).attempt
        try:
            arguments, outputs, execution = self._prepare(binding, state, declared, direction, family, pulse)
        except PayloadError as error:
            return self.ended(state, step, direction, attempt, error, Fate.REFUSED)
        try:
            method = str(_method(declared, direction))
            handler = attach(binding.handler(method), execution)
            observers = self._observers
            with observers.running(attempt_of(state, step, direction, waited)) if observers else UNOBSERVED:
                result = await pulse.bound(getattr(handler, method)(*arguments, **outputs))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if pulse.is_cancelled:
                if task is not None:
                    task.uncancel()
                return self.ended(state, step, direction, attempt, error, Fate.CANCELLED)
            if task is not None and task.cancelling():
                raise
            # The handler itself raised it (something inside was cancelled): an exception like any other.
            return self.ended(state, step, direction, attempt, error, Fate.RETRYABLE)
        except (Exception, SystemExit) as error:
            after = error.after.total_seconds() if isinstance(error, RetryLater) else None
            fate = _fate(declared, direction, error, was_cut=pulse.was_cut, cancelled=pulse.is_cancelled)
            return self.ended(state, step, direction, attempt, error, fate, after)
        return self._result(binding, state, declared, direction, attempt, result)

    def _result(  # all that there is to know of an attempt
        self,
        binding: Binding,
        state: SagaState,
        declared: StepDefinition,
        direction: Direction,
        attempt: int,
        result: Any,
    ) -> Result:
        step, at = declared.name, self._clock.now()
        if direction is Direction.UNDO:
            return Succeeded(step, direction, attempt, None, at)
        limit = self._settings.output_limit
        try:
            if direction is Direction.PROBE:
                return self._found(binding, declared, attempt, result)
            if declared.kind is StepKind.WAIT:
                return Succeeded(step, direction, attempt, "null", at)
            return Succeeded(step, direction, attempt, binding.encode_result(declared, result, limit), at)
        except (PayloadError, TypeError) as error:
            return self.ended(state, step, direction, attempt, error, Fate.UNRECORDABLE)

    def _found(self, binding: Binding, declared: StepDefinition, attempt: int, result: object) -> Probed:
        at = self._clock.now()
        match result:
            case Happened():
                found = cast("Happened[object]", result)
                payload = binding.encode_output(declared, found.output, self._settings.output_limit)
                return Probed(declared.name, attempt, True, at, output=payload)
            case NotHappened():
                return Probed(declared.name, attempt, False, at)
            case StillUnknown():
                after = result.retry_after.total_seconds() if result.retry_after is not None else None
                return Probed(declared.name, attempt, None, at, after=after)
            case _:
                raise TypeError(
                    f"probe {declared.probe!r} returned a {type(result).__name__}; return Happened(output), "
                    f"NotHappened() or StillUnknown()"
                )

    def ended(
        self,
        state: SagaState,
        step: str,
        direction: Direction,
        attempt: int,
        error: BaseException,
        fate: Fate,
        after: float | None = None,
    ) -> Ended:
        """The event of an attempt that did not succeed, logged without what its message says (it may hold data)."""
        logger.log(
            logging.INFO if fate is Fate.ABORTED else logging.WARNING,
            "saga %s %s, %s of step %s, attempt %d: %s (%s)",
            state.saga,
            state.id,
            _RUN[direction],
            step,
            attempt,
            type(error).__name__,
            fate,
            extra={"saga_id": state.id, "saga": state.saga, "step": step, "attempt": attempt},
        )
        payload = self._codec.encode(*describe(error))
        return Ended(step, direction, attempt, fate, payload, self._clock.now(), after)

    def _prepare(  # all that a handler may want to know
        self,
        binding: Binding,
        state: SagaState,
        declared: StepDefinition,
        direction: Direction,
        family: Family,
        pulse: Pulse,
    ) -> tuple[list[Any], dict[str, Any], Execution]:
        step = state.steps[declared.name]
        arguments: list[Any] = [binding.decode_context(state)]
        outputs: dict[str, Any] = {}
        outcome: Literal["completed", "unknown"] | None = None
        if declared.takes_item:
            item = self._codec.encode(None, Any) if step.item is None else step.item
            arguments.append(binding.decode_item(declared, item))
        if direction is Direction.FORWARD:
            outputs = binding.inputs(state, declared.inputs, family)
        elif direction is Direction.UNDO:
            payload = undo_payload(state, declared.name)
            outcome = "unknown" if payload is None else "completed"
            if declared.takes_output:
                arguments.append(None if payload is None else binding.decode_output(declared, payload))
        execution = Execution(
            saga_id=state.id,
            step_name=declared.name,
            attempt=step.track(direction).attempt,
            direction=direction,
            generation=step.generation,
            outcome=outcome,
            deadline=None if state.deadline_at is None else datetime.fromtimestamp(state.deadline_at, UTC),
            detached=False,
            pulse=pulse.beat,
        )
        return arguments, outputs, execution


def _method(declared: StepDefinition, direction: Direction) -> str | None:
    match direction:
        case Direction.FORWARD:
            return declared.action
        case Direction.UNDO:
            return declared.compensation
        case Direction.PROBE:
            return declared.probe


def _fate(
    declared: StepDefinition, direction: Direction, error: BaseException, *, was_cut: bool, cancelled: bool
) -> Fate:
    """How an exception ends an attempt. A compensation has no business failures: only ``Abort`` gives it up.

    An attempt that we cut off may have had its effect, whatever ``abort_on`` says of timeouts (which are OSErrors).
    """
    if cancelled:
        return Fate.CANCELLED
    forward = direction is Direction.FORWARD
    if not was_cut and (isinstance(error, Abort) or (forward and isinstance(error, declared.abort_on))):
        return Fate.ABORTED
    policy: Retry = declared.retry if forward else declared.compensation_retry
    if not isinstance(error, (RetryLater, *policy.on)):
        return Fate.FINAL
    return Fate.TIMED_OUT if was_cut and isinstance(error, TimeoutError) else Fate.RETRYABLE
