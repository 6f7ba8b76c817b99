"""What a saga owes to other documents: to child sagas, to its parent, to the lines for its locks.

There is no transaction over two documents. A duty is read off the saga's state, done, and then recorded as done by an
event; until then it is due, and somebody does it again. So each is such that doing it twice is as doing it once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from ..core.decide import fold, new_saga
from ..core.definition import SagaDefinition
from ..core.events import (
    CancellationRequested,
    ChildAsked,
    ChildEnded,
    ChildInserted,
    CompensationRequested,
    Deadlocked,
    Event,
    FamilyEnded,
    FamilyTold,
    LockBlocked,
    LockFreed,
    LockHeld,
    LockReleased,
    ParentTold,
    Request,
)
from ..core.state import Link, LockStatus, SagaState, SagaStatus
from ..core.work import Agenda, Duty, DutyKind
from ..errors import StoreUnavailable
from ..ports import Lane, Posted, Signal, Ticket
from .binding import Binding
from .deadlocks import Deadlock, find_deadlock
from .failures import describe, said
from .families import child_id, children_ever_of
from .hints import next_look
from .values import derive, lock_key

if TYPE_CHECKING:
    from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.duties")

_LONGER: Final = 3_600.0  # seconds for which a child saga is kept longer than its parent


class Duties:
    """Does what sagas owe. Each method returns the events that record what was done."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def do_all(self, binding: Binding, state: SagaState, owed: Sequence[Duty]) -> list[Event]:
        """What has come of these duties; the rest of them cannot be done now."""
        events: list[Event] = []
        try:
            for duty in owed:
                events += await self.do(binding, state, duty)
        except StoreUnavailable as error:
            self._worker.store_failed(error)
        except Exception:
            logger.exception("saga %s: its duties cannot be done now", state.id, extra={"saga_id": state.id})
        return events

    async def do(self, binding: Binding, state: SagaState, duty: Duty) -> Sequence[Event]:
        """Do one duty.

        Raises:
            StoreUnavailable, InboxFull: it could not be done now.
        """
        match duty.kind:
            case DutyKind.INSERT_CHILD:
                return await self._insert_child(binding, state, duty.subject)
            case DutyKind.COMPENSATE_CHILD:
                return await self._compensate_child(binding, state, duty.subject)
            case DutyKind.TELL_PARENT:
                return await self._tell_parent(state)
            case DutyKind.TELL_FAMILY:
                return await self._tell_family(state)
            case DutyKind.TAKE_LOCK:
                return await self._take_lock(state, duty.subject)
            case DutyKind.RELEASE_LOCK:
                return await self._release_lock(state, duty.subject)

    @property
    def _now(self) -> float:
        return self._worker.clock.now()

    async def _post(self, saga_id: str, token: str, request: Request) -> Posted:
        posted = await self._worker.store.post(saga_id, Signal(token, request))
        if posted.accepted:
            self._worker.look(saga_id)
        return posted

    # ------------------------------------------------------------------ children

    async def _insert_child(self, binding: Binding, state: SagaState, step: str) -> Sequence[Event]:
        worker, name = self._worker, child_id(state, step)
        try:
            definition, child = self._child(binding, state, step)
        except Exception as error:  # its class, its context or its lock: the child never began
            payload = worker.codec.encode(*describe(error))
            return [self._ended(state, step, SagaStatus.COMPENSATED, payload)]
        await worker.bindings.keep(definition)
        agenda = Agenda.of(definition, child)
        wake_at = next_look(agenda, self._now, worker.settings.patience.total_seconds())
        if await worker.store.insert(child, wake_at):
            if worker.observers is not None:
                worker.observers.started(child)
            now = self._now
            lanes = {Lane(work.queue, work.side) for work in agenda.works if work.due <= now}
            if child.locks:
                worker.look(name)
            await worker.hints.send(name, lanes, child.trace)
        elif not await self._is_ours(state, step):
            message = f"the id {name!r} of the child saga is taken by another saga"
            payload = worker.codec.encode(*said("sagaflow.errors.SagaExists", message))
            return [self._ended(state, step, SagaStatus.COMPENSATED, payload)]
        return [ChildInserted(step, self._now, state.steps[step].generation)]

    def _child(self, binding: Binding, state: SagaState, step: str) -> tuple[SagaDefinition, SagaState]:
        """The first state of a child saga, by its class as it is now."""
        types = self._worker.bindings.types_of(binding.types.children[step])
        definition = types.definition
        payload = state.steps[step].child or "null"
        lock = None
        if definition.lock is not None:
            lock = lock_key(derive(definition.lock, self._worker.codec.decode(payload, types.context)))
        child = new_saga(
            definition,
            child_id(state, step),
            payload,
            self._now,
            parent=_link(state, step),
            root=state.root or state.id,
            lock=lock,
            trace=state.trace,
        )
        return definition, child

    async def _is_ours(self, state: SagaState, step: str) -> bool:
        name = child_id(state, step)
        stored = (await self._worker.store.load([name])).get(name)
        return stored is None or stored.state.parent == _link(state, step)

    async def _compensate_child(self, binding: Binding, state: SagaState, step: str) -> Sequence[Event]:
        worker, name = self._worker, child_id(state, step)
        reason = f"saga {state.id!r}, which it is a part of, is compensated"
        if not state.steps[step].linked:
            # A worker that was held up may still insert it: then it must find this one, which has ended already.
            definition, child = self._child(binding, state, step)
            await worker.bindings.keep(definition)
            ended = fold(definition, child, [CompensationRequested(reason, self._now)])
            if await worker.store.insert(ended, self._now):
                return [ChildAsked(step, self._now), self._ended(state, step, SagaStatus.COMPENSATED, None)]
        posted = await self._post(name, f"{state.id}/{step}/undo", CompensationRequested(reason, self._now))
        status = SagaStatus.FAILED if posted.status is None else posted.status
        if not posted.accepted and status.is_terminal:
            error = None
            if status is not SagaStatus.COMPENSATED:
                why = "has failed" if status is SagaStatus.FAILED else "cannot be undone: it has passed its pivot"
                what = f"the child saga {name!r} {why}"
                error = worker.codec.encode(*said("sagaflow.errors.SagaFailed", what))
            return [ChildAsked(step, self._now), self._ended(state, step, status, error)]
        # It tells when it has ended, one way or the other; one that has passed its pivot goes on to its end.
        return [ChildAsked(step, self._now)]

    def _ended(self, state: SagaState, step: str, status: SagaStatus, error: str | None) -> ChildEnded:
        return ChildEnded(
            step,
            status,
            self._now,
            error,
            child_id(state, step),
            state.steps[step].generation,
            is_final=status is SagaStatus.COMPLETED,
        )

    async def _tell_parent(self, state: SagaState) -> Sequence[Event]:
        parent = state.parent
        assert parent is not None, "who has no parent owes it nothing"
        error = None
        if state.status is not SagaStatus.COMPLETED:
            kind = "SagaFailed" if state.status is SagaStatus.FAILED else "SagaCompensated"
            error = self._worker.codec.encode(*said(f"sagaflow.errors.{kind}", f"saga {state.id}: {state.why}"))
        is_final = state.status is SagaStatus.COMPLETED and state.committed
        told = ChildEnded(parent.step, state.status, self._now, error, state.id, parent.generation, is_final)
        await self._post(parent.saga_id, f"{state.id}@{state.completed_at}", told)
        return [ParentTold(self._now, state.status)]

    async def _tell_family(self, state: SagaState) -> Sequence[Event]:
        forget_at = state.forget_at
        assert forget_at is not None, "this is owed only when it is known"
        for name in children_ever_of(state):
            later = forget_at + _LONGER
            await self._post(name, f"{state.id}/forget/{later}", FamilyEnded(later, self._now))
        return [FamilyTold(forget_at, self._now)]

    # ------------------------------------------------------------------ locks

    async def _take_lock(self, state: SagaState, key: str) -> Sequence[Event]:
        store, lock = self._worker.store, state.locks[key]
        ticket = Ticket(state.id, _root(state), lock.term)
        line = await store.queue_up(key, ticket)
        # Where its family stands it stands too: a child saga does not wait behind those who wait for its parent.
        before = list(takewhile(lambda other: other.root != ticket.root, line))
        while before and await self._is_stale(key, before[0]):
            await store.leave_queue(key, before.pop(0))
        if not before:
            return [LockHeld(key, lock.term, self._now)]
        blocked = LockBlocked(key, lock.term, before[0].saga_id, self._now, lock.freed)
        found = await find_deadlock(store, state, before)
        return [blocked] if found is None else await self._break(state, key, found, blocked)

    async def _is_stale(self, key: str, ticket: Ticket) -> bool:
        """Whether a saga stands in the line that has left it: somebody who was held up has put it there again."""
        stored = (await self._worker.store.load([ticket.saga_id])).get(ticket.saga_id)
        lock = stored.state.locks.get(key) if stored is not None else None
        return lock is None or lock.term > ticket.term or lock.status is LockStatus.RELEASED

    async def _break(self, state: SagaState, key: str, found: Deadlock, blocked: LockBlocked) -> Sequence[Event]:
        """One of the sagas that wait for one another turns back; where none can, a person must see to it."""
        why = f"deadlock: {found}"
        logger.log(
            logging.ERROR if found.victim is None else logging.WARNING,
            "saga %s waits for lock %r in a %s; %s",
            state.id,
            key,
            why,
            f"saga {found.victim} turns back" if found.victim else "none of them can turn back",
            extra={"saga_id": state.id},
        )
        if found.victim == state.id:
            return [Deadlocked(key, blocked.term, why, self._now)]
        if found.victim is not None:
            await self._post(found.victim, why, CancellationRequested(why, self._now))
        return [blocked]

    async def _release_lock(self, state: SagaState, key: str) -> Sequence[Event]:
        store, root, term = self._worker.store, _root(state), state.locks[key].term
        for earlier in range(1, term):  # whoever was held up may have come back with one of those
            await store.leave_queue(key, Ticket(state.id, root, earlier))
        left = await store.leave_queue(key, Ticket(state.id, root, term))
        while left:
            gone = [ticket for ticket in _family_of(left) if not await self._is_told(key, state, ticket)]
            if not gone:
                break
            for ticket in gone:
                left = await store.leave_queue(key, ticket)
        return [LockReleased(key, term, self._now)]

    async def _is_told(self, key: str, state: SagaState, ticket: Ticket) -> bool:
        """Tell a saga that the line has moved on; False if there is no such saga."""
        freed = LockFreed(key, self._now)
        posted = await self._post(ticket.saga_id, f"{state.id}/{state.revision}/{key}", freed)
        return posted.status is not None


def _family_of(line: Sequence[Ticket]) -> list[Ticket]:
    """Those who have the lock, or may have it next: the first in the line, and whoever is of the same root."""
    return [ticket for ticket in line if ticket.root == line[0].root]


def _link(state: SagaState, step: str) -> Link:
    return Link(state.id, step, state.steps[step].generation)


def _root(state: SagaState) -> str:
    return state.root or state.id
