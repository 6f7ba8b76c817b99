"""``sagaflow check``: sagas that a new version of a class would strand, and what must never be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..engine.checking import PAUSE, SLACK
from .exits import Exit
from .loading import load
from .shell import Shell
from .wording import length, many


async def check(
    shell: Shell,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE:NAME...", help="The new saga classes; by default what --app names.", show_default=False
        ),
    ] = None,
    slack: Annotated[
        timedelta, typer.Option(parser=length, metavar="AGE", help="How late somebody may take up what is due.")
    ] = SLACK,
    pause: Annotated[
        timedelta, typer.Option(parser=length, metavar="AGE", help="What looks wrong is looked at again after this.")
    ] = PAUSE,
    limit: Annotated[int, typer.Option(min=1, help="Of so many findings it is enough.")] = 1_000,
) -> Exit:
    """Look for live sagas that new classes would leave behind, and for broken invariants in all of the store.

    Run it with the new version of a class before the last worker with the old one is gone. Exit code 1 if it finds
    anything.
    """
    async with shell.desk(more=load(targets or ())) as desk:
        with shell.err.status("looking through the store"):
            stranded = await desk.stranded(limit=limit)  # none, if no class is known
            findings = await desk.check(slack=slack, pause=pause, limit=limit)
        is_partial = not desk.has_classes
    if shell.as_json:
        shell.data({"stranded": list(stranded), "findings": list(findings)})
        return Exit.FAILED if stranded or findings else Exit.OK
    if stranded:
        shell.out.print(f"{many(len(stranded), 'line')} of sagas that these classes would strand", style="bold red")
        shell.out.print(_table([(one.saga_id, one.saga, one.step, one.why) for one in stranded]))
    if findings:
        shell.out.print(f"{many(len(findings), 'broken rule')}; docs/operating.md says what to do", style="bold red")
        shell.out.print(_table([(one.saga_id, str(one.rule), one.what) for one in findings]))
    if not stranded and not findings:
        said = "no saga breaks a rule" + ("" if is_partial else ", and none would be stranded")
        shell.out.print(Text.assemble(("✓ ", "green"), said))
    if is_partial:
        shell.err.print(
            "whether classes would strand sagas was not looked at; name them: sagaflow check app:OrderSaga", style="dim"
        )
    return Exit.FAILED if stranded or findings else Exit.OK


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    """Words side by side, the last of which may take several lines."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in rows[0][:-1]:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
