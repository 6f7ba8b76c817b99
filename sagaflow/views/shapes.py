"""The shapes of plain data: what JSON says of a saga, field by field.

Further fields may be added; none that stands here changes its meaning or goes away. A field that says ``UNSET`` by
default is left out of the JSON if there is nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct

from ..core.definition import StepKind
from ..core.state import SagaStatus, StepStatus
from ..record import ActRecord


class ErrorData(Struct, frozen=True):
    """An exception of a step.

    Attributes:
        type: its class, with its module.
        message: what it said.
        traceback: where it came from.
    """

    type: str
    message: str
    traceback: str = ""


class TrackData(Struct, frozen=True, kw_only=True):
    """The attempts of one step in one direction.

    Attributes:
        attempts: how many there were, the one that runs included.
        tries, losses: how many of them failed, and how many lost their worker.
        limit: how many may fail; None is without limit.
        worker: who runs the latest one, while it runs.
        due_at: when the next one may begin; None if none is open.
        started_at, ended_at: of the latest one.
        reason: why the latest one that ended did not succeed, in one word.
        error, first_error: what went wrong, the latest and the first.
    """

    attempts: int
    tries: int
    losses: int
    limit: int | None
    worker: str | None
    due_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    error: ErrorData | None
    first_error: ErrorData | None


class StepData(Struct, frozen=True, kw_only=True):
    """One step, or one element of a step with ``each=``, whose name is then ``reserve[2]``.

    Attributes:
        name: unique in its saga.
        status: where it stands.
        kind: what doing it means: ``action``, ``each``, ``child``, ``wait``.
        key: its name for the outside; of a sub-saga, its id.
        action, compensation, probe: the methods that do it, undo it, and find out what became of it.
        after: the steps that it waits for.
        queue: whose workers run it.
        is_pivot: whether there is no way back once it has begun.
        elements: of a step with ``each=``: the names of its elements; None before the list is known.
        forward, undo, look: its attempts; None where there was none, and none is open.
        item: of an element: what it works on. Absent if there is nothing.
        input: the outputs of earlier steps that it takes, by step, as far as they are there.
        output: what it yielded. Absent if there is nothing; of a sub-saga the id of that.
        late_outputs: what came from attempts that had been given up.
        child: the id of the saga that does it, once it exists.
        wait_until: until when an answer from outside is waited for.
        waits_for: in words, what it waits for that is in nobody's hands here.
    """

    name: str
    status: StepStatus
    kind: StepKind
    key: str
    action: str
    compensation: str | None
    probe: str | None
    after: tuple[str, ...]
    queue: str
    is_pivot: bool
    elements: tuple[str, ...] | None
    forward: TrackData | None
    undo: TrackData | None
    look: TrackData | None
    item: Any = UNSET
    input: dict[str, Any]
    output: Any = UNSET
    late_outputs: tuple[Any, ...]
    child: str | None
    wait_until: datetime | None
    waits_for: str | None


class SagaSummary(Struct, frozen=True, kw_only=True):
    """A saga in a list: what can be told without its payloads.

    Attributes:
        id: names it for ever.
        name: of its class.
        status: where it stands.
        reason: why it is compensating, compensated or failed.
        is_paused, is_committed, is_overdue: paused by somebody; its pivot has begun; a deadline passed in vain.
        created_at, updated_at: when it was started, and changed last.
        completed_at, start_at, deadline_at: when it ended; begins, if that was put off; is compensated unless it has
            ended.
        parent: the id of the saga that started it.
        tags: the labels that it was started with.
        steps: how many steps it has, by status; an element counts as one.
        waits_for: in words, what it waits for that is in nobody's hands here.
    """

    id: str
    name: str
    status: SagaStatus
    reason: str | None
    is_paused: bool
    is_committed: bool
    is_overdue: bool
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    start_at: datetime | None
    deadline_at: datetime | None
    parent: str | None
    tags: tuple[str, ...]
    steps: dict[str, int]
    waits_for: tuple[str, ...]


class SagaData(Struct, frozen=True, kw_only=True):
    """All of one saga.

    Attributes:
        summary: what a list shows of it.
        revision: grows by one with every change.
        compensation_deadline_at: until when it may compensate.
        expires_at: when it is forgotten.
        parent_step: the step of its parent that it does.
        locks: the keys of the locks that it has.
        context: what it was started with.
        steps: in the order of their declaration, each list followed by its elements.
        acts: what people did to it, the oldest first.
        children: its sub-sagas, as far as they exist.
    """

    summary: SagaSummary
    revision: int
    compensation_deadline_at: datetime | None
    expires_at: datetime | None
    parent_step: str | None
    locks: tuple[str, ...]
    context: Any
    steps: tuple[StepData, ...]
    acts: tuple[ActRecord, ...]
    children: tuple[SagaData, ...]


class PageData(Struct, frozen=True):
    """One page of a list; ``cursor`` asks for the next one, and is None on the last."""

    sagas: tuple[SagaSummary, ...]
    cursor: str | None


class AnswerData(Struct, frozen=True):
    """What became of a request: see ``Answer``."""

    verdict: str
    status: SagaStatus
    why: str
