"""The attempts that run in this process, from the claim to the event that says how each ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..core.events import Claimed, Event, Fate, Released
from ..core.state import Direction, SagaState
from ..errors import StoreUnavailable
from ..record import Family
from .binding import Binding
from .families import load_family
from .runner import Pulse, Result

if TYPE_CHECKING:
    from .mailbox import Mailbox
    from .worker import Worker

logger: logging.Logger = logging.getLogger("sagaflow.worker")

Attempt = tuple[str, Direction, int, str]
"""What identifies an attempt of a saga for ever: step, direction, number, owner."""


def attempt_by(state: SagaState, claim: Claimed) -> Attempt:
    """The attempt that a claim has brought about in a state."""
    return claim.step, claim.direction, state.steps[claim.step].track(claim.direction).attempt, claim.owner


@dataclass(slots=True)
class Claim:
    """An attempt that this worker has claimed, and all it takes to run it: its mailbox counts it, its slot is taken."""

    mailbox: Mailbox
    binding: Binding
    state: SagaState
    attempt: Attempt
    waited: float | None = None  # seconds to be claimed, if somebody wants to know it
    began: bool = False
    event: Result | None = None

    @property
    def key(self) -> tuple[str, Attempt]:
        return self.state.id, self.attempt

    def __str__(self) -> str:
        return f"{self.attempt[0]} of {self.state.id}"


class Attempts:
    """What runs here. Whatever becomes of an attempt, its saga's mailbox is told, once."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._tasks: dict[tuple[str, Attempt], asyncio.Task[None]] = {}
        self._pulses: dict[tuple[str, Attempt], Pulse] = {}
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, key: tuple[str, Attempt]) -> bool:
        return key in self._tasks

    def __iter__(self) -> Iterator[tuple[str, Attempt]]:
        return iter(list(self._tasks))

    async def none(self) -> None:
        """Return when nothing runs."""
        await self._none.wait()

    # ------------------------------------------------------------------ running

    def begin(self, claim: Claim) -> None:
        """Run a claimed attempt in a task of its own."""
        task = self._worker.spawn(self._run(claim), str(claim))
        self._enter(claim, task)
        # A task that is cancelled before its first step runs none of its code: only a callback always comes.
        task.add_done_callback(partial(self._done, claim))

    async def run(self, claim: Claim) -> Event | None:
        """Run a claimed attempt in the current task: what happened, which the mailbox is not told of; None if nothing.

        Raises:
            asyncio.CancelledError: it was cancelled. The mailbox is told.
        """
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._enter(claim, task)
        error: Exception | None = None
        name = task.get_name()
        task.set_name(f"sagaflow: {claim}")
        try:
            await self._run(claim)
        except asyncio.CancelledError:
            self._leave(claim)
            self._tell(claim, self._event(claim))
            raise
        except Exception as raised:
            error = raised
        finally:
            task.set_name(name)
        self._leave(claim)
        return self._event(claim, error)

    def _enter(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._tasks[claim.key] = task
        self._none.clear()

    def _leave(self, claim: Claim) -> None:
        del self._tasks[claim.key]
        claim.mailbox.running -= 1
        if not self._tasks:
            self._none.set()

    async def _run(self, claim: Claim) -> None:
        worker, state = self._worker, claim.state
        step, direction, _, owner = claim.attempt
        # Not begun is handed over at once: nobody need wait for this worker.
        if worker.is_draining or not await worker.is_alive(owner):
            return
        declared = claim.binding.plan(state)[step]
        family: Family = {}
        if direction is Direction.FORWARD and any(state.steps[name].linked for name in declared.inputs):
            try:
                family = await load_family(worker.store, [state], worker.record)
            except StoreUnavailable as error:
                worker.store_failed(error)
                return
        self._pulses[claim.key] = pulse = Pulse(declared.timeout, declared.heartbeat_timeout)
        claim.began = True
        try:
            claim.event = await worker.runner.run(
                claim.binding, state, declared, direction, family=family, pulse=pulse, waited=claim.waited
            )
        finally:
            del self._pulses[claim.key]

    def _done(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._leave(claim)
        self._tell(claim, self._event(claim, None if task.cancelled() else task.exception()))

    def _tell(self, claim: Claim, event: Event | None) -> None:
        if event is not None:
            claim.mailbox.put(event, slot=True)
        else:
            self._worker.slots.give()
            self._worker.retire(claim.mailbox)

    def _event(self, claim: Claim, error: BaseException | None = None) -> Event | None:
        """What is to be recorded of an attempt that runs no more; None if others will record it."""
        worker, saga_id = self._worker, claim.state.id
        step, direction, number, _ = claim.attempt
        if error is not None:
            fields = {"saga_id": saga_id, "step": step, "attempt": number}
            logger.error("saga %s: step %s could not be run", saga_id, step, exc_info=error, extra=fields)
            return worker.runner.ended(claim.state, step, direction, number, error, Fate.FINAL)
        if claim.event is None and (not claim.began or worker.is_draining):
            return Released(step, direction, number, worker.clock.now(), begun=claim.began)
        # None: cancelled in mid-step since this worker was judged dead, and the record of its death says so.
        return claim.event

    # ------------------------------------------------------------------ cancelling

    def cancel(self, owner: str | None = None) -> None:
        """Cancel what runs: all of it, or what an incarnation of this worker has claimed."""
        for (_, attempt), task in list(self._tasks.items()):
            if owner in (None, attempt[3]):
                task.cancel()

    def cancel_unwanted(self, state: SagaState, steps: Sequence[str]) -> None:
        """Cancel what runs of these steps: the saga has turned back, and will not wait for it."""
        for name in steps:
            track = state.steps[name].forward
            if track.claim is None:
                continue
            key = state.id, (name, Direction.FORWARD, track.attempt, track.claim.owner)
            pulse = self._pulses.get(key)
            if pulse is not None and not pulse.is_cancelled:
                pulse.is_cancelled = True
                self._tasks[key].cancel()
