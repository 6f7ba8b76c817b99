"""Asking sagas for something: one by its id, several, or all that a filter finds, after a confirmation."""

from __future__ import annotations

import asyncio
import getpass
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..answer import Answer, Verdict
from ..errors import SagaFlowError
from ..record import SagaRecord
from ..views import answer_data, as_builtins, plan_act
from .desk import Desk
from .exits import Exit, Failure
from .plans import plan_of
from .selection import Selection
from .shell import Shell
from .wording import many

_AT_ONCE: Final = 16  # acts under way
_SHOWN: Final = 5  # refusals of a bulk act that are told one by one

Act = Callable[[Desk, str], Awaitable[Answer]]
"""Asks one saga, by its id."""

_DRY: Final = "a dry run"


@dataclass
class Why:
    """Who asks, and why."""

    reason: Annotated[
        str, typer.Option("--reason", "-r", help="Why; it stands in the saga's record.", rich_help_panel="The act")
    ] = ""
    by: Annotated[
        str, typer.Option(help="Who; by default your login.", rich_help_panel="The act", show_default=False)
    ] = ""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would come of it.", rich_help_panel="The act")
    ] = False

    def given(self) -> Why:
        """With everything that a record needs; a dry run needs no reason, for there is none.

        Raises:
            Failure: there is no reason.
        """
        if self.dry_run:
            return Why(self.reason.strip() or _DRY, self.by or _DRY, dry_run=True)
        if not self.reason.strip():
            raise Failure("why? Write --reason '…'; it stands in the saga's record")
        return Why(self.reason, self.by or _login())


@dataclass
class Which:
    """Sagas by id; none means by filter."""

    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Which sagas, by id.", show_default=False)] = (
        None
    )
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask no questions.", rich_help_panel="Which sagas")] = False


async def ask_one(  # what, of whom, and how
    shell: Shell, name: str, act: Act, saga_id: str, *, dry_run: bool = False, needs_class: bool = False
) -> Exit:
    """Ask one saga, and print what became of it.

    Args:
        name: of the act.
        dry_run: say what would become of it, and ask for nothing.
        needs_class: whether the act hangs on what only the class says.
    """
    if dry_run:
        return await _rehearse(shell, name, act, [saga_id], needs_class=needs_class)
    async with shell.desk() as desk:
        answer = await _answer(desk, act, saga_id, needs_class=needs_class)
    return _told(shell, saga_id, answer)


async def ask(shell: Shell, name: str, act: Act, which: Which, selection: Selection, *, dry_run: bool = False) -> Exit:
    """Ask the sagas that are named, or all that a filter finds.

    Args:
        name: of the act, for the question whether it is meant.
        dry_run: say what would become of it, and ask for nothing.
    """
    if which.ids and not selection.is_empty:
        raise Failure("ids and filters together: which sagas are meant? Give one or the other")
    if not which.ids and selection.is_empty:
        raise Failure(f"which sagas? Write sagaflow {name} ID, or a filter: sagaflow {name} --saga OrderSaga")
    if which.ids and len(which.ids) == 1 and not dry_run:
        return await ask_one(shell, name, act, which.ids[0])
    async with shell.desk() as desk:
        if which.ids:
            sagas = [await desk.get(saga_id) for saga_id in dict.fromkeys(which.ids)]
        else:
            sagas = [saga async for saga in selection.all(desk)]
        if sagas and not dry_run:
            if not which.ids and not which.yes:
                _confirm(shell, name, sagas)
            return await _ask_all(shell, desk, name, act, [saga.id for saga in sagas])
    if dry_run:
        return await _rehearse(shell, name, act, [saga.id for saga in sagas])
    shell.err.print("No such sagas.", style="dim")
    return Exit.OK


# ---------------------------------------------------------------------------------------- one by one


