"""``sagaflow web``: serve the page and the HTTP API."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from .exits import Exit, Failure
from .loading import load
from .shell import Shell

_PANEL: Final = "The page"


async def web(  # noqa: PLR0913  # options, each with a default
    shell: Shell,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE:NAME...",
            help="Saga classes, factories of them, or one engine; by default what --app names. Sagas of other classes "
            "are shown too, but not started.",
            show_default=False,
        ),
    ] = None,
    *,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on. One that others can reach needs a token in SAGAFLOW_WEB_TOKEN.",
            rich_help_panel=_PANEL,
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 is any that is free.", rich_help_panel=_PANEL)] = 8400,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="A name that the page is asked for by. Can be repeated. By default any, or this machine's own where "
            "nobody else can come in.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Look, and let nobody act.", rich_help_panel=_PANEL)
    ] = False,
    title: Annotated[str, typer.Option(help="What stands above it.", rich_help_panel=_PANEL)] = "SagaFlow",
    certfile: Annotated[
        str | None, typer.Option(metavar="FILE", help="A certificate for TLS.", rich_help_panel=_PANEL)
    ] = None,
    keyfile: Annotated[str | None, typer.Option(metavar="FILE", help="Its key.", rich_help_panel=_PANEL)] = None,
) -> Exit:
    """Serve the page and the HTTP API until Ctrl-C or SIGTERM. It does no work: that is what workers are for.

    `sagaflow web app.sagas:OrderSaga --redact card`
    """
    try:
        from ..web import serve  # noqa: PLC0415  # it needs another extra than this
    except ImportError as error:
        raise Failure(str(error)) from error
    async with shell.desk(more=load(targets or ()), creates=True) as desk:
        await serve(
            desk,
            host=host,
            port=port,
            hosts=name or (),
            read_only=read_only,
            redact=shell.redacted,
            title=title,
            certfile=certfile,
            keyfile=keyfile,
        )
    return Exit.OK
