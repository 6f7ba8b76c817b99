"""One step of a saga as it was at one moment, for those who look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

from .core.definition import StepDefinition
from .core.events import Fate
from .core.state import StepState, StepStatus, Track
from .core.unfold import element_name
from .execution import step_key

if TYPE_CHECKING:
    from .record import SagaRecord

V = TypeVar("V")  # what there is under a name


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


class Lazy(Mapping[str, V], Generic[V]):
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


_WORST_FIRST: Final = (
    StepStatus.COMPENSATION_FAILED,
    StepStatus.UNKNOWN,
    StepStatus.FAILED,
    StepStatus.COMPENSATING,
    StepStatus.STARTED,
    StepStatus.PENDING,
    StepStatus.COMPENSATED,
)


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
        """Its key for the outside: ``self.step_key`` in the step. Of a child saga: its id."""
        return step_key(self._saga.id, self._name, self._state.generation)

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
        """Where it stands. Of a list: where its elements stand, the worst first."""
        if self._state.size is None:
            return self._state.status
        found = {element.status for element in self.elements}
        return next((status for status in _WORST_FIRST if status in found), self._state.status)

    @property
    def elements(self) -> tuple[StepRecord, ...]:
        """Of a step with ``each=``: one record for each element, in the order of the list."""
        names = (element_name(self._name, index) for index in range(self._state.size or 0))
        return tuple(self._saga.steps[name] for name in names)

    @property
    def child_id(self) -> str | None:
        """The id of the saga that does it; None if none does, or it does not exist yet."""
        return self.id if self._state.linked else None

    @property
    def waits_for(self) -> str | None:
        """In words, what it waits for that is in nobody's hands here; None if for nothing."""
        if not self._state.is_waiting:
            return None
        if self._state.child is not None:
            return f"saga {self.id!r} (step {self.name!r})"
        return f"an answer from outside (step {self.name!r})"

    @cached_property
    def input(self) -> Mapping[str, object]:
        """The outputs of earlier steps that it takes, as far as they are there.

        Raises:
            PayloadError: from looking up an output that cannot be read.
        """
        wanted = self._declared.inputs if self._declared else ()
        outputs = self._saga.outputs
        return Lazy([name for name in wanted if name in outputs], outputs.__getitem__)

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
        return time_or_none(self._state.forward.started_at)

    @property
    def ended_at(self) -> datetime | None:
        """When its latest attempt ended."""
        return time_or_none(self._state.forward.ended_at)

    @property
    def compensated_at(self) -> datetime | None:
        """When it was undone."""
        return time_or_none(self._state.undo.ended_at) if self._state.undone else None

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
        left = self._declared is not None and self._declared.retry.allows(track.tries)
        return left and track.reason == Fate.RETRYABLE


def utc(seconds: float) -> datetime:
    """A time of the store's clock."""
    return datetime.fromtimestamp(seconds, UTC)


def time_or_none(seconds: float | None) -> datetime | None:
    """As ``utc``; None if there is no such time."""
    return None if seconds is None else utc(seconds)
