"""The acts of operators: cancel, compensate, retry, skip, resolve, pause, resume, and others."""

from __future__ import annotations

from typing import Annotated

import typer

from ..answer import Answer
from ..probing import Happened, NotHappened
from .asking import Which, Why, ask, ask_one
from .desk import Desk
from .exits import Exit, Failure
from .selection import Selection
from .shell import Shell
from .showing import SagaId

StepName = Annotated[
    str, typer.Argument(metavar="STEP", help="The step, or an element of one: 'reserve[2]'.", show_default=False)
]
Output = Annotated[
    str | None,
    typer.Option(metavar="JSON", help="What stands for the step's output; needs --app.", rich_help_panel="The act"),
]


async def compensate(shell: Shell, which: Which, selection: Selection, why: Why) -> Exit:
    """Undo sagas, whether they run or have completed."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.compensate(saga_id, by=who.by, reason=who.reason)

    return await ask(shell, "compensate", act, which, selection, dry_run=who.dry_run)


async def cancel(shell: Shell, which: Which, selection: Selection, why: Why) -> Exit:
    """Stop sagas that run, and undo what they did; those that have completed stay as they are."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.cancel(saga_id, by=who.by, reason=who.reason)

    return await ask(shell, "cancel", act, which, selection, dry_run=who.dry_run)


async def retry(
    shell: Shell,
    which: Which,
    selection: Selection,
    why: Why,
    step: Annotated[str | None, typer.Option(metavar="STEP", help="Only this step.", rich_help_panel="The act")] = None,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key", help="Under a new idempotency key: certainly nothing happened.", rich_help_panel="The act"
        ),
    ] = False,
) -> Exit:
    """Let failed sagas try again from where they stopped."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.retry(saga_id, by=who.by, reason=who.reason, step=step, new_key=new_key)

    return await ask(shell, "retry", act, which, selection, dry_run=who.dry_run)


async def pause(shell: Shell, which: Which, selection: Selection, why: Why) -> Exit:
    """Begin nothing more of sagas until they are resumed; what runs is awaited."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.pause(saga_id, by=who.by, reason=who.reason)

    return await ask(shell, "pause", act, which, selection, dry_run=who.dry_run)


async def resume(shell: Shell, which: Which, selection: Selection, why: Why) -> Exit:
    """Let paused sagas go on."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.resume(saga_id, by=who.by, reason=who.reason)

    return await ask(shell, "resume", act, which, selection, dry_run=who.dry_run)


async def skip(shell: Shell, saga_id: SagaId, step: StepName, why: Why, output: Output = None) -> Exit:
    """Leave a step out: one that has not begun, that waits, or that has failed after the pivot. Needs --app."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        if output is None:
            return await desk.skip(saga_id, step, by=who.by, reason=who.reason)
        value = await desk.read_output(saga_id, step, output)
        return await desk.skip(saga_id, step, output=value, by=who.by, reason=who.reason)

    return await ask_one(shell, "skip", act, saga_id, dry_run=who.dry_run, needs_class=True)


async def resolve(
    shell: Shell,
    saga_id: SagaId,
    step: StepName,
    why: Why,
    happened: Annotated[
        bool | None,
        typer.Option("--happened/--not-happened", help="What became of the step.", rich_help_panel="The act"),
    ] = None,
    output: Output = None,
) -> Exit:
    """Say what became of a step whose outcome is unknown, as a probe would."""
    if happened is None:
        raise Failure("what became of it? Write --happened --output JSON, or --not-happened")
    if output is not None and not happened:
        raise Failure("what has not happened has no output; leave out --output")
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        if not happened:
            return await desk.resolve(saga_id, step, NotHappened(), by=who.by, reason=who.reason)
        value = await desk.read_output(saga_id, step, output if output is not None else "null")
        return await desk.resolve(saga_id, step, Happened(value), by=who.by, reason=who.reason)

    return await ask_one(shell, "resolve", act, saga_id, dry_run=who.dry_run)


async def skip_compensation(shell: Shell, saga_id: SagaId, step: StepName, why: Why) -> Exit:
    """Leave a compensation out: what the step did shall stay."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.skip_compensation(saga_id, step, by=who.by, reason=who.reason)

    return await ask_one(shell, "skip-compensation", act, saga_id, dry_run=who.dry_run)


async def mark_compensated(shell: Shell, saga_id: SagaId, step: StepName, why: Why) -> Exit:
    """Say that what a step did was undone by hand."""
    who = why.given()

    async def act(desk: Desk, saga_id: str) -> Answer:
        return await desk.mark_compensated(saga_id, step, by=who.by, reason=who.reason)

    return await ask_one(shell, "mark-compensated", act, saga_id, dry_run=who.dry_run)
