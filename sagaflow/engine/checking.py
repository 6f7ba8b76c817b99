"""Looking through a whole store for what must never be: beside the work, without disturbing it.

A scan is no snapshot: sagas go on while it reads. So whatever looks wrong is looked at again after a pause, and is
reported only if it is wrong still. What shows only from several documents together is reported only if the saga stood
still between the two looks: then it was so at the moment at which the others were read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from ..core.checking import Rule
from ..core.definition import SagaDefinition
from ..core.state import SagaState
from ..ports import Store
from .base import EngineBase
from .inspecting import Inspector, Suspicion

SLACK: Final = timedelta(minutes=1)
"""How late somebody may take up what is due."""
PAUSE: Final = timedelta(seconds=2)
"""Between the two looks."""
LIMIT: Final = 1_000
"""How many findings there are at most."""

_PAGE: Final = 100  # sagas
_OF_SEVERAL: Final = frozenset({Rule.ACTIVE_CHILD, Rule.MISSED_CHILD, Rule.STALE_LOCK, Rule.LOCK_HOLDERS})
"""What shows only from several documents together."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a stored saga breaks.

    Attributes:
        saga_id: which saga.
        rule: which rule; its value is a word that stays as it is.
        what: how it is broken, in words, without any payload.
    """

    saga_id: str
    rule: Rule
    what: str


async def check_store(
    store: Store,
    *,
    slack: timedelta = SLACK,
    pause: timedelta = PAUSE,
    limit: int = LIMIT,
    definitions: Callable[[SagaState], SagaDefinition | None] | None = None,
) -> list[Finding]:
    """All that is wrong in a store, which is open; see ``Engine.check``.

    Args:
        definitions: finds the graph of a saga whose graph the store does not have under its name: one made of data.

    Raises:
        StoreUnavailable
    """
    inspector = Inspector(store, slack.total_seconds(), definitions)
    sagas = await _suspicions(_pages(store.scan), inspector.sagas, limit)
    lines = await _suspicions(_pages(store.lines), inspector.lines, limit)
    if not sagas and not lines:
        return []
    await asyncio.sleep(pause.total_seconds())
    again = [
        *await _suspicions(_again(sagas), inspector.sagas, None),
        *await _suspicions(_again(lines), inspector.lines, None),
    ]
    confirmed = _confirmed([*sagas, *lines], again)
    return [Finding(one.saga_id, one.rule, one.what) for one in confirmed][:limit]


async def _suspicions(
    pages: AsyncGenerator[Sequence[str], None],
    inspect: Callable[[Sequence[str]], Awaitable[list[Suspicion]]],
    limit: int | None,
) -> list[Suspicion]:
    found: list[Suspicion] = []
    async for page in pages:
        found += await inspect(page)
        if limit is not None and len(found) >= limit:
            break
    return found


async def _pages(
    read: Callable[[str | None, int], Awaitable[list[str]]],
) -> AsyncGenerator[Sequence[str], None]:
    after: str | None = None
    while page := await read(after, _PAGE):
        yield page
        after = page[-1]


async def _again(found: Iterable[Suspicion]) -> AsyncGenerator[Sequence[str], None]:
    places = list(dict.fromkeys(one.place for one in found))
    for start in range(0, len(places), _PAGE):
        yield places[start : start + _PAGE]


def _confirmed(first: Iterable[Suspicion], again: Iterable[Suspicion]) -> list[Suspicion]:
    """What is wrong still; in the words of the second look."""
    known = {(one.place, one.saga_id, one.rule) for one in first}
    unmoved = set(first)
    return [
        one
        for one in again
        if (one in unmoved if one.rule in _OF_SEVERAL else (one.place, one.saga_id, one.rule) in known)
    ]


class Checking(EngineBase):
    """The part of an engine that looks whether all is well."""

    async def check(
        self, *, slack: timedelta = SLACK, pause: timedelta = PAUSE, limit: int = LIMIT
    ) -> Sequence[Finding]:
        """Look through the whole store for what must never be: it should find nothing, ever.

        It only reads, a page at a time, and can be run beside the work. A large store takes its time.

        Args:
            slack: how late somebody may take up what is due, or what the dead have left. More than it takes to work
                off a backlog, or to restart all workers.
            pause: what looks wrong is looked at again after this time, and reported if it is wrong still.
            limit: of so many findings it is enough; the rest of the store is not looked at.

        Returns:
            each broken rule of each saga that breaks it.

        Raises:
            StoreUnavailable

        Example:
            >>> async def is_well(engine: Engine) -> bool:
            ...     return not await engine.check()
        """
        self._must_be_open()
        await self._bindings.look()
        return await check_store(self._store, slack=slack, pause=pause, limit=limit, definitions=self._definition_of)

    def _definition_of(self, state: SagaState) -> SagaDefinition | None:
        binding = self._bindings.known(state)
        return binding.definition if binding is not None else None
