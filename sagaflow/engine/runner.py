"""One call of one handler: from the recorded state to the event that says how it ended."""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

from ..core.definition import StepDefinition
from ..core.events import Ended, Fate, Succeeded
from ..core.retry import Retry
from ..core.state import Direction, SagaState
from ..core.work import undo_payload
from ..errors import Abort, PayloadError, RetryLater
from ..execution import Execution, attach
from ..ports import Codec
from ..ports.clock import Clock
from ..record import StepError
from .binding import Binding
from .settings import Settings

logger: logging.Logger = logging.getLogger("sagaflow.step")

_MESSAGE_LIMIT = 1_000
_TRACEBACK_LIMIT = 4_000


class Runner:
    """Calls handlers. Whatever a handler does, an event comes out; only the worker's own cancellation gets through."""

    def __init__(self, codec: Codec, clock: Clock, settings: Settings) -> None:
        self._codec = codec
        self._clock = clock
        self._settings = settings

    async def run(self, binding: Binding, state: SagaState, step: str, direction: Direction) -> Succeeded | Ended:
        """Run the attempt that ``state`` has claimed.

        Raises:
            asyncio.CancelledError: this call was cancelled; then how the handler ended is not known.
        """
        declared = binding.definition[step]
        attempt = state.steps[step].track(direction).attempt
        try:
            arguments, outputs, execution = self._prepare(binding, state, declared, direction)
        except PayloadError as error:
            return self.ended(state, step, direction, attempt, error, Fate.REFUSED)
        limit = asyncio.timeout(declared.timeout.total_seconds() if declared.timeout else None)
        try:
            async with limit:
                handler = attach(binding.factory(), execution)
                name = declared.action if direction is Direction.FORWARD else declared.compensation
                output = await getattr(handler, str(name))(*arguments, **outputs)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The handler itself raised it (something inside was cancelled): an exception like any other.
            return self.ended(state, step, direction, attempt, error, Fate.RETRYABLE)
        except (Exception, SystemExit) as error:
            after = error.after.total_seconds() if isinstance(error, RetryLater) else None
            fate = _fate(declared, direction, error, timed_out=limit.expired())
            return self.ended(state, step, direction, attempt, error, fate, after)
        if direction is Direction.UNDO:
            return Succeeded(step, direction, attempt, None, self._clock.now())
        try:
            payload = binding.encode_output(step, output, self._settings.output_limit)
        except PayloadError as error:
            return self.ended(state, step, direction, attempt, error, Fate.UNRECORDABLE)
        return Succeeded(step, direction, attempt, payload, self._clock.now())

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
            "run" if direction is Direction.FORWARD else "compensation",
            step,
            attempt,
            type(error).__name__,
            fate,
            extra={"saga_id": state.id, "saga": state.saga, "step": step, "attempt": attempt},
        )
        payload = self._codec.encode(_describe(error), StepError)
        return Ended(step, direction, attempt, fate, payload, self._clock.now(), after)

    def _prepare(
        self, binding: Binding, state: SagaState, declared: StepDefinition, direction: Direction
    ) -> tuple[list[Any], dict[str, Any], Execution]:
        context = binding.decode_context(state)
        arguments: list[Any] = [context]
        outputs: dict[str, Any] = {}
        outcome: Literal["completed", "unknown"] | None = None
        if direction is Direction.FORWARD:
            outputs = binding.inputs(state, declared.name)
        else:
            payload = undo_payload(state, declared.name)
            outcome = "unknown" if payload is None else "completed"
            if declared.takes_output:
                arguments.append(None if payload is None else binding.decode_output(declared.name, payload))
        execution = Execution(
            saga_id=state.id,
            step_name=declared.name,
            attempt=state.steps[declared.name].track(direction).attempt,
            direction=direction,
            outcome=outcome,
            deadline=None if state.deadline_at is None else datetime.fromtimestamp(state.deadline_at, UTC),
            detached=False,
        )
        return arguments, outputs, execution


def _fate(declared: StepDefinition, direction: Direction, error: BaseException, *, timed_out: bool) -> Fate:
    """How an exception ends an attempt. A compensation has no business failures: only ``Abort`` gives it up.

    An attempt that we cut off may have had its effect, whatever ``abort_on`` says of timeouts (which are OSErrors).
    """
    forward = direction is Direction.FORWARD
    if not timed_out and (isinstance(error, Abort) or (forward and isinstance(error, declared.abort_on))):
        return Fate.ABORTED
    policy: Retry = declared.retry if forward else declared.compensation_retry
    return Fate.RETRYABLE if isinstance(error, (RetryLater, *policy.on)) else Fate.FINAL


def _describe(error: BaseException) -> StepError:
    """What is kept of an exception, bounded so that there is always room for it."""
    trace = "".join(traceback.format_exception(error))
    return StepError(
        type=f"{type(error).__module__}.{type(error).__qualname__}",
        message=_printable(str(error))[:_MESSAGE_LIMIT],
        traceback=_printable(trace)[-_TRACEBACK_LIMIT:],
    )


def _printable(text: str) -> str:
    """Without lone surrogates, which no store takes."""
    return text.encode("utf-8", "backslashreplace").decode()
