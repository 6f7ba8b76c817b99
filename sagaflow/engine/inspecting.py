"""One look at some sagas, or some lines for locks: whatever seems wrong with them at that moment."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..core.checking import Breach, Rule, breaches, unattended
from ..core.definition import SagaDefinition
from ..core.state import LockStatus, SagaState, SagaStatus, StepState, StepStatus
from ..core.versions import read_graph
from ..errors import StoreUnavailable
from ..ports import Inspected, Store, Ticket
from .families import child_id

Definitions = Callable[[SagaState], SagaDefinition | None]

_ENDED_WELL = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)
_NOT_TURNED = (SagaStatus.SCHEDULED, SagaStatus.STARTED)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What seems wrong with a saga that was seen in a certain revision.

    Attributes:
        place: where it was seen, and can be looked at again: the id of a saga, or the key of a lock.
    """

    place: str
    saga_id: str
    rule: Rule
    what: str
    revision: int | None = None


class Inspector:
    """Looks at what is in a store.

    Args:
        slack: seconds for which what is due, or was left by the dead, may lie about.
        definitions: finds the graphs that are not in the store as text.
    """

    def __init__(self, store: Store, slack: float, definitions: Definitions | None) -> None:
        self._store = store
        self._slack = slack
        self._definitions = definitions
        self._graphs: dict[str, SagaDefinition | None] = {}

    async def sagas(self, saga_ids: Sequence[str]) -> list[Suspicion]:
        """What seems wrong with these sagas.

        Raises:
            StoreUnavailable
        """
        readable, found = await self._read(saga_ids)
        states = [seen.state for seen in readable.values()]
        now = await self._store.now()
        await self._read_graphs(states)
        owners = sorted({owner for state in states for owner in state.owners})
        deaths = await self._store.deaths(owners) if owners else {}
        family, hidden = await self._read(sorted({name for state in states for name in _relatives(state)}))
        unknown = {one.saga_id for one in hidden}
        lines = await self._lines(key for state in states for key in _held(state))
        for saga_id, seen in readable.items():
            wrong = [
                *breaches(seen.state, self._graph_of(seen.state)),
                *self._attention(seen, now),
                *self._claims(seen, deaths, now),
                *_parent(seen.state, family),
                *_children(seen, family, unknown),
                *_locks(seen.state, lines),
            ]
            found += [Suspicion(saga_id, saga_id, one.rule, one.what, seen.state.revision) for one in wrong]
        return found

    async def lines(self, keys: Sequence[str]) -> list[Suspicion]:
        """What seems wrong with these lines for locks.

        Raises:
            StoreUnavailable
        """
        lines = await self._lines(keys)
        # One that has left and stands there again, by a call that was held up, is put out by whoever comes next.
        first = {key: line[0] for key, line in lines.items() if len({ticket.root for ticket in line}) > 1}
        readable, hidden = await self._read(sorted({ticket.saga_id for ticket in first.values()}))
        unknown = {one.saga_id for one in hidden}
        now = await self._store.now()
        found: list[Suspicion] = []
        for key, ticket in first.items():
            seen = readable.get(ticket.saga_id)
            what = None
            if seen is None and ticket.saga_id not in unknown:
                what = f"it stands first in the line for lock {key!r}, and does not exist"
            elif seen is not None and self._has_left(seen.state, now):
                what = f"it stands first in the line for lock {key!r}, and is {seen.state.status}"
            if what is not None:
                revision = seen.state.revision if seen is not None else None
                found.append(Suspicion(key, ticket.saga_id, Rule.STALE_LOCK, what, revision))
        return found

    def _has_left(self, state: SagaState, now: float) -> bool:
        ended_at = state.completed_at if state.completed_at is not None else state.updated_at
        return state.status in _ENDED_WELL and ended_at < now - self._slack

    # ------------------------------------------------------------------ reading

    async def _read(self, saga_ids: Sequence[str]) -> tuple[dict[str, Inspected], list[Suspicion]]:
        """Those that can be read; and what is wrong with the others."""
        if not saga_ids:
            return {}, []
        try:
            return await self._store.inspect(saga_ids), []
        except StoreUnavailable:
            raise
        except Exception as error:  # whatever is the matter with one must not hide the others
            if len(saga_ids) == 1:
                what = f"it cannot be read: {type(error).__name__}: {error}"
                return {}, [Suspicion(saga_ids[0], saga_ids[0], Rule.UNREADABLE, what)]
        readable: dict[str, Inspected] = {}
        found: list[Suspicion] = []
        for saga_id in saga_ids:
            one, wrong = await self._read([saga_id])
            readable |= one
            found += wrong
        return readable, found

    async def _read_graphs(self, states: Iterable[SagaState]) -> None:
        new = {state.fingerprint: state.saga for state in states if state.fingerprint not in self._graphs}
        if not new:
            return
        self._graphs |= dict.fromkeys(new)
        for graph in await self._store.graphs(sorted(set(new.values()))):
            if graph.fingerprint in new:
                self._graphs[graph.fingerprint] = read_graph(graph.body, graph.fingerprint, graph.saga)

    def _graph_of(self, state: SagaState) -> SagaDefinition | None:
        graph = self._graphs[state.fingerprint]
        return graph if graph is not None or self._definitions is None else self._definitions(state)

    async def _lines(self, keys: Iterable[str]) -> dict[str, tuple[Ticket, ...]]:
        return {key: await self._store.queue(key) for key in dict.fromkeys(keys)}

    # ------------------------------------------------------------------ one saga

    def _attention(self, seen: Inspected, now: float) -> Iterator[Breach]:
        state = seen.state
        if seen.due_at is not None:
            late = now - seen.due_at
            if late > self._slack:
                yield Breach(Rule.OVERDUE, f"it is {state.status}, due for {late:.0f} s, and nobody takes it up")
        elif not state.owners and (breach := unattended(state, self._graph_of(state))) is not None:
            yield breach

    def _claims(self, seen: Inspected, deaths: Mapping[str, float | None], now: float) -> Iterator[Breach]:
        for owner in seen.state.owners:
            if owner not in seen.owners:
                yield Breach(Rule.HIDDEN_CLAIM, f"the claim of worker {owner} is not found by the worker's name")
            if owner not in deaths:
                yield Breach(Rule.OWNERLESS_CLAIM, f"it is claimed by worker {owner}, which nobody has ever seen")
                continue
            died_at = deaths[owner]
            # What was under way when its worker died may have come through long after.
            if died_at is not None and max(died_at, _claimed_at(seen.state, owner)) < now - self._slack:
                yield Breach(Rule.OWNERLESS_CLAIM, f"it is claimed by worker {owner}, which has been dead for long")


