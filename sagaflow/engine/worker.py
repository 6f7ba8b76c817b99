"""The part of an engine that works: takes hints, runs attempts, hands over what it cannot do itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from .. import tasks
from ..core.events import Event, Released, WorkerLost
from ..core.state import Direction, SagaState
from ..core.work import Agenda
from ..errors import StoreUnavailable
from ..ports import Broker, Codec, Lane, Outcome, Store, Stored, Transition
from ..ports.clock import Clock
from ..record import Family, SagaRecord
from ..throttle import Throttle
from .attempts import Attempt, Attempts
from .bindings import Bindings
from .committer import Committer
from .duties import Duties
from .hints import Hints
from .isolation import Isolation
from .liveness import Liveness
from .mailbox import Mailbox
from .observing import Observers
from .reading import Reader
from .runner import Runner
from .settings import Settings
from .slots import Slots
from .turns import Turns
from .watcher import Watcher

logger: logging.Logger = logging.getLogger("sagaflow.worker")


_LAST_CALL = 3.0  # seconds for tasks that have had all the time there was


_CALM = (0.05, 1.0)  # seconds without new work after the store failed: the first time, and at most


class Worker:
    """Works on sagas with one incarnation after another, until it is stopped."""

    def __init__(  # noqa: PLR0913  # the parts that one place puts together
        self,
        *,
        store: Store,
        broker: Broker,
        bindings: Bindings,
        codec: Codec,
        lanes: Iterable[Lane],
        clock: Clock,
        settings: Settings,
        liveness: Liveness,
        watcher: Watcher,
        runner: Runner,
        hints: Hints,
        observers: Observers | None,
    ) -> None:
        self.store = store
        self.hints = hints
        self.observers = observers
        self._broker = broker
        self.bindings: Bindings = bindings
        self.codec: Codec = codec
        self.lanes: frozenset[Lane] = frozenset(lanes)
        self.clock = clock
        self.settings = settings
        self.watcher = watcher
        self.runner = runner
        self.in_place: float = settings.in_place.total_seconds()
        self._patience = settings.patience.total_seconds()
        self.slots: Slots = Slots(settings.concurrency)
        self.isolation: Isolation = Isolation(self._look_again)
        self.throttle: Throttle = Throttle(logger)
        self._committer = Committer(store, observers)
        self._reader = Reader(store)
        self._liveness = liveness
        self._mailboxes: dict[str, Mailbox] = {}
        self.attempts: Attempts = Attempts(self)
        self.turns: Turns = Turns(self)
        self.duties: Duties = Duties(self)
        self._tasks: dict[asyncio.Task[None], None] = {}  # a set that keeps the order
        self._draining = False
        self._calm = 0.0
        self._calm_until = 0.0

    # ------------------------------------------------------------------ life

    async def consume(self) -> None:
        """Take hints for as long as there are free slots."""
        subscription = await self._broker.subscribe(sorted(self.lanes, key=repr), prefetch=self.settings.concurrency)
        try:
            while not tasks.is_cancelled():
                await self.slots.wait()
                if self._calm and (left := self._calm_until - self.clock.monotonic()) > 0:
                    await asyncio.sleep(left)
                await self._liveness.assured(self.owner)
                delivery = await subscription.receive()
                if self.slots.try_take():
                    self._mailbox(delivery.hint.saga_id).look(delivery)
                else:
                    await delivery.requeue()
        finally:
            await subscription.close()

    async def drain(self) -> None:
        """Begin nothing more; let handlers end within the grace period, then cancel them; commit what they did."""
        self._draining = True
        for mailbox in list(self._mailboxes.values()):
            mailbox.disarm()
        try:
            async with asyncio.timeout(self.settings.grace.total_seconds()):
                await self.attempts.none()
        except TimeoutError:
            for saga_id, attempt in self.attempts:
                logger.warning(
                    "saga %s: step %s outlasts the grace period and is cancelled",
                    saga_id,
                    attempt[0],
                    extra={"saga_id": saga_id, "step": attempt[0], "attempt": attempt[2]},
                )
            self.attempts.cancel()
        # What cannot be committed by now is lost with this worker, and done again by another one.
        end = self.clock.monotonic() + self.settings.death_after.total_seconds()
        while self._tasks and (left := end - self.clock.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in await tasks.end(self._tasks, seconds=_LAST_CALL):
            logger.error("%s does not let itself be ended, and is left behind", task.get_name())

    @property
    def owner(self) -> str:
        return self._liveness.incarnation

    @property
    def is_accepting(self) -> bool:
        """Whether new attempts may be claimed: not while draining, nor while this worker may have been judged dead."""
        return not self._draining and self._liveness.is_assured

    @property
    def is_draining(self) -> bool:
        return self._draining

    async def is_alive(self, incarnation: str) -> bool:
        """Wait until it is certain that nobody can have judged this incarnation dead, or that it is."""
        return await self._liveness.assured(incarnation)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """A task that ``drain`` waits for."""
        task = asyncio.create_task(work, name=f"sagaflow: {name}")
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return task

    # ------------------------------------------------------------------ sagas

    def look(self, saga_id: str) -> None:
        """Look whether this saga has work."""
        self._mailbox(saga_id).look()

    def put(self, saga_id: str, event: Event) -> None:
        """Something happened to this saga."""
        self._mailbox(saga_id).put(event)

    def _mailbox(self, saga_id: str) -> Mailbox:
        if saga_id not in self._mailboxes:
            self._mailboxes[saga_id] = Mailbox(self, saga_id)
        return self._mailboxes[saga_id]

    def new_mailbox(self, saga_id: str) -> Mailbox | None:
        """The mailbox of a saga that is about to be kept; None if something of a saga with this id is done here."""
        return None if saga_id in self._mailboxes else self._mailbox(saga_id)

    def retire(self, mailbox: Mailbox) -> None:
        """Forget a mailbox that has nothing to do."""
        if mailbox.is_idle and self._mailboxes.pop(mailbox.saga_id, None) is not None:
            self.isolation.leave(mailbox.saga_id)

    def _look_again(self, saga_id: str) -> None:
        if not self._draining:
            self.look(saga_id)

    def record(self, state: SagaState, family: Family) -> SagaRecord[Any]:
        """What others see of a saga."""
        binding = self.bindings.known(state)
        return binding.record(state, family) if binding else SagaRecord(state, self.codec, None, family)

    async def load(self, saga_id: str) -> Stored | None:
        stored = await self._reader.load(saga_id)
        self._calm = 0.0
        return stored

    def commit(self, transition: Transition) -> asyncio.Future[Outcome]:
        """What became of it; a saga has at most one transition under way."""
        return self._committer.commit(transition)

    def store_failed(self, error: StoreUnavailable) -> None:
        """Take no new work for a moment."""
        self.throttle.warning("store", "the store is unavailable, work waits: %s", error)
        self._calm = min(2 * self._calm or _CALM[0], _CALM[1])
        self._calm_until = self.clock.monotonic() + self._calm

    def wake_at(self, agenda: Agenda, now: float) -> float | None:
        """When a sweeper must look: at once when due, but later for what a hint or this worker's memory brings on."""
        due = agenda.due
        if due is None or self._draining or due > now + self.in_place:
            return due
        late = max(due, now) + self._patience
        elsewhere = (
            work.due for work in agenda.works if work.due > now and Lane(work.queue, work.side) not in self.lanes
        )
        return min(elsewhere, default=late) if due > now else late

    # ------------------------------------------------------------------ attempts

    def is_running(self, saga_id: str, attempt: Attempt) -> bool:
        """Whether this attempt runs here, may be about to, or has ended and is not recorded yet."""
        mailbox = self._mailboxes.get(saga_id)
        return (saga_id, attempt) in self.attempts or (mailbox is not None and mailbox.holds(attempt))

    def incarnation_died(self, owner: str) -> None:
        """This worker was judged dead: what it ran under that name is taken over, so it must stop."""
        self.attempts.cancel(owner)

    def check_wanted(self) -> None:
        """Look whether what runs here is still wanted, where its saga may have turned back elsewhere."""
        for saga_id, mailbox in self._mailboxes.items():
            if mailbox.runs_cancellable:
                self.look(saga_id)

    def lost(self, saga_id: str, owner: str) -> None:
        """A worker that holds a claim of this saga is recorded as dead."""
        self.put(saga_id, WorkerLost(owner, self.clock.now()))

    def is_busy_with(self, saga_id: str) -> bool:
        """Whether this worker does, or waits for, something of this saga."""
        return saga_id in self._mailboxes

    def settle_orphans(self, state: SagaState) -> None:
        """Give back claims that name this worker without its knowing; certainly their handlers never began."""
        for name, step in state.steps.items():
            for direction in Direction:
                track = step.track(direction)
                if track.claim is None or track.claim.owner != self.owner:
                    continue
                if not self.is_running(state.id, (name, direction, track.attempt, self.owner)):
                    self.put(state.id, Released(name, direction, track.attempt, self.clock.now()))
