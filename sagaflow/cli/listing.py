"""``sagaflow list``: sagas by filter, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..core.state import SagaStatus
from ..record import SagaRecord
from ..views import SagaSummary, page_data, saga_summary
from ..views.wording import span
from .exits import Failure
from .selection import Selection
from .shell import Shell
from .wording import ago, many, status

_COLUMNS: Final = ("ID", "SAGA", "STATUS", "STEPS", "AGE")
_NUMBERS: Final = ("STEPS", "AGE")
_WIDE: Final = 120  # columns in which the reasons have room too


async def list_sagas(
    shell: Shell,
    selection: Selection,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Go on from here: the last page names it.")] = None,
) -> None:
    """List sagas, the newest first.

    Filters go together: `sagaflow list --saga OrderSaga --status failed --error "card declined" --older-than 1h`.
    """
    async with shell.desk() as desk:
        try:
            page = await selection.page(desk, limit, cursor)
        except ValueError as error:
            raise Failure(str(error)) from error
        now = datetime.fromtimestamp(await desk.store.now(), UTC)
    if shell.as_json:
        shell.data(page_data(page.sagas, page.cursor))
        return
    if not page.sagas:
        shell.err.print("No sagas." if selection.is_empty else "No such sagas.", style="dim")
        return
    if shell.out.width >= _WIDE:
        shell.out.print(_table(page.sagas, now))
    else:
        shell.out.print(_lines(page.sagas, now))
    if page.cursor is not None:
        shell.err.print(
            f"{many(len(page.sagas), 'saga')}; go on with --cursor {page.cursor}", style="dim", soft_wrap=True
        )


def _table(sagas: Sequence[SagaRecord[Any]], now: datetime) -> Table:
    """A line for each saga."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
    table.add_column("WHY, AND WHAT IT WAITS FOR", overflow="fold")
    for summary in map(saga_summary, sagas):
        table.add_row(*_cells(summary, now), Text(_why(summary, now)))
    return table


def _lines(sagas: Sequence[SagaRecord[Any]], now: datetime) -> Group:
    """Where that would be too narrow: what is to be said of a saga stands below it."""
    rows = [[Text(name, "dim") for name in _COLUMNS]]
    summaries = [saga_summary(saga) for saga in sagas]
    rows += [_cells(summary, now) for summary in summaries]
    widths = [max(row[place].cell_len for row in rows) for place in range(len(_COLUMNS))]
    lines: list[RenderableType] = []
    for row, summary in zip(rows, [None, *summaries], strict=True):
        for cell, width, name in zip(row, widths, _COLUMNS, strict=True):
            cell.align("right" if name in _NUMBERS else "left", width)
        lines.append(Text("  ").join(row))
        why = _why(summary, now) if summary is not None else ""
        lines += [Padding(Text(why, "dim"), (0, 0, 0, 2))] if why else []
    return Group(*lines)


def _cells(summary: SagaSummary, now: datetime) -> list[Text]:
    done = summary.steps.get("completed", 0) + summary.steps.get("skipped", 0)
    return [
        Text(summary.id),
        Text(summary.name),
        status(summary.status, paused=summary.is_paused),
        Text(f"{done}/{sum(summary.steps.values())}"),
        Text(span(now - summary.created_at)),
    ]


def _why(summary: SagaSummary, now: datetime) -> str:
    if summary.status is SagaStatus.COMPLETED:
        return ""
    said = [summary.reason] if summary.reason else []
    if summary.status is SagaStatus.SCHEDULED and summary.start_at is not None:
        said.append(f"begins {ago(summary.start_at, now)}")
    return "; ".join([*said, *(f"waits for {what}" for what in summary.waits_for)])
