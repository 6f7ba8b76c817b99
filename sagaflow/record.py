"""A saga as it was at one moment, for those who look at it: immutable, typed, its payloads read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, overload

from msgspec import Struct

from .core.definition import SagaDefinition
from .core.state import LockStatus, SagaState, SagaStatus, StepState, StepStatus
from .core.typecheck import SagaTypes
from .core.unfold import element_name, unfold
from .errors import PayloadError, near
from .ports import Codec
from .step_record import Lazy, StepError, StepRecord, time_or_none, utc
from .steps import StepRef, former_names

C = TypeVar("C")  # the context
T = TypeVar("T")  # a default of the caller's
V = TypeVar("V")  # a step's output

_MISSING: Final[Any] = object()


class ActRecord(Struct, frozen=True):
    """What a person did to a saga.

    Attributes:
        what: the act, in words.
        at: when.
        by: who.
        reason: why.
        step: to which step; None if to the whole saga.
    """

    what: str
    at: datetime
    by: str
    reason: str
    step: str | None


@dataclass(frozen=True, repr=False, eq=False)
class SagaRecord(Generic[C]):
    """One saga at one moment; ask again to see it change. Engines make it.

    Its status can be read even if its payloads cannot: ``context``, ``outputs`` and errors are decoded when they are
    asked for, and raise ``PayloadError`` then.

    Example:
        >>> async def receipt(handle: SagaHandle[Order]) -> str:
        ...     saga = await handle.result()
        ...     return saga.output(OrderSaga.charge).transaction_id
    """

    _state: SagaState
    _codec: Codec
    _types: SagaTypes | None  # None: a saga that this process does not know; its payloads are plain values
    _family: Family = field(default_factory=dict[str, "SagaRecord[Any]"])

    def __repr__(self) -> str:
        return f"<SagaRecord of {self.name} {self.id!r}: {self.status}, revision {self.revision}>"

    @property
    def id(self) -> str:
        """Names the saga for ever."""
        return self._state.id

    @property
    def name(self) -> str:
        """The name of its class."""
        return self._state.saga

    @property
    def status(self) -> SagaStatus:
        """Where it stands."""
        return self._state.status

    @property
    def reason(self) -> str | None:
        """Why it is compensating, compensated or failed."""
        return self._state.why

    @property
    def revision(self) -> int:
        """Grows by one with every change."""
        return self._state.revision

    @property
    def is_completed(self) -> bool:
        """Whether every step is completed or skipped."""
        return self.status is SagaStatus.COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether automatic work has come to its end with something left undone."""
        return self.status is SagaStatus.FAILED

    @property
    def is_compensating(self) -> bool:
        """Whether what was done is being undone."""
        return self.status is SagaStatus.COMPENSATING

    @property
    def is_compensated(self) -> bool:
        """Whether everything that was done is undone."""
        return self.status is SagaStatus.COMPENSATED

    @property
    def is_terminal(self) -> bool:
        """Whether automatic work has come to its end, one way or the other."""
        return self.status.is_terminal

    @property
    def created_at(self) -> datetime:
        """When it was started, by the store's clock; UTC, as all times here."""
        return utc(self._state.created_at)

    @property
    def updated_at(self) -> datetime:
        """When it changed last."""
        return utc(self._state.updated_at)

    @property
    def completed_at(self) -> datetime | None:
        """When it came to its end."""
        return time_or_none(self._state.completed_at)

    @property
    def start_at(self) -> datetime | None:
        """When it begins, if that was put off."""
        return time_or_none(self._state.start_at)

    @property
    def deadline_at(self) -> datetime | None:
        """When it is compensated unless it has ended."""
        return time_or_none(self._state.deadline_at)

    @property
    def compensation_deadline_at(self) -> datetime | None:
        """Until when it may compensate, if it does and there is a limit."""
        return time_or_none(self._state.undo_deadline_at)

    @property
    def expires_at(self) -> datetime | None:
        """When it is forgotten."""
        return time_or_none(self._state.expire_at)

    @property
    def tags(self) -> tuple[str, ...]:
        """The labels that it was started with."""
        return self._state.tags

    @property
    def is_paused(self) -> bool:
        """Whether nothing of it is begun until somebody resumes it."""
        return self._state.paused

    @property
    def is_committed(self) -> bool:
        """Whether its pivot has begun: it can only go forward."""
        return self._state.committed

    @property
    def is_overdue(self) -> bool:
        """Whether a deadline has passed that could change nothing any more."""
        return self._state.overdue

    @property
    def parent_id(self) -> str | None:
        """The saga that started it, in a step; None if nobody did."""
        return self._state.parent.saga_id if self._state.parent is not None else None

    @property
    def parent_step(self) -> str | None:
        """The step of its parent that it does."""
        return self._state.parent.step if self._state.parent is not None else None

    @property
    def acts(self) -> tuple[ActRecord, ...]:
        """What people did to it, the oldest first; the latest hundred."""
        return tuple(ActRecord(act.what, utc(act.at), act.by, act.reason, act.step) for act in self._state.acts)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """In words, what it waits for that is in nobody's hands here: a lock, a child saga, the outside, a person."""
        found: list[str] = ["somebody to resume it"] if self.is_paused else []
        found += [
            f"lock {key!r}, held by saga {lock.holder!r}" if lock.holder else f"lock {key!r}"
            for key, lock in self._state.locks.items()
            if lock.status is LockStatus.WANTED and not self.is_terminal
        ]
        return (*found, *(step.waits_for for step in self.steps.values() if step.waits_for))

    @property
    def state(self) -> SagaState:
        """What the store keeps of it, for tools that draw, explain and plan; its payloads are text, unread."""
        return self._state

    @property
    def definition(self) -> SagaDefinition | None:
        """What it runs by, a list as one step; None if this process does not know the saga."""
        return self._types.definition if self._types is not None else None

    @property
    def children(self) -> Mapping[str, SagaRecord[Any]]:
        """The records of its child sagas by step, as far as they exist."""
        ids = {name: step.child_id for name, step in self.steps.items()}
        return {name: self._family[one] for name, one in ids.items() if one is not None and one in self._family}

    @property
    def locks(self) -> tuple[str, ...]:
        """The keys of the locks that it has."""
        return tuple(key for key, lock in self._state.locks.items() if lock.status is LockStatus.HELD)

    @cached_property
    def context(self) -> C:
        """What it was started with.

        Raises:
            PayloadError: it cannot be read.
        """
        value: C = self._codec.decode(self._state.context, self._types.context if self._types else Any)
        return value

    @cached_property
    def steps(self) -> Mapping[str, StepRecord]:
        """Its steps, in the order of their declaration."""
        declared = {step.name: step for step in unfold(self._types.definition, self._state)} if self._types else {}
        known = [name for name in declared if name in self._state.steps]
        others = [name for name in self._state.steps if name not in declared]
        return Lazy(
            [*known, *others],
            lambda name: StepRecord(self, name, self._state.steps[name], declared.get(name)),
        )

    @cached_property
    def outputs(self) -> Mapping[str, object]:
        """The recorded outputs by step; those of compensated steps are still there.

        Raises:
            PayloadError: from looking up an output that cannot be read.
        """
        return Lazy([name for name in self.steps if self._has_output(self._state.steps[name])], self._output_of)

    def output_or_none(self, name: str) -> object:
        """The recorded output of a step, by its name; None if there is none.

        Raises:
            PayloadError: it cannot be read.
        """
        step = self._state.steps.get(name)
        return self._output_of(name) if step is not None and self._has_output(step) else None

    @staticmethod
    def _has_output(step: StepState) -> bool:
        return step.output is not None or (step.size is not None and step.status is StepStatus.COMPLETED)

    def _output_of(self, name: str) -> object:
        step = self._state.steps[name]
        if step.size is not None:
            return [self._output_of(element_name(name, index)) for index in range(step.size)]
        if step.child is not None and step.output is not None:
            return self._child(step.output)
        if step.output is None:
            return None  # an element that an operator has left out
        return self.decode_output(name, step.output)

    def _child(self, saga_id: str) -> SagaRecord[Any]:
        if saga_id not in self._family:
            raise PayloadError(f"{self!r}: its child saga {saga_id!r} is not in the store any more")
        return self._family[saga_id]

    @overload
    def output(self, step: StepRef[V], /) -> V: ...
    @overload
    def output(self, step: StepRef[V], /, default: T) -> V | T: ...
    def output(self, step: StepRef[Any], /, default: Any = _MISSING) -> Any:
        """The recorded output of a step, typed.

        Args:
            step: the step, as in ``record.output(OrderSaga.charge)``.
            default: what to return if there is none.

        Raises:
            LookupError: it has none, or not yet, and there is no ``default``; or the saga has no such step.
            PayloadError: it cannot be read.
        """
        for name in (step.name, *former_names(step)):
            if name in self.outputs:
                return self.outputs[name]
        if step.name not in self.steps:
            raise LookupError(f"{self!r} has no step {step.name!r}. {near(step.name, self.steps)}")
        if default is not _MISSING:
            return default
        status = self.steps[step.name].status
        raise LookupError(
            f"{self!r} has no output of step {step.name!r}, which is {status}. "
            f"Write output(step, default) where that is expected."
        )

    @property
    def error(self) -> StepError | None:
        """What went wrong in the first place: the first error of the step that failed first.

        Raises:
            PayloadError: it cannot be read.
        """
        broken = [step for step in self.steps.values() if step.has_failed]
        if not broken:
            return None
        # A step that only waited for another attempt when the saga turned back did not bring that about.
        return min(broken, key=lambda step: (step.was_stopped, step.ended_at or self.updated_at)).first_error

    def output_type(self, step: str) -> Any:
        """The type of what a step, or an element of one, yields; ``Any`` where it is not known."""
        if self._types is None:
            return Any
        name, is_element = step.partition("[")[:2]
        return (self._types.returns if is_element else self._types.outputs).get(name, Any)

    def decode_output(self, step: str, payload: str) -> object:
        """A payload, read as what the step yields."""
        value: object = self._codec.decode(payload, self.output_type(step))
        return value

    def decode_plain(self, payload: str) -> object:
        """A payload, read as plain builtins, whatever its type.

        Raises:
            PayloadError: it cannot be read.
        """
        value: object = self._codec.decode(payload, Any)
        return value

    def decode_error(self, payload: str | None) -> StepError | None:
        """A payload, read as an error."""
        if payload is None:
            return None
        error: StepError = self._codec.decode(payload, StepError)
        return error


Family = Mapping[str, SagaRecord[Any]]
"""The records of child sagas, theirs included, by id."""
