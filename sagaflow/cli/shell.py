"""What every command is given: where the sagas are, how to print, and what not to show."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Annotated, Any, TypeVar

import msgspec
import typer
from rich.console import Console

from ..views import Redaction
from .desk import Desk
from .dry_desk import DryDesk
from .exits import Failure
from .loading import App, load
from .places import check_store

_WIDE = 160
"""Columns where nobody said how wide the output is: it goes to a file or another program."""

_PANEL = "Common options"

_D = TypeVar("_D", bound=Desk)


@dataclass
class Shell:
    """What every command is given."""

    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where the sagas are: sqlite:///file.db or mongodb://…/database. By default SAGAFLOW_STORE, else "
            "sqlite:///sagaflow.db.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="What wakes workers: amqp://… By default SAGAFLOW_BROKER, else none.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    app: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="A saga class, a factory of one, or an engine. Can be repeated. By default SAGAFLOW_APP.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.", rich_help_panel=_PANEL)] = (
        False
    )
    redact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="Cover this field of payloads: card, customer.email, context, error.message. Can be repeated. By "
            "default SAGAFLOW_REDACT, separated by commas.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show logs, and whole tracebacks.", rich_help_panel=_PANEL)
    ] = False

    @cached_property
    def out(self) -> Console:
        """For what was asked for."""
        return console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """For everything besides."""
        return console(sys.stderr)

    @cached_property
    def loaded(self) -> App:
        """What ``--app`` names.

        Raises:
            Failure: it cannot be had.
        """
        return load(self.app if self.app is not None else os.environ.get("SAGAFLOW_APP", "").split())

    @cached_property
    def redacted(self) -> list[str]:
        """The paths to what is not shown."""
        if self.redact is not None:
            return self.redact
        return [name.strip() for name in os.environ.get("SAGAFLOW_REDACT", "").split(",") if name.strip()]

    @cached_property
    def redaction(self) -> Redaction:
        """What is not shown.

        Raises:
            Failure: a path is none.
        """
        try:
            return Redaction(self.redacted)
        except ValueError as error:
            raise Failure(str(error)) from error

    @asynccontextmanager
    async def desk(self, *, more: App | None = None, creates: bool = False) -> AsyncGenerator[Desk, None]:
        """The store, opened by an engine that does no work.

        Args:
            more: what the command names besides ``--app``.
            creates: whether the store may be one that does not exist yet.

        Raises:
            Failure: there is nothing there.
            ConfigurationError, StoreUnavailable: the store cannot be opened.
        """
        async with self._opened(Desk, self.loaded if more is None else self.loaded.with_(more), creates) as desk:
            yield desk

    @asynccontextmanager
    async def dry_desk(self) -> AsyncGenerator[DryDesk, None]:
        """The same, for a dry run. See ``desk``."""
        async with self._opened(DryDesk, self.loaded, creates=False) as desk:
            yield desk

    @asynccontextmanager
    async def _opened(self, kind: type[_D], app: App, creates: bool) -> AsyncGenerator[_D, None]:
        check_store(self.store, app.engine, creates=creates)
        async with kind.of(app, self.store, self.broker) as desk:
            yield desk

    def data(self, value: Any, *, in_lines: bool = False) -> None:
        """Print JSON; ``in_lines``: one value a line, as they come."""
        text = msgspec.json.encode(value)
        if not in_lines:
            text = msgspec.json.format(text, indent=2)
        self.out.file.write(text.decode() + "\n")
        self.out.file.flush()


def console(file: IO[str]) -> Console:
    """As wide as the terminal; where there is none, wide enough to keep lines whole."""
    is_terminal = file.isatty()
    width = None if is_terminal or "COLUMNS" in os.environ else _WIDE
    return Console(file=file, width=width, highlight=False, emoji=False)
