"""``sagaflow show`` and ``sagaflow watch``: one saga, as it is and as it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from ..core.state import SagaStatus, StepStatus
from ..record import SagaRecord
from ..views import as_builtins, saga_data, waits
from .desk import Desk
from .exits import Exit
from .live import follow
from .shell import Shell
from .tree import Look, saga_tree

SagaId = Annotated[str, typer.Argument(metavar="ID", help="The id of the saga.", show_default=False)]


async def show(
    shell: Shell,
    saga_id: SagaId,
    full: Annotated[bool, typer.Option("--full", help="Payloads, messages and tracebacks in full.")] = False,
) -> None:
    """Show one saga: its steps, attempts and errors, what comes next, and why it waits."""
    async with shell.desk() as desk:
        record = await desk.get(saga_id)
        lines = await desk.lines(record)
        now = datetime.fromtimestamp(await desk.store.now(), UTC)
        policies = desk.class_of(record) is not None
    data, awaited = saga_data(record, redact=shell.redaction), waits(record, now, lines=lines)
    if shell.as_json:
        shell.data({**as_builtins(data), "waits": awaited})
        return
    shell.out.print(saga_tree(data, awaited, Look(now, full=full, policies=policies)))
    if record.is_failed:
        shell.out.print(Group(Text("\nWhat can be done", "bold"), *(Text(f"  {line}") for line in _remedies(record))))


def _remedies(record: SagaRecord[Any]) -> Iterator[str]:
    """The acts that bring a failed saga on, as commands."""
    yield f"sagaflow retry {record.id} --reason …"
    for name, step in record.steps.items():
        if step.status is StepStatus.UNKNOWN:
            yield f"sagaflow resolve {record.id} {name} --not-happened --reason …  (or --happened --output JSON)"
        if step.status is StepStatus.COMPENSATION_FAILED and "[" not in name:
            yield f"sagaflow mark-compensated {record.id} {name} --reason …  (undone by hand)"
            yield f"sagaflow skip-compensation {record.id} {name} --reason …  (it shall stay)"
        if record.is_committed and step.status is StepStatus.FAILED:
            yield f"sagaflow skip {record.id} {name} --reason …  (it is left out)"


async def watch(shell: Shell, saga_id: SagaId) -> Exit:
    """Watch one saga until it has ended. Exit code 1 if it has not completed.

    With --json, one line for each change.
    """
    async with shell.desk() as desk:
        return await watched(shell, desk, saga_id)


async def watched(shell: Shell, desk: Desk, saga_id: str) -> Exit:
    """Show a saga until it has ended; how the command ends by that."""
    if shell.as_json:
        status = SagaStatus.STARTED
        async with aclosing(desk.watch(saga_id)) as records:
            async for record in records:
                shell.data(saga_data(record, redact=shell.redaction), in_lines=True)
                status = record.status
    else:
        first = await desk.get(saga_id)
        policies = desk.class_of(first) is not None
        last = await follow(desk.watch(saga_id), shell.out, shell.redaction, lines=desk.lines, policies=policies)
        status = last.status
    return Exit.OK if status is SagaStatus.COMPLETED else Exit.FAILED
