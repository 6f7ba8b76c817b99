"""One saga and nothing around it: every order in which its attempts can be claimed, end, be lost and be heard of again.

Each claim is held by the same worker, since ``decide`` only asks whether it stands; time stands still. What has no
influence on anything that follows (numbers of attempts, errors, reasons) is checked and then forgotten, which makes
the states few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from sagaflow.core.decide import decide, new_saga
from sagaflow.core.definition import SagaDefinition
from sagaflow.core.events import Claimed, CompensationRequested, Ended, Event, Fate, Released, Succeeded, WorkerLost
from sagaflow.core.state import Direction, SagaState, StepStatus, Track
from sagaflow.core.work import open_work
from tests.properties.invariants import check_change
from tests.protocol.explorer import Move, Violation

OWNER = "w"


@dataclass(frozen=True, kw_only=True)
class Troubles:
    """What may happen beside claims and successes; the fewer, the fewer states.

    Attributes:
        fates: how an attempt may end instead.
        losses: how many attempts may be lost, whose outputs may come late.
        late: the late outputs that there may be of one step.
        requested: somebody may ask for compensation at any time.
        released: claims may be given back.
    """

    fates: tuple[Fate, ...] = (Fate.ABORTED, Fate.FINAL)
    losses: int = 0
    late: tuple[str, ...] = ()
    requested: bool = False
    released: bool = False


class Case(NamedTuple):
    """A saga, encoded because it is to be hashed, and the truth about it.

    Attributes:
        saga: its state.
        marked: the steps of which an attempt may have left something behind in the world.
    """

    saga: bytes
    marked: frozenset[str]


class Solitude:
    """A model whose states are cases."""

    def __init__(self, definition: SagaDefinition, troubles: Troubles) -> None:
        self._definition = definition
        self._troubles = troubles
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(SagaState)

    def initial(self) -> Case:
        return Case(self._encode(new_saga(self._definition, "saga-1", "{}", 0.0)), frozenset())

    def is_over(self, state: Case) -> bool:
        return self.saga_of(state).status.is_terminal

    def saga_of(self, case: Case) -> SagaState:
        return self._decoder.decode(case.saga)

    def moves(self, state: Case) -> Iterator[Move[Case]]:
        saga = self.saga_of(state)
        for event, is_fault in self._events(saga):
            after = decide(self._definition, saga, event)
            if after is not saga:
                marked = state.marked.union(_marks(saga, event))
                yield Move(repr(event), partial(self._checked, saga, event, after, marked), is_fault)

    def _checked(self, before: SagaState, event: Event, after: SagaState, marked: frozenset[str]) -> Case:
        try:
            check_change(self._definition, before, event, after)
        except AssertionError as error:
            raise Violation("invariant", str(error)) from error
        for name in marked:
            if after.steps[name].status in (StepStatus.PENDING, StepStatus.FAILED):
                raise Violation("forgotten", f"step {name} may have had its effect")
        return Case(self._encode(after), marked)

    def _encode(self, saga: SagaState) -> bytes:
        steps = {name: replace(it, forward=_plain(it.forward), undo=_plain(it.undo)) for name, it in saga.steps.items()}
        return self._encoder.encode(replace(saga, steps=steps, reason=saga.reason and "stated"))

    def _events(self, saga: SagaState) -> Iterator[tuple[Event, bool]]:
        for work in open_work(self._definition, saga):
            yield Claimed(work.step, work.direction, OWNER, 0.0), False
        lost = 0
        for name, step in saga.steps.items():
            for direction in Direction:
                track = step.track(direction)
                lost += track.losses
                if track.claim is not None:
                    for event in self._endings(name, direction, track.attempt):
                        yield event, False
            if step.forward.losses:
                for output in self._troubles.late:
                    yield Succeeded(name, Direction.FORWARD, 1, output, 0.0), True
        if lost < self._troubles.losses:
            yield WorkerLost(OWNER, 0.0), True
        if self._troubles.requested:
            yield CompensationRequested("asked", 0.0), True

    def _endings(self, name: str, direction: Direction, attempt: int) -> Iterator[Event]:
        yield Succeeded(name, direction, attempt, "done" if direction is Direction.FORWARD else None, 0.0)
        for fate in self._troubles.fates:
            # How a compensation fails is one and the same, but for a further attempt.
            if direction is Direction.FORWARD or fate is not Fate.ABORTED:
                yield Ended(name, direction, attempt, fate, "error", 0.0)
        if self._troubles.released:
            yield Released(name, direction, attempt, 0.0)


def _marks(saga: SagaState, event: Event) -> list[str]:
    """The steps of which the event says that something may be left of them."""
    if isinstance(event, WorkerLost):
        return [name for name, step in saga.steps.items() if step.forward.claim is not None]
    if not isinstance(event, Succeeded | Ended) or event.direction is Direction.UNDO:
        return []
    return [] if isinstance(event, Ended) and event.fate is Fate.ABORTED else [event.step]


def _plain(track: Track) -> Track:
    """The latest attempt is always the first; that attempts grow has been checked before."""
    return Track(min(track.attempt, 1), tries=track.tries, losses=track.losses, claim=track.claim, due=track.due)
