"""Deliberate faults of the engine, to see that the simulation can fail at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from msgspec.structs import replace

from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core import attempts
from sagaflow.core.events import Fate, LockHeld, LockReleased, ParentTold
from sagaflow.core.state import SagaState
from sagaflow.engine.duties import Duties
from sagaflow.engine.liveness import Judge
from sagaflow.engine.mailbox import Mailbox
from sagaflow.engine.sweeper import Sweeper
from sagaflow.engine.worker import Worker
from sagaflow.errors import StoreUnavailable
from sagaflow.ports import Outcome, Transition

Patch = Callable[[pytest.MonkeyPatch], None]

MUTATIONS: Final[dict[str, Patch]] = {}


def mutation(patch: Patch) -> Patch:
    MUTATIONS[patch.__name__] = patch
    return patch


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The engine as it would be with this fault in it."""
    with pytest.MonkeyPatch.context() as patch:
        MUTATIONS[name](patch)
        yield


async def _nothing(*_: object) -> None:
    """What is left out."""


@mutation
def a_commit_does_not_ask_for_the_revision(patch: pytest.MonkeyPatch) -> None:
    commit = MemoryStore._commit

    def careless(self: MemoryStore, transition: Transition) -> Outcome:
        kept = self._sagas.get(transition.before.id)
        if kept is not None:
            before = replace(transition.before, revision=kept.state.revision)
            transition = replace(transition, before=before)
        return commit(self, transition)

    patch.setattr(MemoryStore, "_commit", careless)


@mutation
def a_start_overwrites_what_there_is(patch: pytest.MonkeyPatch) -> None:
    insert = MemoryStore.insert

    async def careless(self: MemoryStore, state: SagaState, wake_at: float | None) -> bool:
        self._sagas.pop(state.id, None)
        return await insert(self, state, wake_at)

    patch.setattr(MemoryStore, "insert", careless)


@mutation
def nobody_sweeps(patch: pytest.MonkeyPatch) -> None:
    async def lazy(_: Sweeper) -> int:
        return 0

    patch.setattr(Sweeper, "sweep", lazy)


@mutation
def no_wake_up_is_set(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Worker, "wake_at", lambda *_: None)


@mutation
def the_dead_are_never_judged(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Judge, "look", lambda *_: [])


@mutation
def claims_of_the_dead_are_not_taken_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Worker, "lost", lambda *_: None)


@mutation
def an_unsure_commit_counts_as_made(patch: pytest.MonkeyPatch) -> None:
    commit = Worker.commit

    async def hopeful(self: Worker, transition: Transition) -> Outcome:
        outcome = await commit(self, transition)
        return Outcome.COMMITTED if outcome is Outcome.UNSURE else outcome

    patch.setattr(Worker, "commit", hopeful)


@mutation
def a_claim_whose_reply_was_lost_is_neither_adopted_nor_settled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "_adopt", lambda *_: None)
    patch.setattr(Sweeper, "_settle_own", _nothing)


@mutation
def what_happened_is_forgotten_when_the_store_fails(patch: pytest.MonkeyPatch) -> None:
    failed = Worker.store_failed

    def forgetful(self: Worker, error: StoreUnavailable) -> None:
        for mailbox in self._mailboxes.values():
            mailbox._events.clear()
        failed(self, error)

    patch.setattr(Worker, "store_failed", forgetful)


@mutation
def an_outcome_counts_whichever_attempt_it_is_of(patch: pytest.MonkeyPatch) -> None:
    current = attempts._current

    def careless(state: SagaState, name: str, direction: Any, attempt: int) -> Any:
        step = state.steps.get(name)
        return current(state, name, direction, step.track(direction).attempt if step else attempt)

    patch.setattr(attempts, "_current", careless)


@mutation
def every_failure_is_held_to_have_done_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "_CLEAN", frozenset(Fate))


@mutation
def an_accepted_request_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    commit = Worker.commit

    async def hasty(self: Worker, transition: Transition) -> Outcome:
        return await commit(self, replace(transition, inbox_size=None))

    patch.setattr(Worker, "commit", hasty)


@mutation
def duties_are_not_done(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mailbox, "_do_duties", lambda *_: None)


@mutation
def a_parent_is_held_to_be_told(patch: pytest.MonkeyPatch) -> None:
    async def silent(self: Duties, state: SagaState) -> list[ParentTold]:
        return [ParentTold(self._now, state.status)]

    patch.setattr(Duties, "_tell_parent", silent)


@mutation
def a_lock_is_taken_without_standing_in_line(patch: pytest.MonkeyPatch) -> None:
    async def pushing(self: Duties, state: SagaState, key: str) -> list[LockHeld]:
        return [LockHeld(key, state.locks[key].term, self._now)]

    patch.setattr(Duties, "_take_lock", pushing)


@mutation
def a_lock_is_held_to_be_released(patch: pytest.MonkeyPatch) -> None:
    async def keeping(self: Duties, state: SagaState, key: str) -> list[LockReleased]:
        return [LockReleased(key, state.locks[key].term, self._now)]

    patch.setattr(Duties, "_release_lock", keeping)


@mutation
def a_claim_that_a_worker_is_about_is_held_to_be_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Worker, "is_running", lambda *_: False)
    patch.setattr(Worker, "is_busy_with", lambda *_: False)