def _claimed_at(state: SagaState, owner: str) -> float:
    """When this worker made its last claim on the saga."""
    claims = (track.claim for step in state.steps.values() for track in step.tracks)
    return max(claim.since for claim in claims if claim is not None and claim.owner == owner)


# ---------------------------------------------------------------------------------------- between documents


def _relatives(state: SagaState) -> list[str]:
    """The sagas whose standing says whether this one's can be."""
    found = [child_id(state, name) for name, step in state.steps.items() if _awaits_child(step)]
    if state.parent is not None and state.status in _NOT_TURNED:
        found.append(state.parent.saga_id)
    return found


def _awaits_child(step: StepState) -> bool:
    return step.linked and step.is_waiting


def _parent(state: SagaState, family: Mapping[str, Inspected]) -> Iterator[Breach]:
    if state.parent is None or state.status not in _NOT_TURNED or state.parent.saga_id not in family:
        return
    parent = family[state.parent.saga_id].state
    # A person may have left the child out, or have tried it again.
    if parent.status in _ENDED_WELL and not (state.acts or parent.acts):
        yield Breach(Rule.ACTIVE_CHILD, f"it is {state.status}, and its parent {parent.id} is {parent.status}")


def _children(seen: Inspected, family: Mapping[str, Inspected], unknown: Container[str]) -> Iterator[Breach]:
    for name, step in seen.state.steps.items():
        child_name = child_id(seen.state, name)
        if not _awaits_child(step) or child_name in unknown:
            continue
        child = family[child_name].state if child_name in family else None
        if child is None:
            yield Breach(Rule.MISSED_CHILD, f"step {name!r} waits for its child saga, which does not exist")
        elif step.status is StepStatus.STARTED and child.told and not seen.requests:
            what = f"step {name!r} waits for its child saga, which is {child.status} and has said so"
            yield Breach(Rule.MISSED_CHILD, what)


def _held(state: SagaState) -> list[str]:
    return [key for key, lock in state.locks.items() if lock.status is LockStatus.HELD]


def _locks(state: SagaState, lines: Mapping[str, tuple[Ticket, ...]]) -> Iterator[Breach]:
    for key in _held(state):
        first = lines[key][0] if lines[key] else None
        if first is None or first.root != (state.root or state.id):
            who = "nobody" if first is None else f"saga {first.saga_id}"
            yield Breach(Rule.LOCK_HOLDERS, f"it holds lock {key!r}, and {who} stands first in its line")
