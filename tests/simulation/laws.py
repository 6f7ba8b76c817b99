"""What must hold after every event, and at the end: checked on what the store has and on what the outside has seen."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Final

from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.definition import SagaDefinition, StepKind
from sagaflow.core.state import Direction, LockStatus, SagaState, SagaStatus, StepStatus, Track
from sagaflow.engine.checking import check_store
from sagaflow.engine.families import children_of
from sagaflow.execution import step_key
from sagaflow.ports import Transition
from tests.properties.graph import graph_of
from tests.properties.invariants import ARROWS, BY_AN_ACT, check_state

from .network import at_once
from .sagas import ALL
from .service import Outside, Run

_DEFINITIONS: Final[dict[str, SagaDefinition]] = {saga.definition.fingerprint: saga.definition for saga in ALL}
_GONE: Final = frozenset({StepStatus.PENDING, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.COMPENSATED})


def _closure(arrows: frozenset[tuple[SagaStatus, SagaStatus]]) -> frozenset[tuple[SagaStatus, SagaStatus]]:
    """What several events in one commit can do."""
    while more := {(a, d) for a, b in arrows for c, d in arrows if b is c} - arrows:
        arrows |= more
    return arrows


_BY_ITSELF: Final = _closure(frozenset(ARROWS))
_WITH_ACTS: Final = _closure(frozenset(ARROWS | BY_AN_ACT))


class Broken(AssertionError):
    """A law is broken."""


class Laws:
    """Looks at every change and every attempt; raises ``Broken`` at the first that may not be."""

    def __init__(self, documents: MemoryStore, outside: Outside) -> None:
        self._documents = documents
        self._outside = outside
        self._claimed: dict[tuple[str, str, Direction, int], str] = {}
        self._begun: dict[tuple[str, str, Direction, int], Run] = {}
        self._given_back: set[tuple[str, str, Direction, int]] = set()
        self._started: set[str] = set()
        self._ended: set[str] = set()
        self.told_to_turn_back: set[str] = set()
        """Sagas of which an engine has said that they will be compensated."""
        self._holders: defaultdict[str, dict[str, str]] = defaultdict(dict)

    # ------------------------------------------------------------------ one change

    def check_change(self, before: SagaState | None, after: SagaState, transition: Transition | None) -> None:
        """A saga has been kept, or changed."""
        check_state(_DEFINITIONS[after.fingerprint], after)
        if before is None:
            _demand(after.id not in self._started, f"I10: {after.id} is started a second time")
            self._started.add(after.id)
        else:
            self._check_step_by_step(before, after)
            self._check_arrow(before, after)
        self._check_claims(after)
        if transition is not None and not after.status.is_terminal:
            self._check_is_awaited(after, transition)
        self._check_locks(after)
        if after.status.is_terminal:
            self._ended.add(after.id)
            for name in children_of(after):
                child = self._state(name)
                if child is None or child.status.is_terminal:
                    continue
                # Whoever asked for the child itself to be undone gets that, whatever becomes of its parent; and what
                # comes to a child that had ended, long after its attempt was given up, is undone by itself.
                asked = name in self.told_to_turn_back
                is_late = name in self._ended and any(step.late for step in child.steps.values())
                if not asked and not is_late:
                    raise Broken(f"I10: {after.id} is {after.status}, its child {name} is {child.status}")

    def _check_step_by_step(self, before: SagaState, after: SagaState) -> None:
        _demand(after.revision == before.revision + 1, f"I6: {after.id}: revisions grow by one")
        for name, old in before.steps.items():
            new = after.steps[name]
            acted = len(after.acts) > len(before.acts)
            _demand(acted or old.output in (None, new.output), f"I5: {after.id}: the output of {name} has changed")
            _demand(acted or {*new.late, new.output}.issuperset(old.late), f"I5: {after.id}: a late output of {name}")
            for direction in Direction:
                was, track = old.track(direction), new.track(direction)
                _demand(track.attempt >= was.attempt, f"I6: {after.id}: an attempt at {name} went back")
                _demand(was.first_error in (None, track.first_error), f"I5: {after.id}: the first error of {name}")
                is_undone = (new.undone, new.late_undone) != (old.undone, old.late_undone)
                if not acted and not is_undone and _is_given_back(was, track):
                    self._check_given_back((after.id, name, direction, was.attempt))
            if not acted and not new.probe.attempt and self._must_stand(after, name):
                self._check_has_succeeded(after, name, Direction.FORWARD, is_new=old.status is not new.status)
            if not acted and self._is_seen_outside(after, name):
                self._check_has_succeeded(after, name, Direction.UNDO, is_new=new.undone and not old.undone)

    def _check_given_back(self, attempt: tuple[str, str, Direction, int]) -> None:
        self._given_back.add(attempt)
        _demand(attempt not in self._begun, f"{attempt} is given back as one that has not begun, and it has")

    def _check_claims(self, after: SagaState) -> None:
        for name, step in after.steps.items():
            for direction in Direction:
                claim = step.track(direction).claim
                if claim is not None:
                    attempt = after.id, name, direction, step.track(direction).attempt
                    owner = self._claimed.setdefault(attempt, claim.owner)
                    _demand(owner == claim.owner, f"I6: {attempt} was claimed by {owner}, now by {claim.owner}")

    def _check_has_succeeded(self, after: SagaState, name: str, direction: Direction, *, is_new: bool) -> None:
        last = after.steps[name].track(direction).attempt
        # An undo that has succeeded may be followed by one of a late output, in the same commit.
        first = 1 if direction is Direction.UNDO else last
        runs = [self._begun.get((after.id, name, direction, number)) for number in range(first, last + 1)]
        succeeded = any(run is not None and run.ended is not None for run in runs)
        _demand(succeeded or not is_new, f"{after.id}: {direction} {name} is recorded as a success, and was none")

    @staticmethod
    def _check_arrow(before: SagaState, after: SagaState) -> None:
        if before.status is not after.status:
            was_brought_back = len(after.acts) > len(before.acts) or bool(children_of(before))
            allowed = _WITH_ACTS if was_brought_back else _BY_ITSELF
            _demand((before.status, after.status) in allowed, f"I8: {after.id}: {before.status} -> {after.status}")

    def _check_is_awaited(self, after: SagaState, transition: Transition) -> None:
        """I7. That it is looked at early enough is seen by its coming to an end."""
        waits = any(step.asked or step.undo_asked for step in after.steps.values())
        blocked = any(lock.status is LockStatus.WANTED and lock.holder is not None for lock in after.locks.values())
        is_awaited = transition.wake_at is not None or after.owners or after.paused or waits or blocked
        _demand(bool(is_awaited), f"I7: nobody will look at {after.id} again")

    def _check_locks(self, after: SagaState) -> None:
        for key, lock in after.locks.items():
            holders = self._holders[key]
            if lock.status is LockStatus.HELD:
                holders[after.id] = after.root or after.id
                _demand(len(set(holders.values())) == 1, f"I10: lock {key!r} is held by {', '.join(holders)}")
            else:
                holders.pop(after.id, None)

    # ------------------------------------------------------------------ one attempt

    def check_run(self, run: Run) -> None:
        """An attempt begins."""
        attempt = run.saga_id, run.step, run.direction, run.attempt
        _demand(attempt not in self._begun, f"{attempt} runs a second time")
        _demand(attempt not in self._given_back, f"{attempt} runs, and was given back as one that has not begun")
        self._begun[attempt] = run
        owner = self._claimed.get(attempt, "nobody")
        _demand(owner.startswith(f"{run.by}-"), f"I10: {attempt} runs at {run.by}, and is claimed by {owner}")
        state = self._state(run.saga_id)
        assert state is not None, "it was claimed"
        track = state.steps[run.step].track(run.direction)
        if track.claim is None or track.attempt != run.attempt:
            return  # somebody who does not know yet that it is not wanted any more
        nodes, below = graph_of(_DEFINITIONS[state.fingerprint], state)
        if run.direction is Direction.FORWARD:
            for name in nodes[run.step].after:
                if self._must_stand(state, name):
                    _demand(self._stands(state, name), f"I2: {attempt} begins, and {name} is not done")
        if run.direction is Direction.UNDO:
            for name in below[run.step]:
                if self._is_seen_outside(state, name):
                    _demand(not self._stands(state, name), f"I3: {attempt} begins, and {name} is not undone")

    # ------------------------------------------------------------------ the end

    @property
    def open_sagas(self) -> list[SagaState]:
        """Those that have not come to an end; one that has failed waits for an operator."""
        kept = self._documents._sagas.values()
        ends = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED)
        return [
            one.state
            for one in kept
            if one.inbox or one.state.status not in ends or one.due_at is not None or one.state.paused
        ]

    def check_end(self) -> None:
        """All is over: what the store says must be what the outside has seen, and a check finds nothing."""
        findings = at_once(check_store(self._documents, slack=timedelta(0), pause=timedelta(0)))
        _demand(not findings, f"a check finds {findings}")
        for kept in self._documents._sagas.values():
            state = kept.state
            _demand(state.status.is_terminal, f"I1: {state.id} has not come to an end: {state.status}")
            if state.status is SagaStatus.COMPLETED:
                _demand(state.id not in self.told_to_turn_back, f"I11: {state.id} was to turn back, and is completed")
            for name, step in state.steps.items():
                if self._must_stand(state, name):
                    _demand(self._stands(state, name), f"{state.id}: {name} is {step.status}, without its effect")
                if step.status in _GONE and self._is_seen_outside(state, name):
                    _demand(not self._stands(state, name), f"{state.id}: {name} is {step.status}, its effect stands")

    def _state(self, saga_id: str) -> SagaState | None:
        kept = self._documents._sagas.get(saga_id)
        return kept.state if kept is not None else None

    @staticmethod
    def _is_seen_outside(state: SagaState, name: str) -> bool:
        definition = _DEFINITIONS[state.fingerprint]
        return "[" in name or definition[name].kind not in (StepKind.EACH, StepKind.CHILD, StepKind.JOIN)

    def _must_stand(self, state: SagaState, name: str) -> bool:
        if state.steps[name].status is not StepStatus.COMPLETED or not self._is_seen_outside(state, name):
            return False
        # An answer counts, whatever became of the question.
        return "[" in name or _DEFINITIONS[state.fingerprint][name].kind is not StepKind.WAIT

    def _stands(self, state: SagaState, name: str) -> bool:
        return step_key(state.id, name, state.steps[name].generation) in self._outside.standing


def _is_given_back(was: Track, track: Track) -> bool:
    """Whether a claim counts as if it had never been."""
    is_over = was.claim is not None and (track.claim is None or track.attempt > was.attempt)
    is_open = track.due is not None or track.attempt > was.attempt
    counts = (track.tries, track.losses, track.reason) != (was.tries, was.losses, None)
    return is_over and is_open and not counts


def _demand(holds: bool, law: str) -> None:
    if not holds:
        raise Broken(law)
