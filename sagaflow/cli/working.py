"""``sagaflow worker``: do the steps of sagas until told to end."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from ..engine.arguments import Work
from ..engine.engine import Engine
from ..engine.settings import Settings
from ..engine.urls import open_broker, open_store
from .exits import Exit, Failure
from .loading import App, load, needs_arguments
from .places import check_store
from .reloading import work_and_reload
from .shell import Shell
from .wording import many

_PANEL = "The worker"


async def worker(
    shell: Shell,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODULE:NAME...",
            help="Saga classes, factories of them, or one engine; by default what --app names.",
            show_default=False,
        ),
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(help="Serve only this queue. Can be repeated. By default all.", rich_help_panel=_PANEL),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="How many handlers run at once. By default 100.", rich_help_panel=_PANEL),
    ] = None,
    steps_only: Annotated[
        bool, typer.Option("--steps-only", help="Do steps, undo nothing.", rich_help_panel=_PANEL)
    ] = False,
    compensations_only: Annotated[
        bool, typer.Option("--compensations-only", help="Undo, do no steps.", rich_help_panel=_PANEL)
    ] = False,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload", help="For development: start anew when a Python file here changes.", rich_help_panel=_PANEL
        ),
    ] = False,
) -> Exit:
    """Work on sagas until Ctrl-C or SIGTERM; then what runs is ended, or handed over.

    `sagaflow worker app.sagas:OrderSaga app.sagas:make_trip_saga --queue payments`
    """
    if reload:
        return await work_and_reload(shell.err)
    if steps_only and compensations_only:
        raise Failure("--steps-only and --compensations-only: then nothing is left to do; leave one out")
    app = shell.loaded.with_(load(targets or ()))
    work: Work = "steps" if steps_only else "compensations" if compensations_only else "all"
    options = {"queues": queue or None, "concurrency": concurrency, "work": None if work == "all" else work}
    engine = _given(shell, app, options) if app.engine is not None else _made(shell, app, work, queue, concurrency)
    async with engine:
        shell.err.print("working; Ctrl-C ends it", style="dim")
        await engine.run()
    shell.err.print("ended in good order", style="dim")
    return Exit.OK


def _given(shell: Shell, app: App, options: dict[str, Any]) -> Engine:
    """The engine that was named: it says itself how it works."""
    options = {"store": shell.store, "broker": shell.broker, **options}
    ignored = [name for name, value in options.items() if value is not None]
    if ignored or app.sagas or app.engine is None:
        what = ", ".join(ignored) or "further sagas"
        raise Failure(f"an engine is named, which was made with its own {what}; change it there, or name saga classes")
    return app.engine


def _made(shell: Shell, app: App, work: Work, queues: list[str] | None, concurrency: int | None) -> Engine:
    if not app.sagas and not app.actions:
        raise Failure("work on what? Name saga classes: sagaflow worker app.sagas:OrderSaga")
    for factory, made in zip(app.sagas, app.classes, strict=True):
        missing = needs_arguments(factory)
        if missing is not None:
            raise Failure(
                f"{made.__name__} cannot be made without {missing}. Name a factory that gives it what it needs: "
                f"make = partial({made.__name__}, …) in your module, and here module:make"
            )
    _check_memory(shell)
    store, broker = open_store(shell.store), open_broker(shell.broker)
    names = ", ".join(made.definition.name for made in app.classes) or "sagas made of data"
    what = {"all": "", "steps": ", steps only", "compensations": ", compensations only"}[work]
    on = f" on {many(len(queues), 'queue')} {', '.join(queues)}" if queues else ""
    where = f"{store!r} {broker!r}".replace("<", "").replace(">", "")
    shell.err.print(f"[bold]{escape(names)}[/]{escape(on)}{what}  [dim]{escape(where)}[/]", soft_wrap=True)
    settings = Settings(concurrency=concurrency) if concurrency is not None else Settings()
    return Engine(
        app.sagas, actions=app.actions, store=store, broker=broker, work=work, queues=queues or None, settings=settings
    )


def _check_memory(shell: Shell) -> None:
    """A worker with a memory of its own would never hear of a saga."""
    check_store(shell.store, None, creates=True)
