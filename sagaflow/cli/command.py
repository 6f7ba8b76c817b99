"""From a coroutine to a command: options that many share, the event loop, and what becomes of errors.

A parameter whose type is a dataclass stands for a group of options, one a field; the command gets them as one value.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

import typer
from rich.markup import escape

from .exits import Exit, code_of
from .shell import Shell

_OWN = (typer.Exit, typer.Abort, typer.BadParameter)
"""What typer itself makes a message and an exit code of."""

_Body = TypeVar("_Body", bound=Callable[..., Awaitable[Exit | None] | Exit | None])


def command(app: typer.Typer, name: str, *, panel: str, is_service: bool = False) -> Callable[[_Body], _Body]:
    """Make a command of a function, whose docstring is the help.

    Args:
        name: of the command.
        panel: the heading that it stands under in the help.
        is_service: whether its logs are what it has to say.
    """

    def make(body: _Body) -> _Body:
        groups = _groups(body)

        def run(**given: Any) -> None:
            arguments = {name: _filled(kind, given) for name, kind in groups.items()}
            _run(body, arguments | given, is_service=is_service)

        run.__doc__ = inspect.cleandoc(body.__doc__ or "")
        parameters = list(_parameters(body, groups))
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        # What typer looks at; ``setattr`` because a plain function is not declared to have one.
        setattr(run, "__signature__", Signature(parameters))  # noqa: B010
        app.command(name, rich_help_panel=panel)(run)
        return body

    return make


def _groups(body: Callable[..., Any]) -> dict[str, Any]:
    hints = get_type_hints(body)
    return {name: kind for name, kind in hints.items() if name != "return" and is_dataclass(kind)}


def _parameters(body: Callable[..., Any], groups: Mapping[str, Any]) -> list[Parameter]:
    """Of the command: its own first, then those of its groups, as typer wants them."""
    hints = get_type_hints(body, include_extras=True)
    found = [
        one.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
        for name, one in inspect.signature(body).parameters.items()
        if name not in groups
    ]
    for kind in sorted(groups.values(), key=lambda kind: kind is Shell):  # what all commands have comes last
        types = get_type_hints(kind, include_extras=True)
        found += [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name])
            for one in fields(kind)
            if one.init
        ]
    return found


def _filled(kind: Any, given: dict[str, Any]) -> Any:
    return kind(**{one.name: given.pop(one.name) for one in fields(kind) if one.init})


def _run(body: Callable[..., Any], arguments: dict[str, Any], *, is_service: bool) -> None:
    shell = next(value for value in arguments.values() if isinstance(value, Shell))
    _set_up_logs(shell, is_service=is_service)
    try:
        found = body(**arguments)
        code: Exit | None = asyncio.run(found) if inspect.iscoroutine(found) else found
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except Exception as error:
        if shell.verbose or isinstance(error, _OWN):
            raise
        code, text = code_of(error), str(error)
        if code is None:  # nobody expects it
            code, text = Exit.FAILED, f"{type(error).__name__}: {error}. This is a fault; --verbose shows where"
        shell.err.print(f"[bold red]sagaflow:[/] {escape(text)}", soft_wrap=True)
    raise typer.Exit(code or Exit.OK)


def _set_up_logs(shell: Shell, *, is_service: bool) -> None:
    """What engines and drivers log is for services; a person sees what the command says."""
    if is_service or shell.verbose:
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        logging.getLogger("sagaflow").setLevel(logging.INFO)
    else:
        for name in ("sagaflow", "aio_pika", "aiormq", "pymongo", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
