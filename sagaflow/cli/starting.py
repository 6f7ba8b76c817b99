"""``sagaflow start``: one saga, from a context in JSON."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from ..engine.urls import default_codec
from ..errors import SagaFlowError
from .exits import Exit, Failure
from .loading import load, saga_class
from .shell import Shell
from .showing import watched
from .wording import length, moment, tag


async def start(
    shell: Shell,
    target: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="The saga class, as app.sagas:OrderSaga.")],
    context: Annotated[
        str, typer.Argument(metavar="JSON", help="What it is started with; @file.json, or @- for standard input.")
    ],
    saga_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Names the transaction; by default a new one.")
    ] = None,
    at: Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="When: 2030-01-31T09:00Z.")] = None,
    delay: Annotated[
        timedelta | None, typer.Option(parser=length, metavar="AGE", help="After which time: 15m.")
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", parser=tag, metavar="TAG", help="A label that it is found by. Can be repeated."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it has ended.")] = False,
) -> Exit:
    """Start a saga. It is done by workers; with --wait the exit code is 1 if it has not completed."""
    saga = saga_class(target)
    value = default_codec().decode(_text(context), saga.resolve_types().context)
    async with shell.desk(more=load([target]), creates=True) as desk:
        try:
            handle = await desk.start(saga, value, id=saga_id, at=at, delay=delay, tags=tags or ())
        except ValueError as error:
            raise error if isinstance(error, SagaFlowError) else Failure(str(error)) from error
        if wait:
            return await watched(shell, desk, handle.id)
    if shell.as_json:
        shell.data({"id": handle.id})
    else:
        shell.out.print(handle.id, soft_wrap=True)
    return Exit.OK


def _text(given: str) -> str:
    if not given.startswith("@"):
        return given
    if given == "@-":
        return sys.stdin.read()
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{given}: {error}") from error
