"""A saga as it goes on, shown to somebody whose script waits for it."""

from __future__ import annotations

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from sagaflow import Engine
from sagaflow.cli.live import show
from tests.e2e.stacks import QUICK
from tests.polling import until

from .sagas import Deliver, Order, Sell


def console(*, is_terminal: bool) -> Console:
    return Console(file=StringIO(), force_terminal=is_terminal, width=80, highlight=False, emoji=False)


def text_of(shown: Console) -> str:
    assert isinstance(shown.file, StringIO)
    return shown.file.getvalue()


@pytest.mark.parametrize("is_terminal", [True, False])
async def test_the_end_is_waited_for_and_shown(is_terminal: bool) -> None:
    shown = console(is_terminal=is_terminal)
    async with Engine([Sell], store="memory://", broker="memory://", settings=QUICK) as engine:
        record = await show(await engine.start(Sell, Order("eve", "declined")), console=shown, redact=["card"])
    assert record.is_compensated
    assert "compensated" in text_of(shown)
    assert "step 'charge' failed" in text_of(shown)


async def test_in_a_terminal_it_is_drawn_anew_and_covers_what_is_redacted() -> None:
    shown = console(is_terminal=True)
    async with Engine([Deliver], store="memory://", broker="memory://", settings=QUICK) as engine:
        handle = await engine.start(Deliver, Order("ada", "4111"), id="d-1")
        shows = asyncio.create_task(show(handle, console=shown, redact=["card"]))
        async for record in handle.changes():
            if record.waits_for:
                break

        async def is_shown() -> bool:
            return "waits for an answer from outside" in text_of(shown)

        await until(is_shown)
        await engine.complete_step("d-1", Deliver.pickup, "by herself")
        assert (await shows).is_completed
    assert "4111" not in text_of(shown)
    assert "[redacted]" in text_of(shown)
    assert "✓ completed" in text_of(shown)
