"""``sagaflow dead-letters``: messages that were put aside, and what to do with them.

A dead letter is a hint that nobody could take up. No saga is lost with it: sweepers find in the store what is to be
done.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from ..adapters.dead_letter import DeadLetter
from ..views.wording import span
from .desk import Desk
from .exits import Exit, Failure
from .shell import Shell
from .wording import clock, many

_PANEL: Final = "Which letters"
_SHORT: Final = 12  # characters of an id that tell one letter from another


@dataclass
class Letters:
    """Which dead letters are meant."""

    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="LETTER", help="By id, or its beginning, as list shows it.", show_default=False),
    ] = None
    saga_id: Annotated[str | None, typer.Option(metavar="ID", help="Hints at this saga.", rich_help_panel=_PANEL)] = (
        None
    )
    queue: Annotated[
        str | None, typer.Option(help="That were in this queue of the broker.", rich_help_panel=_PANEL)
    ] = None
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="With this text in the reason, in any case.", rich_help_panel=_PANEL),
    ] = None
    all_: Annotated[bool, typer.Option("--all", help="All of them.", rich_help_panel=_PANEL)] = False

    def has(self, letter: DeadLetter) -> bool:
        """Whether this one is meant."""
        tests = (
            not self.ids or any(letter.id.startswith(one) for one in self.ids if one),
            self.saga_id is None or (letter.hint is not None and letter.hint.saga_id == self.saga_id),
            self.queue is None or letter.queue == self.queue,
            self.reason is None or self.reason.casefold() in letter.reason.casefold(),
        )
        return all(tests)

    def checked(self) -> Letters:
        """Itself.

        Raises:
            Failure: nobody said which.
        """
        if not self.all_ and not self.ids and self.saga_id is None and self.queue is None and self.reason is None:
            raise Failure("which dead letters? Name them by id, by a filter, or write --all")
        return self


async def list_letters(
    shell: Shell,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
) -> None:
    """List dead letters."""
    async with _broker(shell) as broker:
        letters = await broker.dead_letters(limit)
    if shell.as_json:
        shell.data([_plain(letter) for letter in letters])
    elif not letters:
        shell.err.print("No dead letters.", style="dim")
    else:
        shell.out.print(_table(letters))


async def show_letters(shell: Shell, letters: Letters) -> Exit:
    """Show dead letters with all that is known of them."""
    wanted = letters.checked()
    async with _broker(shell) as broker:
        found = [letter for letter in await broker.dead_letters(10_000) if wanted.has(letter)]
    if shell.as_json:
        shell.data([_plain(letter) for letter in found])
    for letter in found if not shell.as_json else ():
        shell.out.print(Text(letter.id or "without an id", "bold"))
        for name, value in _plain(letter).items():
            if name != "id" and value is not None:
                shell.out.print(Text.assemble((f"  {name:<9} ", "dim"), str(value)), soft_wrap=True)
    if not found:
        raise Failure("there is no such dead letter", Exit.NOT_FOUND)
    return Exit.OK


async def requeue(shell: Shell, letters: Letters) -> Exit:
    """Hand the hints of dead letters to workers once more; what is no hint stays."""
    return await _settle(shell, letters, "requeued", lambda broker: broker.requeue_dead_letters)


async def drop(
    shell: Shell,
    letters: Letters,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask no questions.")] = False,
) -> Exit:
    """Throw dead letters away."""
    letters.checked()
    if not yes:
        if not shell.err.is_terminal:
            raise Failure("dead letters would be thrown away; write --yes if that is meant")
        if not typer.confirm("throw these dead letters away?", err=True):
            return Exit.FAILED
    return await _settle(shell, letters, "dropped", lambda broker: broker.drop_dead_letters)


async def _settle(shell: Shell, letters: Letters, said: str, method: Callable[[Any], Any]) -> Exit:
    wanted = letters.checked()
    async with _broker(shell) as broker:
        done: list[DeadLetter] = await method(broker)(wanted.has)
    if shell.as_json:
        shell.data([_plain(letter) for letter in done])
    else:
        shell.out.print(f"{many(len(done), 'dead letter')} {said}")
    return Exit.OK if done or letters.all_ else Exit.NOT_FOUND


@asynccontextmanager
async def _broker(shell: Shell) -> AsyncGenerator[Any, None]:
    """A broker that keeps dead letters where other processes see them."""
    broker = Desk.of(shell.loaded, shell.store, shell.broker).broker
    if not hasattr(broker, "requeue_dead_letters"):
        raise Failure("dead letters are kept by a broker; name it: --broker amqp://… or SAGAFLOW_BROKER")
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


def _table(letters: Sequence[DeadLetter]) -> Table:
    now = datetime.now(UTC)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("LETTER", "SAGA", "QUEUE"):
        table.add_column(name, no_wrap=True)
    table.add_column("AGE", no_wrap=True, justify="right")
    table.add_column("REASON", overflow="fold")
    for letter in letters:
        age = span(now.timestamp() - letter.at) if letter.at is not None else ""
        saga_id = letter.hint.saga_id if letter.hint is not None else "(no hint)"
        table.add_row(*map(Text, (letter.id[:_SHORT], saga_id, letter.queue, age, letter.reason)))
    return table


def _plain(letter: DeadLetter) -> dict[str, Any]:
    hint = letter.hint
    return {
        "id": letter.id,
        "saga_id": hint.saga_id if hint is not None else None,
        "lane": f"{hint.lane.queue}/{hint.lane.direction}" if hint is not None else None,
        "queue": letter.queue,
        "at": clock(datetime.fromtimestamp(letter.at, UTC)) if letter.at is not None else None,
        "reason": letter.reason,
    }
