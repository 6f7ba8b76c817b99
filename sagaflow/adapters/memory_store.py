"""A store that lives as long as its object: for tests, and for sagas that need not survive their process."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ..core.state import SagaState, SagaStatus
from ..errors import InboxFull
from ..ports import (
    INBOX_LIMIT,
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
from .memory_documents import Buried, Kept, Waiting, Worker
from .memory_survey import ended, oldest, tally
from .store_rules import (
    as_committed,
    check_graph,
    check_ids,
    check_names,
    check_place,
    check_query,
    cursor_after,
    encode_after,
    encode_request,
    encode_state,
)


class MemoryStore:
    """A ``Store`` in this process's memory. Several engines may share one object, also from several threads.

    What it keeps is gone with the object, not with ``close``: an engine that is opened on it again finds its sagas.

    Args:
        now: the clock, in seconds since the epoch.

    Example:
        >>> store = MemoryStore()
        >>> store.heart().beat("worker-1").alive
        True
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sagas: dict[str, Kept] = {}
        self._buried: dict[str, Buried] = {}
        self._lines: defaultdict[str, dict[Ticket, None]] = defaultdict(dict)
        self._graphs: dict[str, Graph] = {}
        # What follows could be computed from the sagas; it spares a look at each of them.
        self._due: dict[str, float] = {}
        self._expiring: dict[str, float] = {}
        self._claims: defaultdict[str, set[str]] = defaultdict(set)
        self._workers: dict[str, Worker] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._sagas)} sagas>"

    async def open(self) -> None:
        """Nothing is needed."""

    async def close(self) -> None:
        """Nothing is held but the sagas, which other engines may share."""

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        encode_state(state)  # what other stores could not keep is refused here too
        await _others_first()
        with self._lock:
            if state.id in self._sagas or state.id in self._buried:
                return False
            self._sagas[state.id] = kept = Kept(state, wake_at)
            self._index(kept, before=())
            return True

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        check_ids(saga_ids)
        await _others_first()
        with self._lock:
            return {
                saga_id: Stored(kept.state, tuple(waiting.signal for waiting in kept.inbox))
                for saga_id in saga_ids
                if (kept := self._sagas.get(saga_id))
            }

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        await _others_first()
        with self._lock:
            return [self._commit(transition) for transition in transitions]

    def _commit(self, transition: Transition) -> Outcome:
        before, after = transition.before, transition.after
        kept = self._sagas.get(before.id)
        if kept is None or kept.state.revision != before.revision:
            return Outcome.CONFLICT
        if transition.inbox_size not in (None, len(kept.inbox)):
            return Outcome.CONFLICT
        if encode_after(after) is None:
            return Outcome.CONFLICT
        owners = kept.state.owners
        kept.state, kept.wake_at, kept.dispatches = as_committed(after), transition.wake_at, 0
        kept.inbox = [waiting for waiting in kept.inbox if waiting.signal.token not in transition.consumed]
        self._index(kept, owners)
        return Outcome.COMMITTED

    async def post(self, saga_id: str, signal: Signal) -> Posted:
        check_ids((saga_id,))
        encode_request(signal)
        await _others_first()
        with self._lock:
            kept = self._sagas.get(saga_id)
            if kept is None:
                return Posted(accepted=False, status=None)
            status = kept.state.status
            if any(waiting.signal.token == signal.token for waiting in kept.inbox):
                return Posted(accepted=True, status=status)
            if signal.request.kind not in kept.state.accepts:
                return Posted(accepted=False, status=status)
            if len(kept.inbox) >= INBOX_LIMIT:
                raise InboxFull(saga_id, INBOX_LIMIT)
            kept.inbox.append(Waiting(signal, self._now()))
            self._index(kept, kept.state.owners)
            return Posted(accepted=True, status=status)

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        await _others_first()
        with self._lock:
            found = (
                (at, saga_id) for saga_id, at in self._due.items() if at <= now and self._is_of(saga_id, fingerprints)
            )
            first = heapq.nsmallest(limit, found)
            return [Due(saga_id, at, self._sagas[saga_id].dispatches) for at, saga_id in first]

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        await _others_first()
        with self._lock:
            return [self._defer(found, at, counts) for found, at in zip(due, until, strict=True)]

    def _defer(self, found: Due, until: float, counts: bool) -> bool:
        kept = self._sagas.get(found.saga_id)
        if kept is None or (kept.due_at, kept.dispatches) != (found.wake_at, found.dispatches):
            return False
        kept.wake_at = until
        kept.dispatches += counts
        for waiting in kept.inbox:
            waiting.due_at = until
        self._index(kept, kept.state.owners)
        return True

    def _is_of(self, saga_id: str, fingerprints: Sequence[str] | None) -> bool:
        return fingerprints is None or self._sagas[saga_id].state.fingerprint in fingerprints

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        await _others_first()
        with self._lock:
            return [
                Orphan(saga_id, owner)
                for owner, saga_ids in self._claims.items()
                if (worker := self._workers.get(owner)) and worker.is_dead
                for saga_id in saga_ids
                if self._is_of(saga_id, fingerprints)
            ][:limit]

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        await _others_first()
        with self._lock:
            return list(self._claims.get(owner, ()))[:limit]

    async def find(self, query: Query) -> Page:
        start = check_query(query)
        await _others_first()
        with self._lock:
            states = [kept.state for kept in self._sagas.values() if query.matches(kept.state)]
        states.sort(key=_newest_first, reverse=True)
        if start is not None:
            states = [state for state in states if _newest_first(state) < start]
        page = states[: query.limit]
        return Page(tuple(page), cursor_after(page[-1]) if len(states) > len(page) else None)

    async def tally(self) -> list[Tally]:
        return tally(await self._states())

    async def ended(self, since: float, width: float, stretches: int) -> list[Ended]:
        return ended(await self._states(), since, width, stretches)

    async def oldest(self, statuses: Sequence[SagaStatus], limit: int) -> list[SagaState]:
        return oldest(await self._states(), statuses, limit)

    async def _states(self) -> list[SagaState]:
        await _others_first()
        with self._lock:
            return [kept.state for kept in self._sagas.values()]

    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        check_ids(saga_ids)
        await _others_first()
        with self._lock:
            return {
                saga_id: Summary(kept.state.revision, kept.state.status)
                for saga_id in saga_ids
                if (kept := self._sagas.get(saga_id))
            }

    async def queue_up(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        check_place(key, ticket)
        await _others_first()
        with self._lock:
            line = self._lines[key]
            line.setdefault(ticket)
            return tuple(line)

    async def leave_queue(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        check_place(key, ticket)
        await _others_first()
        with self._lock:
            line = self._lines.get(key, {})
            line.pop(ticket, None)
            if not line:
                self._lines.pop(key, None)
            return tuple(line)

    async def queue(self, key: str) -> tuple[Ticket, ...]:
        check_place(key)
        await _others_first()
        with self._lock:
            return tuple(self._lines.get(key, ()))

    async def keep_graph(self, graph: Graph) -> None:
        check_graph(graph)
        await _others_first()
        with self._lock:
            self._graphs.setdefault(graph.fingerprint, graph)

    async def graphs(self, sagas: Sequence[str]) -> list[Graph]:
        check_names(sagas)
        await _others_first()
        with self._lock:
            return [graph for graph in self._graphs.values() if graph.saga in sagas]

    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        await _others_first()
        with self._lock:
            old = ((buried.until, saga_id) for saga_id, buried in self._buried.items() if buried.until <= now)
            for _, saga_id in heapq.nsmallest(limit, old):
                del self._buried[saga_id]
            expired = (
                (at, saga_id)
                for saga_id, at in self._expiring.items()
                if at <= now and not self._sagas[saga_id].inbox  # what was accepted is not passed over
            )
            first = heapq.nsmallest(limit, expired)
            for _, saga_id in first:
                self._forget(saga_id, now + keep_ids)
            return len(first)

    def _forget(self, saga_id: str, until: float) -> None:
        state = self._sagas.pop(saga_id).state
        self._due.pop(saga_id, None)
        self._expiring.pop(saga_id, None)
        self._claim(saga_id, state.owners, ())
        if state.named:
            self._buried[saga_id] = Buried(Tombstone(state.saga, state.status, state.completed_at), until)

    async def tombstone(self, saga_id: str) -> Tombstone | None:
        check_ids((saga_id,))
        await _others_first()
        with self._lock:
            buried = self._buried.get(saga_id)
            return buried.tombstone if buried else None

    async def now(self) -> float:
        return self._now()

    async def scan(self, after: str | None, limit: int) -> list[str]:
        await _others_first()
        with self._lock:
            return _page(self._sagas, after, limit)

    async def inspect(self, saga_ids: Sequence[str]) -> dict[str, Inspected]:
        check_ids(saga_ids)
        await _others_first()
        with self._lock:
            return {
                saga_id: Inspected(kept.state, kept.due_at, len(kept.inbox), self._owners_of(saga_id, kept.state))
                for saga_id in saga_ids
                if (kept := self._sagas.get(saga_id))
            }

    def _owners_of(self, saga_id: str, state: SagaState) -> tuple[str, ...]:
        return tuple(owner for owner in state.owners if saga_id in self._claims.get(owner, ()))

    async def deaths(self, workers: Sequence[str]) -> dict[str, float | None]:
        check_ids(workers)
        await _others_first()
        with self._lock:
            return {name: found.dead_at for name in workers if (found := self._workers.get(name))}

    async def lines(self, after: str | None, limit: int) -> list[str]:
        await _others_first()
        with self._lock:
            return _page(self._lines, after, limit)

    def heart(self) -> MemoryHeart:
        return MemoryHeart(self._workers, self._lock, self._now)

    def _index(self, kept: Kept, before: Sequence[str]) -> None:
        """Bring up to date what is computed from a saga; ``before`` are the owners that it had."""
        state, due_at = kept.state, kept.due_at
        if due_at is None:
            self._due.pop(state.id, None)
        else:
            self._due[state.id] = due_at
        if state.expire_at is None:
            self._expiring.pop(state.id, None)
        else:
            self._expiring[state.id] = state.expire_at
        self._claim(state.id, before, state.owners)

    def _claim(self, saga_id: str, before: Sequence[str], after: Sequence[str]) -> None:
        if after == before:
            return
        for owner in before:
            self._claims[owner].discard(saga_id)
            if not self._claims[owner]:
                del self._claims[owner]
        for owner in after:
            self._claims[owner].add(saga_id)


async def _others_first() -> None:
    """Let other tasks run, as they do while a store waits for a disk or a network.

    Without it a caller in a loop would keep the event loop for itself, and races would be seen with real stores only.
    """
    await asyncio.sleep(0)


def _page(keys: Iterable[str], after: str | None, limit: int) -> list[str]:
    return heapq.nsmallest(limit, (key for key in keys if after is None or key > after))


def _newest_first(state: SagaState) -> tuple[float, str]:
    return state.created_at, state.id


class MemoryHeart:
    """The ``Heart`` of a ``MemoryStore``. The dead are remembered as long as the store lives."""

    def __init__(self, workers: dict[str, Worker], lock: threading.Lock, now: Callable[[], float]) -> None:
        self._workers = workers
        self._lock = lock
        self._now = now

    def beat(self, worker: str) -> Beat:
        with self._lock:
            record = self._workers.setdefault(worker, Worker())
            if not record.is_dead:
                record.beats += 1
            others = {
                name: other.beats for name, other in self._workers.items() if name != worker and not other.is_dead
            }
            return Beat(not record.is_dead, self._now(), others)

    def declare_dead(self, worker: str, beats: int) -> bool:
        with self._lock:
            record = self._workers.get(worker)
            if record is None or record.is_dead or record.beats != beats:
                return False
            record.dead_at = self._now()
            return True

    def leave(self, worker: str) -> None:
        with self._lock:
            record = self._workers.setdefault(worker, Worker())
            if record.dead_at is None:
                record.dead_at = self._now()

    def close(self) -> None:
        """Nothing is held."""