def _told(shell: Shell, saga_id: str, answer: Answer) -> Exit:
    if shell.as_json:
        shell.data({"id": saga_id, **as_builtins(answer_data(answer.verdict, answer.status, answer.why))})
    else:
        shell.out.print(_line(answer.verdict, answer.why), soft_wrap=True)
    return Exit.FAILED if answer.verdict is Verdict.REFUSED else Exit.OK


def _line(verdict: str, why: str) -> Text:
    style = {"accepted": "green", "already": "dim"}.get(verdict, "red")
    return Text.assemble((f"{verdict}: ", style), why)


async def _answer(desk: Desk, act: Act, saga_id: str, *, needs_class: bool) -> Answer:
    if needs_class:
        await desk.must_have_code(saga_id)
    try:
        return await act(desk, saga_id)
    except ValueError as error:
        raise error if isinstance(error, SagaFlowError) else Failure(str(error)) from error


async def _rehearse(shell: Shell, name: str, act: Act, ids: Sequence[str], *, needs_class: bool = False) -> Exit:
    async with shell.dry_desk() as desk:
        plans = [
            plan_act(
                await desk.get(saga_id),
                name,
                await _answer(desk, act, saga_id, needs_class=needs_class),
                desk.requests.get(saga_id),
            )
            for saga_id in ids
        ]
    if shell.as_json:
        shell.data([as_builtins(plan) for plan in plans])
    else:
        for plan in plans:
            shell.out.print(plan_of(plan))
        if not plans:
            shell.err.print("No such sagas.", style="dim")
    return Exit.FAILED if any(plan.verdict is Verdict.REFUSED for plan in plans) else Exit.OK


# ---------------------------------------------------------------------------------------- all


def _confirm(shell: Shell, name: str, sagas: Sequence[SagaRecord[Any]]) -> None:
    counts = Counter((saga.name, saga.status) for saga in sagas)
    for (saga, status), count in counts.most_common():
        shell.err.print(f"  {count:>7,}  {saga}, {status}")
    if not shell.err.is_terminal:
        raise Failure(f"{many(len(sagas), 'saga')} would be asked to {name}; write --yes if that is meant")
    if not typer.confirm(f"{name} {many(len(sagas), 'saga')}?", err=True):
        raise typer.Exit(Exit.FAILED)


async def _ask_all(shell: Shell, desk: Desk, name: str, act: Act, ids: Sequence[str]) -> Exit:
    counts: Counter[str] = Counter()
    refusals: list[str] = []
    with _progress(shell, name, len(ids)) as progress:
        task = progress.add_task(name, total=len(ids))
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            for saga_id, (verdict, why, status) in zip(
                some, await asyncio.gather(*(_asked(act, desk, saga_id) for saga_id in some)), strict=True
            ):
                counts[verdict] += 1
                if verdict not in ("accepted", "already"):
                    refusals.append(f"{saga_id}: {why}")
                if shell.as_json:
                    shell.data({"id": saga_id, "verdict": verdict, "status": status, "why": why}, in_lines=True)
            progress.advance(task, len(some))
    if not shell.as_json:
        for refusal in refusals[:_SHOWN]:
            shell.out.print(Text(f"  {refusal}", "red"), soft_wrap=True)
        if len(refusals) > _SHOWN:
            shell.out.print(f"  … and {len(refusals) - _SHOWN:,} more; --json names all", style="red")
        shell.out.print(", ".join(f"{count:,} {verdict}" for verdict, count in sorted(counts.items())))
    return Exit.FAILED if refusals else Exit.OK


async def _asked(act: Act, desk: Desk, saga_id: str) -> tuple[str, str, str | None]:
    try:
        answer = await act(desk, saga_id)
    except (SagaFlowError, ValueError) as error:  # one saga must not keep the others waiting
        return "failed", str(error), None
    return str(answer.verdict), answer.why, str(answer.status)


def _progress(shell: Shell, name: str, count: int) -> Progress:
    is_shown = shell.err.is_terminal and count > _AT_ONCE
    return Progress(
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=shell.err,
        transient=True,
        disable=not is_shown,
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise Failure("nobody knows who you are here; write --by NAME") from None
