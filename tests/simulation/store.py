"""A store on a server that fails: a ``MemoryStore`` behind a network."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from sagaflow.adapters.memory_store import MemoryHeart, MemoryStore
from sagaflow.core.state import SagaState, SagaStatus
from sagaflow.errors import StoreUnavailable
from sagaflow.ports import (
    Beat,
    Due,
    Ended,
    Graph,
    Inspected,
    Orphan,
    Outcome,
    Page,
    Posted,
    Query,
    Signal,
    Stored,
    Summary,
    Tally,
    Ticket,
    Tombstone,
    Transition,
)

from .network import Network, Unanswered, at_once
from .process import Process

T = TypeVar("T")


class Documents(MemoryStore):
    """What the server has; ``on_change`` is told of each state that a saga comes to."""

    on_change: Callable[[SagaState | None, SagaState, Transition | None], None]

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        is_new = await super().insert(state, wake_at)
        if is_new:
            self.on_change(None, state, None)
        return is_new

    def _commit(self, transition: Transition) -> Outcome:
        kept = self._sagas.get(transition.before.id)
        before = kept.state if kept is not None else None
        outcome = super()._commit(transition)
        if outcome is Outcome.COMMITTED:
            self.on_change(before, self._sagas[transition.before.id].state, transition)
        return outcome


class RemoteStore:
    """The ``Store`` of one process."""

    def __init__(self, process: Process, network: Network, documents: Documents) -> None:
        self._process = process
        self._network = network
        self._documents = documents

    async def _call(self, what: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await self._network.call(self._process, what, lambda: at_once(work()))
        except Unanswered as error:
            raise StoreUnavailable(str(error)) from None

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        return await self._call(f"insert {state.id}", partial(self._documents.insert, state, wake_at))

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        return await self._call("load", partial(self._documents.load, saga_ids))

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        names = ", ".join(f"{one.after.id}@{one.after.revision}" for one in transitions)
        try:
            return await self._call(f"commit {names}", partial(self._documents.commit, transitions))
        except StoreUnavailable:
            return [Outcome.UNSURE] * len(transitions)

    async def post(self, saga_id: str, signal: Signal) -> Posted:
        return await self._call(
            f"post {signal.request.kind} to {saga_id}", partial(self._documents.post, saga_id, signal)
        )

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        return await self._call("due", partial(self._documents.due, now, limit, fingerprints))

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        return await self._call("defer", partial(self._documents.defer, due, until, counts=counts))

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        found = await self._call("orphans", partial(self._documents.orphans, limit, fingerprints))
        return sorted(found, key=lambda orphan: (orphan.saga_id, orphan.owner))  # the documents have them in a set

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        return sorted(await self._call("claimed_by", partial(self._documents.claimed_by, owner, limit)))

    async def find(self, query: Query) -> Page:
        return await self._call("find", partial(self._documents.find, query))

    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        return await self._call("summaries", partial(self._documents.summaries, saga_ids))

    async def queue_up(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        return await self._call(f"queue_up {ticket.saga_id}", partial(self._documents.queue_up, key, ticket))

    async def leave_queue(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        return await self._call(f"leave_queue {ticket.saga_id}", partial(self._documents.leave_queue, key, ticket))

    async def queue(self, key: str) -> tuple[Ticket, ...]:
        return await self._call("queue", partial(self._documents.queue, key))

    async def keep_graph(self, graph: Graph) -> None:
        return await self._call("keep_graph", partial(self._documents.keep_graph, graph))

    async def graphs(self, sagas: Sequence[str]) -> list[Graph]:
        return await self._call("graphs", partial(self._documents.graphs, sagas))

    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        return await self._call("expire", partial(self._documents.expire, now, limit, keep_ids))

    async def tombstone(self, saga_id: str) -> Tombstone | None:
        return await self._call("tombstone", partial(self._documents.tombstone, saga_id))

    async def now(self) -> float:
        return await self._call("now", self._documents.now)

    async def scan(self, after: str | None, limit: int) -> list[str]:
        return await self._call("scan", partial(self._documents.scan, after, limit))

    async def inspect(self, saga_ids: Sequence[str]) -> dict[str, Inspected]:
        return await self._call("inspect", partial(self._documents.inspect, saga_ids))

    async def deaths(self, workers: Sequence[str]) -> dict[str, float | None]:
        return await self._call("deaths", partial(self._documents.deaths, workers))

    async def lines(self, after: str | None, limit: int) -> list[str]:
        return await self._call("lines", partial(self._documents.lines, after, limit))

    async def tally(self) -> list[Tally]:
        return await self._call("tally", self._documents.tally)

    async def ended(self, since: float, width: float, stretches: int) -> list[Ended]:
        return await self._call("ended", partial(self._documents.ended, since, width, stretches))

    async def oldest(self, statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
        return await self._call("oldest", partial(self._documents.oldest, statuses, limit))

    def heart(self) -> RemoteHeart:
        return RemoteHeart(self._process, self._network, self._documents.heart())


class RemoteHeart:
    """The ``Heart`` of one process."""

    def __init__(self, process: Process, network: Network, heart: MemoryHeart) -> None:
        self._process = process
        self._network = network
        self._heart = heart

    def _call(self, what: str, act: Callable[[], T]) -> T:
        try:
            return self._network.call_now(self._process, what, act)
        except Unanswered as error:
            raise StoreUnavailable(str(error)) from None

    def beat(self, worker: str) -> Beat:
        return self._call("beat", partial(self._heart.beat, worker))

    def declare_dead(self, worker: str, beats: int) -> bool:
        is_dead = self._call(f"declare {worker} dead", partial(self._heart.declare_dead, worker, beats))
        if is_dead:
            self._process.world.tell(self._process.name, f"declares {worker} dead")
        return is_dead

    def leave(self, worker: str) -> None:
        self._call("leave", partial(self._heart.leave, worker))

    def close(self) -> None:
        pass
