"""Sagas as plain data: times in ISO 8601, payloads as they are stored, fields covered.

All of it are the msgspec Structs of ``shapes``: ``msgspec.json.encode(saga_data(record))`` is the JSON, ``as_builtins``
the same as dicts and lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct

from ..core.definition import StepDefinition
from ..core.state import Direction, SagaStatus, StepState, StepStatus, Track
from ..core.unfold import unfold
from ..errors import PayloadError
from ..record import SagaRecord
from ..step_record import StepRecord, time_or_none
from .graph import definition_of
from .redaction import Redaction
from .shapes import AnswerData, ErrorData, PageData, SagaData, SagaSummary, StepData, TrackData

Redact = Iterable[str] | Redaction
"""The fields to be covered; see ``Redaction``."""


def saga_data(record: SagaRecord[Any], *, redact: Redact = ()) -> SagaData:
    """All of one saga. A payload that cannot be read stands as ``[unreadable: why]``; nothing is raised.

    Args:
        redact: the fields of payloads to be covered, by name or dotted path.

    Raises:
        ValueError: a path in ``redact`` is none.
    """
    redaction = redact if isinstance(redact, Redaction) else Redaction(redact)
    return _Reader(record, redaction).saga()


def saga_summary(record: SagaRecord[Any]) -> SagaSummary:
    """What a list shows of one saga. No payload is read."""
    statuses = [step.status for step in record.state.steps.values() if step.size is None]
    return SagaSummary(
        id=record.id,
        name=record.name,
        status=record.status,
        reason=record.reason,
        is_paused=record.is_paused,
        is_committed=record.is_committed,
        is_overdue=record.is_overdue,
        created_at=record.created_at,
        updated_at=record.updated_at,
        completed_at=record.completed_at,
        start_at=record.start_at,
        deadline_at=record.deadline_at,
        parent=record.parent_id,
        tags=record.tags,
        steps={status.value: count for status in StepStatus if (count := statuses.count(status))},
        waits_for=record.waits_for,
    )


def page_data(records: Sequence[SagaRecord[Any]], cursor: str | None = None) -> PageData:
    """A page of a list, as ``page_data(page.sagas, page.cursor)``."""
    return PageData(tuple(map(saga_summary, records)), cursor)


def answer_data(verdict: str, status: SagaStatus, why: str) -> AnswerData:
    """What became of a request, as ``answer_data(answer.verdict, answer.status, answer.why)``."""
    return AnswerData(str(verdict), status, why)


def as_builtins(data: Struct) -> dict[str, Any]:
    """Any Struct of these views, as what ``json`` can write: dicts, lists, text, numbers; times as ISO 8601.

    Example:
        >>> as_builtins(answer_data("refused", SagaStatus.COMPLETED, "it is completed"))
        {'verdict': 'refused', 'status': 'completed', 'why': 'it is completed'}
    """
    return cast("dict[str, Any]", msgspec.to_builtins(data))


class _Reader:
    """Reads one saga."""

    def __init__(self, record: SagaRecord[Any], redaction: Redaction) -> None:
        self._record = record
        self._redaction = redaction

    def saga(self) -> SagaData:
        record = self._record
        plan = unfold(definition_of(record), record.state)
        declared = {step.name: step for step in definition_of(record)} | {
            step.name: step for step in plan if step.element
        }
        return SagaData(
            summary=saga_summary(record),
            revision=record.revision,
            compensation_deadline_at=record.compensation_deadline_at,
            expires_at=record.expires_at,
            parent_step=record.parent_step,
            locks=record.locks,
            context=self._payload("context", record.state.context),
            steps=tuple(self._step(step, declared.get(name)) for name, step in self._in_order()),
            acts=record.acts,
            children=tuple(_Reader(child, self._redaction).saga() for child in record.children.values()),
        )

    def _in_order(self) -> Iterable[tuple[str, StepRecord]]:
        for name, step in self._record.steps.items():
            if "[" not in name:
                yield name, step
                yield from ((element.name, element) for element in step.elements)

    def _step(self, step: StepRecord, known: StepDefinition | None) -> StepData:
        state = self._record.state.steps[step.name]
        declared = known or StepDefinition(name=step.name, action=step.name)
        return StepData(
            name=step.name,
            status=step.status,
            kind=declared.kind,
            key=step.id,
            action=declared.action,
            compensation=declared.compensation,
            probe=declared.probe,
            after=declared.after,
            queue=declared.queue,
            is_pivot=declared.pivot,
            elements=tuple(one.name for one in step.elements) if state.size is not None else None,
            forward=self._track(declared, Direction.FORWARD, state.forward),
            undo=self._track(declared, Direction.UNDO, state.undo),
            look=self._track(declared, Direction.PROBE, state.probe),
            item=UNSET if state.item is None else self._payload(_base(step.name), state.item),
            input={name: self._output(name) for name in declared.inputs if self._has_output(name)},
            output=self._output(step.name) if self._has_output(step.name) else UNSET,
            late_outputs=tuple(self._payload(_base(step.name), late) for late in state.late),
            child=step.child_id,
            wait_until=time_or_none(state.wait_until),
            waits_for=step.waits_for,
        )

    def _track(self, declared: StepDefinition, direction: Direction, track: Track) -> TrackData | None:
        if not track.attempt and track.due is None:
            return None
        policy = declared.retry if direction is Direction.FORWARD else declared.compensation_retry
        return TrackData(
            attempts=track.attempt,
            tries=track.tries,
            losses=track.losses,
            limit=policy.attempts,
            worker=track.claim.owner if track.claim is not None else None,
            due_at=time_or_none(track.due),
            started_at=time_or_none(track.started_at),
            ended_at=time_or_none(track.ended_at),
            reason=track.reason,
            error=self._error(track.last_error),
            first_error=self._error(track.first_error),
        )

    # ------------------------------------------------------------------ payloads

    def _has_output(self, name: str) -> bool:
        return name in self._record.outputs

    def _output(self, name: str) -> object:
        state: StepState = self._record.state.steps[name]
        if state.size is not None:
            return [self._output(element.name) for element in self._record.steps[name].elements]
        if state.output is None:
            return None  # an element that an operator has left out
        return state.output if state.child is not None else self._payload(_base(name), state.output)

    def _payload(self, root: str, payload: str) -> object:
        return self._read(lambda: self._redaction.apply(root, self._record.decode_plain(payload)))

    def _error(self, payload: str | None) -> ErrorData | None:
        if payload is None:
            return None
        found = self._read(lambda: self._record.decode_error(payload))
        if isinstance(found, str):
            return ErrorData(found, found)
        covered = self._redaction.apply("error", msgspec.to_builtins(found))
        return (
            msgspec.convert(covered, ErrorData) if isinstance(covered, dict) else ErrorData(str(covered), str(covered))
        )

    @staticmethod
    def _read(read: Callable[[], object]) -> object:
        try:
            return read()
        except PayloadError as error:
            return f"[unreadable: {error}]"
        except Exception as error:  # a codec of the user's own; what it says may hold what it read
            return f"[unreadable: {type(error).__name__}]"


def _base(name: str) -> str:
    return name.partition("[")[0]
