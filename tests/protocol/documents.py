"""The documents of the protocol's model: each saga state once, by number, and every fold that was ever made.

The same states come up in a great many states of the cluster; a number is quickly hashed, and a fold is made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from sagaflow.core.decide import decide, new_saga, seal
from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import Claimed, CompensationRequested, Ended, Event, Fate, Succeeded, WorkerLost
from sagaflow.core.state import Direction, SagaState, SagaStatus, StepStatus
from sagaflow.core.work import open_work
from tests.properties.graph import graph_of
from tests.properties.invariants import check_state, is_settled

REQUEST = CompensationRequested("asked for", 0.0)

Attempt = tuple[str, Direction, int]
"""Step, direction and number."""


class Ending(Enum):
    """How the last step ends: all others succeed."""

    SUCCESS = "success"
    ABORT = "abort"


class News(NamedTuple):
    """What a worker knows that the document does not: a request, who is dead, and which attempts have ended."""

    requested: bool
    lost: frozenset[str]
    ended: frozenset[Attempt]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the model asks a document for, again and again."""

    claims: frozenset[tuple[Attempt, str]]
    """Attempts and their owners."""
    is_open: bool
    is_terminal: bool
    is_requestable: bool
    joined: bool
    """The last step is completed."""


@dataclass(frozen=True, slots=True)
class Folded:
    """The outcome of a fold: the document, and the attempts that it claims anew."""

    document: int
    claimed: frozenset[Attempt]


class Documents:
    """All documents of one saga that were met."""

    def __init__(self, definition: SagaDefinition, ending: Ending) -> None:
        self.definition = definition
        self.last = definition.steps[-1].name
        self._ending = ending
        self._states: list[SagaState] = []
        self._facts: list[Facts] = []
        self._numbers: dict[bytes, int] = {}
        self._folds: dict[tuple[int, News, str, int], Folded] = {}
        self.first = self._number(new_saga(definition, "saga-1", "{}", 0.0))

    def __getitem__(self, document: int) -> SagaState:
        return self._states[document]

    def facts(self, document: int) -> Facts:
        return self._facts[document]

    def fold(self, document: int, news: News, owner: str, slots: int) -> Folded:
        """What a worker makes of a document and of what it knows: it claims what it has free slots for."""
        key = (document, news, owner, slots)
        if key not in self._folds:
            self._folds[key] = self._fold(*key)
        return self._folds[key]

    def gone(self, before: int, after: int) -> str | None:
        """What is lost if one document follows another that must not, whoever wrote it."""
        old, new = self[before], self[after]
        for name, step in new.steps.items():
            past = old.steps[name]
            known = {step.output, *step.late}
            if not known.issuperset(past.late) or (past.output is not None and past.output != step.output):
                return f"an output of {name}"
            if step.forward.attempt < past.forward.attempt or step.undo.attempt < past.undo.attempt:
                return f"an attempt of {name}"
        if old.status.is_terminal and new.status is not old.status:
            late = any(len(step.late) > len(old.steps[name].late) for name, step in new.steps.items())
            asked = (old.status, new.status) == (SagaStatus.COMPLETED, SagaStatus.COMPENSATING)
            if not asked and not (late and old.status is SagaStatus.COMPENSATED):
                return f"the end as {old.status}"
        return None

    # ------------------------------------------------------------------ inside

    def _fold(self, document: int, news: News, owner: str, slots: int) -> Folded:
        before = self[document]
        events: list[Event] = [REQUEST] if news.requested else []
        events += [WorkerLost(name, 0.0) for name in sorted(news.lost)]
        events += [self._end(attempt) for attempt in sorted(news.ended)]
        changed = self._decide_all(before, events)
        works = open_work(self.definition, changed)[: max(slots, 0)]
        changed = self._decide_all(changed, [Claimed(work.step, work.direction, owner, 0.0) for work in works])
        after = seal(before, changed, 0.0)
        if after is before:
            return Folded(document, frozenset())
        assert after.revision == before.revision + 1
        claimed = {(work.step, work.direction, after.steps[work.step].track(work.direction).attempt) for work in works}
        return Folded(self._number(after), frozenset(claimed))

    def _decide_all(self, state: SagaState, events: list[Event]) -> SagaState:
        for event in events:
            state = decide(self.definition, state, event)
        return state

    def _end(self, attempt: Attempt) -> Event:
        step, direction, number = attempt
        if direction is Direction.UNDO:
            return Succeeded(step, direction, number, None, 0.0)
        if step == self.last and self._ending is Ending.ABORT:
            return Ended(step, direction, number, Fate.ABORTED, "aborted", 0.0)
        return Succeeded(step, direction, number, f"{step}#{number}", 0.0)

    def _number(self, state: SagaState) -> int:
        """Two histories that come to the same document are one: the revision counts commits and means nothing else.

        No document follows itself, since attempts only grow; so the number is as good a fence as the revision.
        """
        encoded = msgspec.msgpack.encode(replace(state, revision=0, digest=None))
        if encoded not in self._numbers:
            self._numbers[encoded] = len(self._states)
            self._states.append(state)
            self._facts.append(self._look(state))
        return self._numbers[encoded]

    def _look(self, state: SagaState) -> Facts:
        self._check(state)
        claims = {
            ((name, direction, track.attempt), track.claim.owner)
            for name, step in state.steps.items()
            for direction in Direction
            if (track := step.track(direction)).claim is not None
        }
        return Facts(
            frozenset(claims),
            bool(open_work(self.definition, state)),
            state.status.is_terminal,
            REQUEST.kind in state.accepts,
            state.steps[self.last].status is StepStatus.COMPLETED,
        )

    def _check(self, state: SagaState) -> None:
        """I2, I3, I4 and I7, as far as one document shows them."""
        check_state(self.definition, state)
        nodes, below = graph_of(self.definition, state)
        for declared in self.definition:
            step = state.steps[declared.name]
            if step.forward.claim is not None:
                assert all(state.steps[name].status is StepStatus.COMPLETED for name in declared.after), "I2"
            if state.status is SagaStatus.COMPENSATED:
                # In this model a claim is never given back, so that each of them may have had its effect.
                clean = (StepStatus.COMPENSATED, StepStatus.FAILED)
                assert not step.forward.attempt or not declared.compensation or step.status in clean, "left behind"
            if step.undo.claim is not None:
                # A late output may unsettle what was settled when the claim was made.
                others = [name for name in below[declared.name] if not state.steps[name].late]
                assert all(is_settled(nodes, state, name) for name in others), "I3"
