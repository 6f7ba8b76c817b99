"""``sagaflow purge``: forget the sagas whose time is over, now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from ..core.state import TERMINAL
from .desk import Desk
from .exits import Exit, Failure
from .selection import Selection
from .shell import Shell
from .wording import many

_AT_ONCE: Final = 200


async def purge(
    shell: Shell,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask no questions.")] = False,
) -> Exit:
    """Forget the sagas that may go by now, as the settings of their workers say (keep_completed and others).

    Sweepers do the same in the background. Sagas that are to be kept, or of which nobody said for how long, stay.
    """
    async with shell.desk() as desk:
        if dry_run:
            count = await _may_go(desk)
            _told(shell, count, "may go", "may_go")
            return Exit.OK
        if not yes:
            if not shell.err.is_terminal:
                raise Failure("sagas would be forgotten for ever; write --yes if that is meant, or --dry-run")
            if not typer.confirm(f"forget {many(await _may_go(desk), 'saga')} for ever?", err=True):
                return Exit.FAILED
        gone = 0
        with shell.err.status("forgetting") as status:
            while some := await desk.forget(_AT_ONCE):
                gone += some
                status.update(f"forgetting: {gone:,}")
    _told(shell, gone, "forgotten", "forgotten")
    return Exit.OK


async def _may_go(desk: Desk) -> int:
    now = datetime.fromtimestamp(await desk.store.now(), UTC)
    count = 0
    async for saga in Selection(status=sorted(TERMINAL)).all(desk):
        count += saga.expires_at is not None and saga.expires_at <= now
    return count


def _told(shell: Shell, count: int, said: str, name: str) -> None:
    if shell.as_json:
        shell.data({name: count})
    else:
        shell.out.print(f"{many(count, 'saga')} {said}")
