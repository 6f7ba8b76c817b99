"""Where the truth is: sagas, the requests that wait for them, and who is alive.

A store is a set of documents, one a saga, each changed only by compare-and-set on its revision. Everything that these
methods confirm is durable and survives the loss of a minority of the store's servers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Protocol

from msgspec import Struct

from ..core.events import Request
from ..core.state import SagaState, SagaStatus
from .inspection import Inspection
from .survey import Survey

INBOX_LIMIT: Final = 1_000
"""How many requests may wait for one saga."""


class Signal(Struct, frozen=True):
    """A request to a saga, waiting in its inbox. ``token`` is unique to the request: posted twice, it is there once."""

    token: str
    request: Request


class Stored(Struct, frozen=True):
    """A saga as the store has it, with what waits in its inbox, oldest first."""

    state: SagaState
    inbox: tuple[Signal, ...] = ()


class Transition(Struct, frozen=True):
    """One change of one saga, from ``before`` to ``after``; its id, its tags and ``created_at`` stay as they are.

    Attributes:
        before: what it was decided on; ``after.revision == before.revision + 1``.
        wake_at: when somebody must look at it again; None if nobody needs to.
        consumed: the tokens of the requests that ``after`` has taken in; they leave the inbox with the change.
        inbox_size: if not None, the change holds only while the inbox has exactly this many requests (``consumed``
            included). A saga comes to accept less only so: a request that was accepted is never passed over.
    """

    before: SagaState
    after: SagaState
    wake_at: float | None
    consumed: tuple[str, ...] = ()
    inbox_size: int | None = None


class Outcome(Enum):
    """What became of one transition."""

    COMMITTED = "committed"
    CONFLICT = "conflict"
    """Certainly not made: the revision has moved on, the inbox has grown, or the saga is gone."""
    UNSURE = "unsure"
    """An error, a timeout or a cancellation came between: it was made, or it was not, or it still may be."""


class Posted(Struct, frozen=True):
    """What became of a request: ``status`` is the saga's at that moment, None if there is no such saga."""

    accepted: bool
    status: SagaStatus | None


class Ticket(Struct, frozen=True):
    """A place in the line for a lock.

    ``root`` names the family of the saga: sagas of one family do not exclude each other. ``term`` tells one time that
    a saga stood in the line from another.
    """

    saga_id: str
    root: str
    term: int


class Graph(Struct, frozen=True):
    """The steps of a saga as they were when sagas were started by them; ``body`` is text that only the core reads."""

    fingerprint: str
    saga: str
    body: str


class Tombstone(Struct, frozen=True):
    """What is left of a saga whose id was chosen by who started it, so that it cannot be started again."""

    saga: str
    status: SagaStatus
    completed_at: float | None


class Due(Struct, frozen=True):
    """A saga that somebody should look at. ``dispatches`` counts how often it was found due since its last change."""

    saga_id: str
    wake_at: float
    dispatches: int = 0


class Orphan(Struct, frozen=True):
    """A saga with a claim of a worker that is dead."""

    saga_id: str
    owner: str


class Query(Struct, frozen=True, kw_only=True):
    """Which sagas to list: newest first by creation, ties by id. Empty filters match all.

    Attributes:
        sagas, statuses: the names of classes, and the statuses; one of each is enough.
        tags: a saga must have all of them.
        created_before, updated_before: the saga was started, or changed last, before that time.
        limit: of the sagas of one page.
        cursor: where the page before ended.
    """

    sagas: tuple[str, ...] = ()
    statuses: tuple[SagaStatus, ...] = ()
    tags: tuple[str, ...] = ()
    created_before: float | None = None
    updated_before: float | None = None
    limit: int = 100
    cursor: str | None = None

    def matches(self, state: SagaState) -> bool:
        """Whether all filters hold for a saga, on whichever page it would be."""
        return (
            (not self.sagas or state.saga in self.sagas)
            and (not self.statuses or state.status in self.statuses)
            and all(tag in state.tags for tag in self.tags)
            and (self.created_before is None or state.created_at < self.created_before)
            and (self.updated_before is None or state.updated_at < self.updated_before)
        )


class Page(Struct, frozen=True):
    """One page of a listing; ``cursor`` continues it, None at its end."""

    sagas: tuple[SagaState, ...]
    cursor: str | None = None


class Summary(Struct, frozen=True):
    """Just enough to see that a saga has changed."""

    revision: int
    status: SagaStatus


class Beat(Struct, frozen=True):
    """What one heartbeat saw, read with it by majority.

    Attributes:
        alive: this worker has not been judged dead; once False it is False for ever.
        now: the store's clock, seconds since the epoch.
        others: the beat counts of the other workers that are held to be alive.
    """

    alive: bool
    now: float
    others: Mapping[str, int]


