"""All that happens to one saga in this process goes through its mailbox: many events, one commit at a time.

A turn loads the saga (unless its last state is still known), folds what has come in, asks user code what it decides,
claims what this worker can run, and commits all of it as one compare-and-set. Then, and only then, the claimed
attempts begin, and what the saga owes to other documents is done.

A commit whose fate is not known needs no special treatment: the saga is loaded and the same events are folded again,
which changes nothing where they have taken effect already. A claim that came through is known by its owner and
attempt, which are never used twice; what this worker has proposed and not yet run, it runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..core.decide import decide, seal
from ..core.events import Claimed, Ended, Event, Probed, Succeeded
from ..core.state import Direction, SagaState
from ..core.work import Agenda, Duty, unwanted
from ..errors import StoreUnavailable
from ..ports import Delivery, Observer, Outcome, Stored, Transition
from ..tasks import is_cancelled
from .attempts import Attempt, Claim, attempt_by
from .binding import Binding
from .change_log import log_change
from .isolation import holds_suspect, is_suspect
from .observing import waited_for
from .retention import with_retention

if TYPE_CHECKING:
    from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.worker")

_BACKOFF = (0.05, 1.0)  # seconds: the first wait after a store failed, and the longest


class Mailbox:
    """The events of one saga that wait to be committed by this worker."""

    def __init__(self, worker: Worker, saga_id: str) -> None:
        self._worker = worker
        self.saga_id = saga_id
        self.running: int = 0  # attempts of this saga that run in this process
        self.runs_cancellable: bool = False  # ... and may be cancelled by what happens elsewhere
        self._stored: Stored | None = None
        self._agenda: Agenda | None = None  # what that asks for, if it was looked at
        self._events: list[Event] = []
        self._deliveries: list[Delivery] = []
        self._slots = 0  # taken slots that came with an event or a delivery, for claims to use
        self._refresh = False
        self._quiet = True
        self._turning = False
        self._timer: asyncio.TimerHandle | None = None
        self._proposed: set[Attempt] = set()
        self._opening: set[Attempt] = set()  # claimed in a saga that is being kept for the first time
        self._claimed: list[Claim] = []  # in the last turn, and not begun
        self._refused_at: int | None = None  # the revision on which the last commit was not made
        self._dutiful = False  # what the saga owes to others is being done

    @property
    def is_idle(self) -> bool:
        return not (self._turning or self.running or self._opening or self._dutiful or self._timer)

    def holds(self, attempt: Attempt) -> bool:
        """Whether this attempt may be claimed by a commit under way, is about to begin, or has an unrecorded end."""
        step, direction, number, _ = attempt
        return (
            attempt in self._proposed | self._opening
            or any(claim.attempt == attempt for claim in self._claimed)
            or any(
                isinstance(event, Succeeded | Probed | Ended)
                and (event.step, event.direction, event.attempt) == (step, direction, number)
                for event in self._events
            )
        )

    def put(self, *events: Event, slot: bool = False) -> None:
        """Take in what happened. ``slot``: the slot of the handler that ended is handed over."""
        self._events.extend(events)
        self._slots += slot
        self._wake()

    def look(self, delivery: Delivery | None = None) -> None:
        """Look at the saga afresh; a delivery comes with a taken slot."""
        self._refresh = True  # what is remembered may be old
        if delivery is not None:
            self._deliveries.append(delivery)
            self._slots += 1
        self._wake()

    def _wake(self) -> None:
        self._quiet = False
        if not self._turning:
            self._turning = True
            _ = self._worker.spawn(self._work(), f"saga {self.saga_id}")

    async def _work(self) -> None:
        """Turns, and what the last one has claimed; a saga that goes straight on is done by one task, step by step."""
        context = copy_context()
        while claim := await self._turn_until_quiet():
            event = await self._worker.attempts.run(claim)
            if event is None:
                self._worker.slots.give()
                self._worker.retire(self)
            elif self._turning or is_cancelled() or copy_context() != context:
                # Nothing that a handler leaves behind in its task (a context variable that it has set, a cancellation
                # that it has swallowed) may be found by another one.
                context.run(self.put, event, slot=True)
            else:
                self._turning = True
                self.put(event, slot=True)
                continue
            return

    async def _turn_until_quiet(self) -> Claim | None:
        """Turns, until there is nothing more to do; then the first of what was claimed last is to be run."""
        wait = _BACKOFF[0]
        try:
            while not self._quiet and not is_cancelled():
                self._begin_claimed()
                self._quiet = True
                if await self._turn_safely():
                    wait = _BACKOFF[0]
                elif self._events or self._proposed or self._deliveries:
                    # What is known nowhere else stays until the store has taken it.
                    self._quiet = False
                    self._begin_claimed()
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, _BACKOFF[1])
            return self._claimed.pop(0) if self._claimed and not is_cancelled() else None
        finally:
            self._begin_claimed()
            self._turning = False
            self._worker.slots.give(self._slots)
            self._slots = 0
            isolation, stored = self._worker.isolation, self._stored
            if self.saga_id in isolation and stored and not holds_suspect(stored.state, self._worker.owner):
                isolation.leave(self.saga_id)
            self._worker.retire(self)

    def _begin_claimed(self) -> None:
        claimed, self._claimed = self._claimed, []
        for claim in claimed:
            self._worker.attempts.begin(claim)

    async def _turn_safely(self) -> bool:
        """One turn; False if it could not be done now. Nothing that is wrong with one saga stops another."""
        try:
            return await self._turn()
        except StoreUnavailable as error:
            self._worker.store_failed(error)
            for delivery in self._take_deliveries():
                await delivery.requeue()
        except Exception:
            logger.exception("saga %s cannot be worked on now", self.saga_id, extra={"saga_id": self.saga_id})
            for delivery in self._take_deliveries():
                await delivery.ack()  # a sweeper comes back to it, with growing pauses
        self._forget()
        return False

    def _forget(self) -> None:
        """Others may have changed the saga: it is to be loaded again."""
        self._stored = self._agenda = None

    async def _turn(self) -> bool:
        worker = self._worker
        if self._refresh:
            self._refresh = False
            self._forget()
        stored = self._stored or await worker.load(self.saga_id)
        if stored is None:
            self._events.clear()
            self._proposed.clear()
            for delivery in self._take_deliveries():
                await delivery.dead_letter(f"there is no saga {self.saga_id}")
                if worker.observers is not None:
                    worker.observers.tell(Observer.dead_lettered)
            return True
        binding = await worker.bindings.find(stored.state)
        if binding is None:
            self._events.clear()
            for delivery in self._take_deliveries():
                await delivery.ack()
            return True
        self._stored = stored
        self._adopt(binding, stored.state)
        worker.attempts.cancel_unwanted(stored.state, unwanted(binding.definition, stored.state))
        events, hints = tuple(self._events), len(self._deliveries)  # what comes from now on is for the next turn
        now = worker.clock.now()
        before = self._agenda or Agenda.of(binding.definition, stored.state)
        changed = worker.turns.fold(binding, stored, events, now)
        changed, agenda = await worker.turns.decide_steps(
            binding, changed, before if changed is stored.state else None, now
        )
        claims = self._claims(binding, changed, agenda, now)
        for claim in claims:
            changed = decide(binding.definition, changed, claim)
        if changed is stored.state and not stored.inbox:
            after = stored.state
        else:
            after = self._seal(stored.state, with_retention(changed, worker.settings), now)
            # Claims open nothing, and a saga that ends claims nothing.
            agenda = agenda.without(claims, after.updated_at) if claims else Agenda.of(binding.definition, after)
            outcome = await self._commit(stored, after, worker.wake_at(agenda, now), claims)
            if outcome is not Outcome.COMMITTED:
                self._forget()
                # Somebody else was quicker, unless this very revision was refused before: then it cannot be stored.
                is_lost_race = outcome is Outcome.CONFLICT and self._refused_at != stored.state.revision
                self._refused_at = stored.state.revision
                self._quiet = self._quiet and not is_lost_race
                return is_lost_race
            self._stored, self._agenda = Stored(after), agenda
            self._tell(binding, stored.state, after, events)
            self._begin(binding, after, claims, before=stored.state)
            worker.attempts.cancel_unwanted(after, unwanted(binding.definition, after))
        self._proposed.clear()
        del self._events[: len(events)]
        lanes = worker.turns.hints(binding, before, after, agenda, now, hinted=bool(hints))
        taken_up = self._take_deliveries(hints)
        if lanes or taken_up:
            # The saga does not wait for the broker.
            news = worker.hints.announce(self.saga_id, lanes, taken_up, after.trace)
            _ = worker.spawn(news, f"news of {self.saga_id}")
        self._arm(agenda, now)
        self._do_duties(binding, after, agenda)
        return True

    def _tell(self, binding: Binding, before: SagaState, after: SagaState, events: Sequence[Event]) -> None:
        """Tell all who look on of what was committed."""
        self._worker.watcher.notify(after)
        log_change(before, after)
        if self._worker.observers is not None:
            self._worker.observers.committed(binding.definition, before, after, events)

    @staticmethod
    def _seal(before: SagaState, changed: SagaState, at: float) -> SagaState:
        # Requests that change nothing must still leave the inbox, and only a commit can take them out.
        return seal(before, replace(before) if changed is before else changed, at)

    async def _commit(
        self, stored: Stored, after: SagaState, wake_at: float | None, claims: Sequence[Claimed]
    ) -> Outcome:
        self._proposed.update(attempt_by(after, claim) for claim in claims)
        # What was accepted must find the saga still accepting it.
        accepted = stored.state.accepts
        accepts_less = accepted is not after.accepts and not set(accepted).issubset(after.accepts)
        outcome = await self._worker.commit(
            Transition(
                before=stored.state,
                after=after,
                wake_at=wake_at,
                consumed=tuple(signal.token for signal in stored.inbox),
                inbox_size=len(stored.inbox) if accepts_less or after.status.is_terminal else None,
            )
        )
        if outcome is Outcome.UNSURE:
            self._worker.store_failed(StoreUnavailable("it is not known whether a change was made"))
        return outcome

    # ------------------------------------------------------------------ duties

    def _do_duties(self, binding: Binding, state: SagaState, agenda: Agenda) -> None:
        """Do what the saga owes to other documents; what cannot be done now a sweeper comes back to."""
        owed = binding.owed(state, agenda)
        if owed and not self._dutiful and self._worker.is_accepting:
            self._dutiful = True
            _ = self._worker.spawn(self._do_all(binding, state, owed), f"duties of {self.saga_id}")

    async def _do_all(self, binding: Binding, state: SagaState, owed: Sequence[Duty]) -> None:
        events: list[Event] = []
        try:
            events = await self._worker.duties.do_all(binding, state, owed)
        finally:
            self._dutiful = False
            if events:
                self.put(*events)
            else:
                self._worker.retire(self)

    # ------------------------------------------------------------------ a new saga

    def open(self, binding: Binding, state: SagaState, agenda: Agenda, now: float) -> SagaState:
        """The state of a saga that is about to be kept, with all claimed in it that can be run here at once.

        Whoever keeps it says then what became of that: ``opened``, ``not_opened``, or ``perhaps_opened``.
        """
        for claim in self._claims(binding, state, agenda, now):
            state = decide(binding.definition, state, claim)
            self._opening.add(attempt_by(state, claim))
        return state

    def opened(self, binding: Binding, state: SagaState, agenda: Agenda) -> None:
        """It is kept: what was claimed begins."""
        self._adopt(binding, state, before=state)  # it had not waited for anybody
        if not self._turning:
            self._stored, self._agenda = Stored(state), agenda
            self._turning = True
            _ = self._worker.spawn(self._work(), f"saga {self.saga_id}")

    def not_opened(self) -> None:
        """It is not kept: another saga has its id, or nothing could be claimed."""
        self._opening.clear()
        if not self._turning:
            self._worker.slots.give(self._slots)
            self._slots = 0
            self._worker.retire(self)

    def perhaps_opened(self) -> None:
        """It is not known: it is as with any commit whose reply was lost."""
        self._proposed |= self._opening
        self._opening.clear()
        self.look()

    # ------------------------------------------------------------------ claims

    def _claims(self, binding: Binding, state: SagaState, agenda: Agenda, now: float) -> list[Claimed]:
        """What this worker can run now, and has slots for."""
        worker = self._worker
        claims: list[Claimed] = []
        if not worker.is_accepting:
            return claims
        for work in worker.turns.open(binding, state, agenda, now):
            if not work.is_decided:
                continue
            if len(claims) == self._slots:
                if not worker.slots.try_take():
                    break
                self._slots += 1
            if is_suspect(state, work.step, work.direction):
                losses = state.steps[work.step].track(work.direction).losses
                if not worker.isolation.enter(self.saga_id, losses):
                    continue
            claims.append(Claimed(work.step, work.direction, worker.owner, now))
        return claims

    def _adopt(self, binding: Binding, state: SagaState, *, before: SagaState | None = None) -> None:
        """Begin what a commit claimed whose reply was lost."""
        if not (self._proposed or self._opening):
            return
        for name, step in state.steps.items():
            for direction, track in zip(Direction, step.tracks, strict=True):
                if (claim := track.claim) is not None:
                    claimed = Claimed(name, direction, claim.owner, claim.since)
                    self._begin(binding, state, [claimed], before=before, adopt=True)

    def _begin(
        self,
        binding: Binding,
        state: SagaState,
        claims: Sequence[Claimed],
        *,
        before: SagaState | None = None,
        adopt: bool = False,
    ) -> None:
        for claim in claims:
            attempt = attempt_by(state, claim)
            if adopt and attempt not in self._proposed and attempt not in self._opening:
                continue
            self._proposed.discard(attempt)
            self._opening.discard(attempt)
            if self._slots:
                self._slots -= 1
            else:
                self._worker.slots.take()
            self.running += 1
            self.runs_cancellable = binding.definition.cancel_siblings
            waited = waited_for(before, claim) if self._worker.observers and before is not None else None
            self._claimed.append(Claim(self, binding, state, attempt, waited))

    def _arm(self, agenda: Agenda, now: float) -> None:
        """Wait here for what is due soon."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        soon = self._worker.turns.next_look(agenda, now)
        if soon is not None and self._worker.is_accepting:
            self._timer = asyncio.get_running_loop().call_later(soon - now, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def disarm(self) -> None:
        """Wait for nothing any more; the store has it all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._worker.retire(self)

    def _take_deliveries(self, count: int | None = None) -> list[Delivery]:
        taken = self._deliveries[:count]
        del self._deliveries[:count]
        return taken
