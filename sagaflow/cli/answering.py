"""``sagaflow answer``: say to a saga what a step of it waits for, in place of the one who should have."""

from __future__ import annotations

from typing import Annotated

import typer

from ..answer import Answer
from .asking import ask_one
from .desk import Desk
from .exits import Exit, Failure
from .shell import Shell
from .showing import SagaId

_PANEL = "The answer"


async def answer(
    shell: Shell,
    saga_id: SagaId,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step that waits.", show_default=False)],
    output: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="It has happened, and this is what the step yields.", rich_help_panel=_PANEL),
    ] = None,
    failed: Annotated[
        str | None,
        typer.Option(metavar="WHY", help="It has not happened, and will not: the step fails.", rich_help_panel=_PANEL),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(help="Names the answer: the same token twice is one answer.", rich_help_panel=_PANEL),
    ] = None,
) -> Exit:
    """Answer a step that waits for the outside, and all others that wait for the same signal. Needs --app.

    `sagaflow answer o-1 deliver --output '"at the door"'`
    """
    if (output is None) is (failed is None):
        raise Failure("what is the answer? Write --output JSON if it has happened, or --failed WHY if it never will")

    async def act(desk: Desk, saga_id: str) -> Answer:
        if output is None:
            return await desk.fail_step(saga_id, step, str(failed), token=token)
        value = await desk.read_output(saga_id, step, output)
        return await desk.complete_step(saga_id, step, value, token=token)

    return await ask_one(shell, "answer", act, saga_id, needs_class=True)