class Heart(Protocol):
    """The record of who is alive. Synchronous: it is called from a thread of its own, on a connection of its own.

    A worker's incarnation is live from its first beat until it is recorded as dead, which is final. Dead ones are
    remembered for at least a day, longer than any write of theirs can be under way.

    Every method raises StoreUnavailable if the store does not answer in a few seconds.
    """

    def beat(self, worker: str) -> Beat:
        """Register the worker at its first beat, and count one beat more; durable before it returns."""
        ...

    def declare_dead(self, worker: str, beats: int) -> bool:
        """Record the death of a worker that still stands at ``beats``; True if it is dead now by this call.

        Atomic against ``beat``: a worker that beat again in the meantime lives.
        """
        ...

    def leave(self, worker: str) -> None:
        """Record the worker's own end, so that nobody waits to judge it: its claims are orphans now; idempotent."""
        ...

    def close(self) -> None: ...


class Store(Inspection, Survey, Protocol):
    """Sagas, kept.

    Every method but ``commit`` raises StoreUnavailable if the store does not answer in time, TypeError for an id that
    is no ``str``, and PayloadError for a text that cannot be kept. Reads are majority reads: they never see what could
    be rolled back, and raise ConfigurationError for a state whose ``schema`` is newer than they know. What is returned
    is never changed afterwards.
    """

    async def open(self) -> None:
        """Connect, and create what is needed (indexes, tables); safe to do from many processes at once.

        Raises:
            ConfigurationError: the server cannot give what this port promises, with the remedy.
        """
        ...

    async def close(self) -> None:
        """Release everything; idempotent."""
        ...

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        """Keep a new saga; False if its id is taken, be it by a tombstone: then nothing has changed. Safe to repeat."""
        ...

    async def load(self, saga_ids: Sequence[str]) -> dict[str, Stored]:
        """The sagas that exist among these."""
        ...

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        """Make each transition whose conditions hold, each atomically and by itself; one outcome for each, in order.

        Never raises for what the server does: an error is the outcome UNSURE. What certainly cannot be stored is a
        CONFLICT, logged, so that the rest of the batch goes on. No two transitions are of one saga.
        A commit resets the count of dispatches.
        """
        ...

    async def post(self, saga_id: str, signal: Signal) -> Posted:
        """Append a request to a saga's inbox, if the saga ``accepts`` its ``kind``; in one atomic act.

        The revision stays, so the worker that holds the saga is not disturbed. From now on ``due`` finds the saga,
        until the request is consumed. Safe to repeat: a token that is in the inbox already is accepted.

        Raises:
            InboxFull: INBOX_LIMIT requests wait already.
        """
        ...

    async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Due]:
        """Sagas whose ``wake_at`` has passed, or whose inbox holds a request; the longest overdue first.

        With ``fingerprints``, only sagas of these definitions: a worker must not put off what it cannot bring on.
        """
        ...

    async def defer(self, due: Sequence[Due], until: Sequence[float], *, counts: bool = True) -> list[bool]:
        """Claim found sagas for one dispatch: put each off, if nobody else did and nothing has changed since.

        Sets when ``due`` finds it again (inbox included) and, if it ``counts``, counts one dispatch more; the revision
        stays.
        """
        ...

    async def orphans(self, limit: int, fingerprints: Sequence[str] | None = None) -> list[Orphan]:
        """Sagas that hold a claim of a worker that is recorded as dead; only of these definitions, as for ``due``."""
        ...

    async def claimed_by(self, owner: str, limit: int) -> list[str]:
        """The ids of sagas that hold a claim of this worker."""
        ...

    async def find(self, query: Query) -> Page:
        """Sagas by filter, a page at a time; a page is consistent in itself, not with the next one.

        Raises:
            ValueError: the cursor is none of a ``Page``, or the limit is below 1.
        """
        ...

    async def summaries(self, saga_ids: Sequence[str]) -> dict[str, Summary]:
        """Revision and status of those that exist: what somebody polls who waits for the end of many sagas."""
        ...

    async def queue_up(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        """Stand at the end of the line for a lock, or keep the place there; first come, first served.

        Returns:
            the line as it is now, from its beginning; at least as far as this ticket, or as the first 100 of it.
        """
        ...

    async def leave_queue(self, key: str, ticket: Ticket) -> tuple[Ticket, ...]:
        """Leave the line for a lock; returns the line that is left, at least its first 100. Safe to repeat."""
        ...

    async def queue(self, key: str) -> tuple[Ticket, ...]:
        """The line for a lock, at least its first 100."""
        ...

    async def keep_graph(self, graph: Graph) -> None:
        """Keep a graph for ever, under its fingerprint. Safe to repeat."""
        ...

    async def graphs(self, sagas: Sequence[str]) -> list[Graph]:
        """All graphs that were kept of these sagas."""
        ...

    async def expire(self, now: float, limit: int, keep_ids: float) -> int:
        """Forget up to ``limit`` sagas whose ``expire_at`` has passed, and tombstones that are old enough.

        Of a saga that is ``named``, a tombstone stays for ``keep_ids`` seconds. Where the server does a part of this
        by itself, this does the rest.

        Returns:
            how many sagas were forgotten.
        """
        ...

    async def tombstone(self, saga_id: str) -> Tombstone | None:
        """What is left of a saga that was forgotten."""
        ...

    def heart(self) -> Heart:
        """A new connection for liveness, to be used in one thread."""
        ...
