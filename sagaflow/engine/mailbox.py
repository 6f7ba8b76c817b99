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
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..core.decide import decide, seal
from ..core.events import Claimed, Ended, Event, Probed, Succeeded, Ticked
from ..core.state import Direction, SagaState
from ..core.work import Agenda, Duty, Work, unwanted
from ..errors import StoreUnavailable
from ..ports import Delivery, Lane, Outcome, Stored, Transition
from ..tasks import is_cancelled
from .binding import Binding
from .change_log import log_change
from .families import load_family
from .isolation import holds_suspect, is_suspect
from .limits import within_limits
from .recognising import recognised
from .retention import with_retention
from .values import decide_step

if TYPE_CHECKING:
    from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.worker")

_BACKOFF = (0.05, 1.0)  # seconds: the first wait after a store failed, and the longest


Attempt = tuple[str, Direction, int, str]
"""What identifies an attempt for ever: step, direction, number, owner."""


class Mailbox:
    """The events of one saga that wait to be committed by this worker."""

    def __init__(self, worker: Worker, saga_id: str) -> None:
        self._worker = worker
        self.saga_id = saga_id
        self.running = 0  # attempts of this saga that run in this process
        self.runs_cancellable = False  # ... and may be cancelled by what happens elsewhere
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
        self._refused_at: int | None = None  # the revision on which the last commit was not made
        self._dutiful = False  # what the saga owes to others is being done

    @property
    def is_idle(self) -> bool:
        return not self._turning and not self.running and self._timer is None and not self._dutiful

    def holds(self, attempt: Attempt) -> bool:
        """Whether a commit that claims this attempt may be under way, or its end waits to be committed."""
        step, direction, number, _ = attempt
        return attempt in self._proposed or any(
            isinstance(event, Succeeded | Probed | Ended)
            and (event.step, event.direction, event.attempt) == (step, direction, number)
            for event in self._events
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
            _ = self._worker.spawn(self._turn_until_quiet(), f"saga {self.saga_id}")

    async def _turn_until_quiet(self) -> None:
        wait = _BACKOFF[0]
        try:
            while not self._quiet and not is_cancelled():
                self._quiet = True
                if await self._turn_safely():
                    wait = _BACKOFF[0]
                elif self._events or self._proposed or self._deliveries:
                    # What is known nowhere else stays until the store has taken it.
                    self._quiet = False
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, _BACKOFF[1])
        finally:
            self._turning = False
            self._worker.slots.give(self._slots)
            self._slots = 0
            if self._stored is not None and not holds_suspect(self._stored.state, self._worker.owner):
                self._worker.isolation.leave(self.saga_id)
            self._worker.retire(self)

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
            return True
        binding = await worker.bindings.find(stored.state)
        if binding is None:
            self._events.clear()
            for delivery in self._take_deliveries():
                await delivery.ack()
            return True
        self._stored = stored
        self._adopt(binding, stored.state)
        worker.cancel_unwanted(stored.state, unwanted(binding.definition, stored.state))
        events, hints = tuple(self._events), len(self._deliveries)  # what comes from now on is for the next turn
        now = worker.clock.now()
        changed = stored.state
        for event in (*(signal.request for signal in stored.inbox), *events, Ticked(now)):
            seen = within_limits(worker, changed, recognised(binding, changed, event))
            changed = decide(binding.definition, changed, seen)
        before = self._agenda or Agenda.of(binding.definition, stored.state)
        changed, agenda = await self._decide(binding, changed, now)
        claims = self._claims(binding, changed, agenda, now)
        for claim in claims:
            changed = decide(binding.definition, changed, claim)
        if changed is stored.state and not stored.inbox:
            after = stored.state
        else:
            after = self._seal(stored.state, with_retention(changed, worker.settings), now)
            agenda = Agenda.of(binding.definition, after)
            outcome = await self._commit(stored, after, worker.wake_at(agenda, now), claims)
            if outcome is not Outcome.COMMITTED:
                self._forget()
                # Somebody else was quicker, unless this very revision was refused before: then it cannot be stored.
                is_lost_race = outcome is Outcome.CONFLICT and self._refused_at != stored.state.revision
                self._refused_at = stored.state.revision
                self._quiet = self._quiet and not is_lost_race
                return is_lost_race
            self._stored, self._agenda = Stored(after), agenda
            worker.watcher.notify(after)
            log_change(stored.state, after)
            self._begin(binding, after, claims)
            worker.cancel_unwanted(after, unwanted(binding.definition, after))
        self._proposed.clear()
        del self._events[: len(events)]
        lanes = self._hints(binding, before, after, agenda, now, hinted=bool(hints))
        taken_up = self._take_deliveries(hints)
        if lanes or taken_up:
            # The saga does not wait for the broker.
            _ = worker.spawn(worker.hints.announce(self.saga_id, lanes, taken_up), f"news of {self.saga_id}")
        self._arm(agenda, now)
        self._do_duties(binding, after, agenda)
        return True

    @staticmethod
    def _seal(before: SagaState, changed: SagaState, at: float) -> SagaState:
        # Requests that change nothing must still leave the inbox, and only a commit can take them out.
        return seal(before, replace(before) if changed is before else changed, at)

    async def _commit(
        self, stored: Stored, after: SagaState, wake_at: float | None, claims: Sequence[Claimed]
    ) -> Outcome:
        self._proposed.update(_attempt_of(after, claim) for claim in claims)
        # What was accepted must find the saga still accepting it.
        accepts_less = not set(stored.state.accepts).issubset(after.accepts)
        return await self._worker.commit(
            Transition(
                before=stored.state,
                after=after,
                wake_at=wake_at,
                consumed=tuple(signal.token for signal in stored.inbox),
                inbox_size=len(stored.inbox) if accepts_less or after.status.is_terminal else None,
            )
        )

    # ------------------------------------------------------------------ decisions

    async def _decide(self, binding: Binding, state: SagaState, now: float) -> tuple[SagaState, Agenda]:
        """Ask user code about the steps that this worker could begin; each answer may open more."""
        worker = self._worker
        asked: set[str] = set()
        while True:
            agenda = Agenda.of(binding.definition, state)
            ours = self._open(binding, state, agenda, now) if worker.is_accepting else ()
            works = [work for work in ours if not work.is_decided and work.step not in asked]
            if not works:
                return state, agenda
            family = await load_family(worker.store, [state], worker.record)
            plan = binding.plan(state)
            for work in works:
                asked.add(work.step)
                answer = decide_step(
                    binding,
                    state,
                    plan[work.step],
                    family,
                    now,
                    limit=worker.settings.output_limit,
                    size=worker.settings.elements_limit,
                )
                state = decide(binding.definition, state, within_limits(worker, state, answer))

    def _open(self, binding: Binding, state: SagaState, agenda: Agenda, now: float) -> Iterator[Work]:
        """What is due and this worker may do."""
        plan = binding.plan(state)
        for work in agenda.works:
            is_ours = work.due <= now and Lane(work.queue, work.side) in self._worker.lanes
            if is_ours and binding.why_not(plan[work.step], work.direction) is None:
                yield work

    # ------------------------------------------------------------------ duties

    def _do_duties(self, binding: Binding, state: SagaState, agenda: Agenda) -> None:
        """Do what the saga owes to other documents; what cannot be done now a sweeper comes back to."""
        if self._dutiful or not self._worker.is_accepting:
            return
        owed = binding.owed(state, agenda)
        if owed:
            self._dutiful = True
            _ = self._worker.spawn(self._do_all(binding, state, owed), f"duties of {self.saga_id}")

    async def _do_all(self, binding: Binding, state: SagaState, owed: Sequence[Duty]) -> None:
        events: list[Event] = []
        try:
            for duty in owed:
                events += await self._worker.duties.do(binding, state, duty)
        except StoreUnavailable as error:
            self._worker.store_failed(error)
        except Exception:
            logger.exception("saga %s: its duties cannot be done now", self.saga_id, extra={"saga_id": self.saga_id})
        finally:
            self._dutiful = False
            if events:
                self.put(*events)
            else:
                self._worker.retire(self)

    # ------------------------------------------------------------------ claims

    def _claims(self, binding: Binding, state: SagaState, agenda: Agenda, now: float) -> list[Claimed]:
        """What this worker can run now, and has slots for."""
        worker = self._worker
        claims: list[Claimed] = []
        if not worker.is_accepting:
            return claims
        for work in self._open(binding, state, agenda, now):
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

    def _adopt(self, binding: Binding, state: SagaState) -> None:
        """Begin what a commit claimed whose reply was lost."""
        if not self._proposed:
            return
        for name, step in state.steps.items():
            for direction in Direction:
                claim = step.track(direction).claim
                if claim is not None:
                    self._begin(binding, state, [Claimed(name, direction, claim.owner, claim.since)], adopt=True)

    def _begin(self, binding: Binding, state: SagaState, claims: Sequence[Claimed], *, adopt: bool = False) -> None:
        for claim in claims:
            attempt = _attempt_of(state, claim)
            if adopt and attempt not in self._proposed:
                continue
            self._proposed.discard(attempt)
            if self._slots:
                self._slots -= 1
            else:
                self._worker.slots.take()
            self._worker.begin(self, binding, state, attempt)

    # ------------------------------------------------------------------ afterwards

    def _hints(
        self, binding: Binding, before: Agenda, after: SagaState, agenda: Agenda, now: float, *, hinted: bool
    ) -> set[Lane]:
        """The lanes whose workers should hear of this saga: one hint each, whoever comes claims all it can."""
        known = {(work.step, work.direction) for work in before.works}
        lanes: set[Lane] = set()
        plan = binding.plan(after)
        hinted = hinted and self._worker.is_accepting
        for work in agenda.works:
            lane = Lane(work.queue, work.side)
            is_new = (work.step, work.direction) not in known
            # What this code cannot do is not sent round: the hint would come back, and be sent again.
            is_ours = lane in self._worker.lanes and binding.why_not(plan[work.step], work.direction) is None
            # ... nor is what waits here to be alone: it would come back as long as it waits.
            may_return = hinted and is_ours and not is_suspect(after, work.step, work.direction)
            if work.due <= now and (is_new or may_return):
                lanes.add(lane)
        return lanes

    def _arm(self, agenda: Agenda, now: float) -> None:
        """Wait here for what is due soon."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        horizon = now + self._worker.settings.in_place.total_seconds()
        soon = [due for due in self._dues(agenda) if now < due <= horizon]
        if soon and self._worker.is_accepting:
            self._timer = asyncio.get_running_loop().call_later(min(soon) - now, self._on_timer)

    def _dues(self, agenda: Agenda) -> Iterator[float]:
        if agenda.tick is not None:
            yield agenda.tick
        for work in agenda.works:
            if Lane(work.queue, work.side) in self._worker.lanes:
                yield work.due

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


def _attempt_of(state: SagaState, claim: Claimed) -> Attempt:
    return claim.step, claim.direction, state.steps[claim.step].track(claim.direction).attempt, claim.owner
