"""A saga as it goes on, in the terminal: for ``sagaflow watch``, and for scripts that wait.

Where there is no terminal, each change is one line.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..core.state import StepStatus
from ..engine.handle import SagaHandle
from ..record import SagaRecord
from ..views import Redaction, saga_data, waits
from .tree import Look, saga_tree
from .wording import status

C = TypeVar("C")

Lines = Callable[[SagaRecord[Any]], Awaitable[Mapping[str, list[str]]]]
"""Finds out who stands in line for what a saga waits for."""

_FRAMES: Final = 8  # a second, so that running times move


async def show(handle: SagaHandle[C], *, console: Console | None = None, redact: Iterable[str] = ()) -> SagaRecord[C]:
    """Wait for the end of a saga and show what happens meanwhile; the record with which it has ended, however that was.

    Args:
        handle: of the saga.
        console: where to show it; standard output by default.
        redact: the fields of payloads to be covered, by name or dotted path.

    Raises:
        SagaNotFound, StoreUnavailable
        ValueError: a path in ``redact`` is none.

    Example:
        >>> async def sell(order: Order) -> None:
        ...     async with Engine(sagas=[OrderSaga]):
        ...         saga = await show(await OrderSaga.start(order), redact=["card"])
        ...         print(saga.status)
    """
    return await follow(handle.changes(), console or Console(highlight=False, emoji=False), Redaction(redact))


async def follow(
    records: AsyncGenerator[SagaRecord[C], None],
    console: Console,
    redaction: Redaction,
    *,
    lines: Lines | None = None,
    policies: bool = True,
) -> SagaRecord[C]:
    """As ``show``, of any stream of records of one saga."""
    if not console.is_terminal:
        return await _told(records, console)
    picture = _Picture(redaction, policies=policies)
    with Live(console=console, get_renderable=picture.render, refresh_per_second=_FRAMES, vertical_overflow="visible"):
        async with aclosing(records):
            async for record in records:
                picture.lines = await lines(record) if lines is not None else {}
                picture.record = record
    return picture.last


class _Picture:
    """What is shown of the latest record at this moment."""

    def __init__(self, redaction: Redaction, *, policies: bool) -> None:
        self._redaction = redaction
        self._policies = policies
        self.record: SagaRecord[Any] | None = None
        self.lines: Mapping[str, list[str]] = {}

    @property
    def last(self) -> SagaRecord[Any]:
        if self.record is None:
            raise LookupError("a saga's changes begin with the saga as it is")  # pragma: no cover
        return self.record

    def render(self) -> RenderableType:
        if self.record is None:
            return Group()
        # The store's clock is not at hand here; a saga that seems to be of the future is of this moment.
        now = max(datetime.now(UTC), self.record.updated_at)
        data = saga_data(self.record, redact=self._redaction)
        look = Look(now, policies=self._policies)
        return saga_tree(data, waits(self.record, now, lines=self.lines), look)


async def _told(records: AsyncGenerator[SagaRecord[C], None], console: Console) -> SagaRecord[C]:
    """A line for each change of a step, and of the saga."""
    seen: dict[str, object] = {}
    latest: SagaRecord[C] | None = None
    async with aclosing(records):
        async for record in records:
            latest = record
            for text in _changes(record, seen):
                console.print(text, soft_wrap=True)
    if latest is None:
        raise LookupError("a saga's changes begin with the saga as it is")  # pragma: no cover
    return latest


def _changes(record: SagaRecord[Any], seen: dict[str, object]) -> Iterable[Text]:
    at = f"{record.updated_at:%H:%M:%S}  "
    for step in record.steps.values():
        now = (step.status, step.attempts)
        if seen.get(step.name, (StepStatus.PENDING, 0)) != now:
            again = f" (attempt {step.attempts})" if step.attempts > 1 and step.status is StepStatus.STARTED else ""
            yield Text.assemble(at, f"{step.name}  ", status(step.status), again)
        seen[step.name] = now
    saga = (record.status, record.is_paused)
    if seen.get("") != saga:
        seen[""] = saga
        why = f", because {record.reason}" if record.reason is not None and not record.is_completed else ""
        yield Text.assemble(at, f"{record.name} {record.id}  ", status(record.status, paused=record.is_paused), why)
