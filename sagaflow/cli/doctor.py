"""``sagaflow doctor``: whether the servers are there and as they should be, and whether sagas are left lying."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from ..core.state import Direction, SagaStatus
from ..core.versions import read_graph
from ..errors import BrokerUnavailable, ConfigurationError, SagaFlowError, StoreUnavailable
from ..ports import Lane, Query
from ..ports.diagnosis import BrokerDiagnosis, Condition, Diagnosis, StoreDiagnosis
from .desk import Desk
from .exits import Exit
from .places import check_store
from .shell import Shell
from .wording import many

_STALE: Final = 60.0  # seconds for which what is due may lie about
_SKEW: Final = 1.0  # seconds between two clocks
_MANY: Final = 1_000
_SIGNS: Final = {Condition.GOOD: ("✓", "green"), Condition.DOUBTFUL: ("!", "yellow"), Condition.BAD: ("✗", "bold red")}


async def doctor(shell: Shell) -> Exit:
    """Say whether the servers can be reached, are as they should be, and whether sagas are left lying; with remedies.

    Exit code 1 if something is wrong (✗), 4 if the store does not answer. Nothing is changed, but that indexes and
    tables are created which are missing.
    """
    check_store(shell.store, shell.loaded.engine, creates=False)
    desk = Desk.of(shell.loaded, shell.store, shell.broker)
    found: list[Diagnosis] = []
    code = Exit.OK
    with shell.err.status("asking the servers"):
        try:
            async for one in _diagnoses(desk):
                found.append(one)  # noqa: PERF401  # what was found stands, whatever comes after
        except SagaFlowError as error:
            is_away = isinstance(error, StoreUnavailable | BrokerUnavailable)
            remedy = "is it running, is the URL right, and may this machine connect to it?" if is_away else ""
            found.append(Diagnosis("servers", Condition.BAD, str(error), remedy))
            code = Exit.UNAVAILABLE if is_away else Exit.USAGE
    if shell.as_json:
        shell.data(found)
    else:
        _print(shell, found)
    if code is Exit.OK and any(one.condition is Condition.BAD for one in found):
        return Exit.FAILED
    return code


def _print(shell: Shell, found: Sequence[Diagnosis]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in ("sign", "what"):
        table.add_column(column, no_wrap=True)
    for one in found:
        sign, style = _SIGNS[one.condition]
        table.add_row(Text(sign, style), Text(one.what), Text(one.said))
        if one.remedy:
            table.add_row("", "", Text(f"→ {one.remedy}", "dim"))
    shell.out.print(table)


async def _diagnoses(desk: Desk) -> AsyncGenerator[Diagnosis, None]:
    # Before the store is opened, which creates what is missing.
    if isinstance(desk.store, StoreDiagnosis):
        try:
            servers = await desk.store.diagnose()
        except BaseException:
            await desk.store.close()
            raise
        for one in servers:
            yield one
    async with desk:
        yield Diagnosis("store", Condition.GOOD, repr(desk.store).strip("<>"))
        yield await _skew(desk)
        async for one in _sagas(desk):
            yield one
        async for one in _broker(desk):
            yield one


async def _skew(desk: Desk) -> Diagnosis:
    before = time.time()
    there = await desk.store.now()
    after = time.time()
    # The store's clock was read somewhere between the two.
    skew = max(there - after, before - there, 0.0)
    if skew <= _SKEW:
        return Diagnosis("clocks", Condition.GOOD, "this machine and the store agree")
    said = f"this machine is {skew:.1f} s {'behind' if there > after else 'ahead of'} the store"
    remedy = "sagas go by the store's clock and are not harmed; logs are misleading: synchronise by NTP"
    return Diagnosis("clocks", Condition.DOUBTFUL, said, remedy)


async def _sagas(desk: Desk) -> AsyncGenerator[Diagnosis, None]:
    stale = await desk.store.due(await desk.store.now() - _STALE, _MANY)
    if stale:
        said = f"{_count(len(stale), 'saga')} due for more than a minute, as {stale[0].saga_id}"
        remedy = "start workers that have their classes and serve their queues; sagaflow check says more"
        yield Diagnosis("stale sagas", Condition.BAD, said, remedy)
    else:
        yield Diagnosis("stale sagas", Condition.GOOD, "none")
    failed = (await desk.store.find(Query(statuses=(SagaStatus.FAILED,), limit=_MANY))).sagas
    if failed:
        remedy = "a person must look: sagaflow list --status failed"
        yield Diagnosis("failed sagas", Condition.DOUBTFUL, _count(len(failed), "saga"), remedy)
    else:
        yield Diagnosis("failed sagas", Condition.GOOD, "none")


async def _broker(desk: Desk) -> AsyncGenerator[Diagnosis, None]:
    broker = desk.broker
    if not isinstance(broker, BrokerDiagnosis):
        said = "none that other processes hear: workers find sagas in the store, half a second later"
        yield Diagnosis("broker", Condition.GOOD, said)
        return
    if broker.health != "ok":
        remedy = "sagas go on, found by sweepers; is it running, and is the URL right?"
        yield Diagnosis("broker", Condition.BAD, f"{repr(broker).strip('<>')}: {broker.health}", remedy)
        return
    yield Diagnosis("broker", Condition.GOOD, repr(broker).strip("<>"))
    try:
        for one in await broker.diagnose_lanes(await _lanes(desk)):
            yield one
    except ConfigurationError as error:
        yield Diagnosis("topology", Condition.BAD, str(error))


async def _lanes(desk: Desk) -> list[Lane]:
    """What live sagas may need, by their graphs and by the classes that are known here."""
    queues = set(desk.queues)
    live = [status for status in SagaStatus if not status.is_terminal]
    page = await desk.store.find(Query(statuses=tuple(live), limit=_MANY))
    for graph in await desk.store.graphs(sorted({state.saga for state in page.sagas})):
        queues.update(step.queue for step in read_graph(graph.body, graph.fingerprint, graph.saga))
    sides = (Direction.FORWARD, Direction.UNDO)
    return [Lane(queue, side) for queue in sorted(queues) for side in sides]


def _count(count: int, what: str) -> str:
    return f"{'at least ' if count >= _MANY else ''}{many(count, what)}"
