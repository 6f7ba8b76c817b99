"""A saga as it was at one moment, for those who look at it: immutable, typed, its payloads read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, overload

from msgspec import Struct

from .core.definition import StepDefinition
from .core.events import Fate
from .core.state import SagaState, SagaStatus, StepState, StepStatus, Track
from .core.typecheck import SagaTypes
from .errors import near
from .execution import step_key
from .ports import Codec
from .saga import StepRef

C = TypeVar("C")  # the context
T = TypeVar("T")  # a default of the caller's
V = TypeVar("V")  # a step's output

_MISSING: Final[Any] = object()


class StepError(Struct, frozen=True):
    """What is kept of an exception. Its texts come from the step, and can hold customers' data.

    Attributes:
        type: the exception's class, with its module.
        message: what it said.
        traceback: where it came from.
    """

    type: str
    message: str
    traceback: str = ""


class _Lazy(Mapping[str, V], Generic[V]):
    """Values by name, each made when it is first asked for. What they are is never shown."""

    def __init__(self, names: Iterable[str], make: Callable[[str], V]) -> None:
        self._names = tuple(names)
        self._make = make
        self._made: dict[str, V] = {}

    def __getitem__(self, name: str) -> V:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names  # without making the value, which may be unreadable

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<{', '.join(self._names) or 'nothing'}>"


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
        return self._state.reason

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
        return _time(self._state.created_at)

    @property
    def updated_at(self) -> datetime:
        """When it changed last."""
        return _time(self._state.updated_at)

    @property
    def completed_at(self) -> datetime | None:
        """When it came to its end."""
        return _time_or_none(self._state.completed_at)

    @property
    def start_at(self) -> datetime | None:
        """When it begins, if that was put off."""
        return _time_or_none(self._state.start_at)

    @property
    def deadline_at(self) -> datetime | None:
        """When it is compensated unless it has ended."""
        return _time_or_none(self._state.deadline_at)

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
        declared = {step.name: step for step in self._types.definition} if self._types else {}
        known = [name for name in declared if name in self._state.steps]
        others = [name for name in self._state.steps if name not in declared]
        return _Lazy(
            [*known, *others],
            lambda name: StepRecord(self, name, self._state.steps[name], declared.get(name)),
        )

    @cached_property
    def outputs(self) -> Mapping[str, object]:
        """The recorded outputs by step; those of compensated steps are still there.

        Raises:
            PayloadError: from looking up an output that cannot be read.
        """
        names = [name for name in self.steps if self._state.steps[name].output is not None]
        return _Lazy(names, lambda name: self.decode_output(name, str(self._state.steps[name].output)))

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
        if step.name in self.outputs:
            return self.outputs[step.name]
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

    def decode_output(self, step: str, payload: str) -> object:
        """A payload, read as what the step yields."""
        value: object = self._codec.decode(payload, self._types.outputs.get(step, Any) if self._types else Any)
        return value

    def decode_error(self, payload: str | None) -> StepError | None:
        """A payload, read as an error."""
        if payload is None:
            return None
        error: StepError = self._codec.decode(payload, StepError)
        return error


@dataclass(frozen=True, repr=False, eq=False)
class StepRecord:
    """One step of a saga at one moment."""

    _saga: SagaRecord[Any]
    _name: str
    _state: StepState
    _declared: StepDefinition | None

    def __repr__(self) -> str:
        return f"<StepRecord {self.name} of saga {self._saga.id!r}: {self.status}>"

    @property
    def id(self) -> str:
        """Its key for the outside: ``self.step_key`` in the step."""
        return step_key(self._saga.id, self._name)

    @property
    def name(self) -> str:
        """Unique in its saga."""
        return self._name

    @property
    def action(self) -> str:
        """The method that does it."""
        return self._declared.action if self._declared else self._name

    @property
    def compensation(self) -> str | None:
        """The method that undoes it; None if there is none, or if this process does not know the saga."""
        return self._declared.compensation if self._declared else None

    @property
    def status(self) -> StepStatus:
        """Where it stands."""
        return self._state.status

    @cached_property
    def input(self) -> Mapping[str, object]:
        """The outputs of earlier steps that it takes, as far as they are there.

        Raises:
            PayloadError: from looking up an output that cannot be read.
        """
        wanted = self._declared.inputs if self._declared else ()
        outputs = self._saga.outputs
        return _Lazy([name for name in wanted if name in outputs], outputs.__getitem__)

    @property
    def output(self) -> object:
        """What it returned; None too if there is nothing yet, or never will be.

        Raises:
            PayloadError: it cannot be read.
        """
        return self._saga.outputs.get(self._name)

    @cached_property
    def late_outputs(self) -> tuple[object, ...]:
        """What attempts returned after they had been given up.

        Raises:
            PayloadError: one cannot be read.
        """
        return tuple(self._saga.decode_output(self._name, payload) for payload in self._state.late)

    @property
    def attempts(self) -> int:
        """How many attempts there were to do it."""
        return self._state.forward.attempt

    @property
    def compensation_attempts(self) -> int:
        """How many attempts there were to undo it."""
        return self._state.undo.attempt

    @property
    def reason(self) -> str | None:
        """Why the latest attempt did not succeed, in one word."""
        return self._state.forward.reason

    @property
    def compensation_reason(self) -> str | None:
        """Why the latest attempt to undo it did not succeed, in one word."""
        return self._state.undo.reason

    @property
    def error(self) -> StepError | None:
        """The latest error of its attempts.

        Raises:
            PayloadError: it cannot be read.
        """
        return self._saga.decode_error(self._state.forward.last_error)

    @property
    def first_error(self) -> StepError | None:
        """The first error of its attempts.

        Raises:
            PayloadError: it cannot be read.
        """
        return self._saga.decode_error(self._state.forward.first_error)

    @property
    def compensation_error(self) -> StepError | None:
        """The latest error of the attempts to undo it.

        Raises:
            PayloadError: it cannot be read.
        """
        return self._saga.decode_error(self._state.undo.last_error)

    @property
    def executed_at(self) -> datetime | None:
        """When its latest attempt began."""
        return _time_or_none(self._state.forward.started_at)

    @property
    def ended_at(self) -> datetime | None:
        """When its latest attempt ended."""
        return _time_or_none(self._state.forward.ended_at)

    @property
    def compensated_at(self) -> datetime | None:
        """When it was undone."""
        return _time_or_none(self._state.undo.ended_at) if self._state.undone else None

    @property
    def has_failed(self) -> bool:
        """Whether it came to an end with an error, whatever was done about that since."""
        track = self._state.forward
        is_over = track.claim is None and track.due is None
        return is_over and track.first_error is not None and self._state.output is None

    @property
    def was_stopped(self) -> bool:
        """Whether it had attempts left when it came to its end."""
        track: Track = self._state.forward
        left = self._declared is not None and track.tries < self._declared.retry.attempts
        return left and track.reason == Fate.RETRYABLE


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
