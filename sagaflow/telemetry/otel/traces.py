"""Traces by OpenTelemetry: all that happens to one saga is one trace, in whichever processes it happens.

A saga belongs to the trace of who starts it, or to a new one if there is none. What it carries, in its document, is the
span in which it was stored; all others are children of that one:

* ``start order``: it was stored. In the caller's process, within the caller's span.
* ``run reserve``, ``undo reserve``, ``probe reserve``: one attempt. The handler runs within it, so that spans of user
  code, and of instrumented libraries, are its children.
* ``step reserve``, ``compensation reserve``: from when the step could begin to its end, with all attempts and all
  waiting; told when it has ended. (A compensation: from when its last attempt began.)
* ``saga order``: from the start to the end, told at the end.

The last two have no children: a span is known to the process that began it, and what they span may go on in several.
Their times are the store's, those of the others the process's own. No span says what an exception's message says, nor
anything else that may be a payload.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ...core.state import Direction, SagaState, SagaStatus, StepStatus
from ...ports import Attempt, Observer
from ..figures import step_label

_HEADER: Final = "traceparent"
_VERBS: Final = {Direction.FORWARD: "run", Direction.UNDO: "undo", Direction.PROBE: "probe"}
_BACK: Final = frozenset({StepStatus.COMPENSATED, StepStatus.COMPENSATION_FAILED})
_BAD: Final = frozenset({StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.COMPENSATION_FAILED})

_Attributes = dict[str, str | int | float]

_propagator: Final = TraceContextTextMapPropagator()


class OtelTraces(Observer):
    """Makes spans of what happens in one process: ``Engine(observers=[OtelTraces()])``.

    Args:
        provider: whose tracer is used; by default the global one.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("sagaflow", tracer_provider=provider)

    @contextmanager
    def starting(self, saga: str, saga_id: str) -> Generator[str | None]:
        attributes: _Attributes = {"sagaflow.saga": saga, "sagaflow.saga_id": saga_id}
        with self._span(f"start {saga}", None, SpanKind.PRODUCER, attributes):
            carrier: dict[str, str] = {}
            _propagator.inject(carrier)
            yield carrier.get(_HEADER)

    @contextmanager
    def running(self, attempt: Attempt) -> Generator[None]:
        attributes: _Attributes = {
            "sagaflow.saga": attempt.saga,
            "sagaflow.saga_id": attempt.saga_id,
            "sagaflow.step": attempt.step,
            "sagaflow.direction": str(attempt.direction),
            "sagaflow.attempt": attempt.number,
        }
        if attempt.waited is not None:
            attributes["sagaflow.waited"] = attempt.waited
        name = f"{_VERBS[attempt.direction]} {step_label(attempt.step)}"
        with self._span(name, _carried(attempt.trace), SpanKind.CONSUMER, attributes):
            yield

    def step_ended(self, saga: SagaState, step: str, since: float) -> None:
        state = saga.steps[step]
        track, what = (state.undo, "compensation") if state.status in _BACK else (state.forward, "step")
        ended_at = track.ended_at if track.ended_at is not None else saga.updated_at
        attributes: _Attributes = {
            "sagaflow.step": step,
            "sagaflow.status": str(state.status),
            "sagaflow.attempts": track.attempt,
        }
        span = self._past(saga, f"{what} {step_label(step)}", since, attributes)
        _end(span, since, ended_at, is_bad=state.status in _BAD)

    def saga_ended(self, saga: SagaState) -> None:
        ended_at = saga.completed_at if saga.completed_at is not None else saga.updated_at
        span = self._past(saga, f"saga {saga.saga}", saga.created_at, {"sagaflow.status": str(saga.status)})
        _end(span, saga.created_at, ended_at, is_bad=saga.status is SagaStatus.FAILED)

    @contextmanager
    def _span(self, name: str, parent: Context | None, kind: SpanKind, attributes: _Attributes) -> Generator[None]:
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def _past(self, saga: SagaState, name: str, since: float, attributes: _Attributes) -> Span:
        """A span that began a while ago."""
        whose = {"sagaflow.saga": saga.saga, "sagaflow.saga_id": saga.id}
        return self._tracer.start_span(
            name, _carried(saga.trace), SpanKind.INTERNAL, {**whose, **attributes}, start_time=_nanoseconds(since)
        )


def _carried(trace: str | None) -> Context:
    """The context of what a saga carries; an empty one, of which a new trace begins, if it carries nothing."""
    return _propagator.extract({_HEADER: trace} if trace is not None else {}, Context())


def _end(span: Span, since: float, ended_at: float, *, is_bad: bool) -> None:
    if is_bad:
        span.set_status(Status(StatusCode.ERROR))
    span.end(_nanoseconds(max(since, ended_at)))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
