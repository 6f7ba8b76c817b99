"""One saga and nothing around it: every order in which its attempts can be claimed, end, be lost and be heard of again.

Each claim is held by the same worker, since ``decide`` only asks whether it stands; time stands still. What has no
influence on anything that follows (numbers of attempts, errors, reasons) is checked and then forgotten, which makes
the states few. Of states that differ only in which of several interchangeable steps is which, one stands for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from sagaflow.core.decide import decide, new_saga
from sagaflow.core.definition import SagaDefinition, StepDefinition, StepKind
from sagaflow.core.events import (
    Claimed,
    CompensationRequested,
    Decided,
    Ended,
    Event,
    Fate,
    Probed,
    Released,
    Signalled,
    Succeeded,
    Undecidable,
    WorkerLost,
)
from sagaflow.core.state import Direction, SagaState, StepStatus, Track
from sagaflow.core.work import open_work
from tests.properties.invariants import UNSURE, check_change, check_heard
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
        self._names = tuple(step.name for step in definition)
        self._symmetries = symmetries(definition)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(SagaState)

    def initial(self) -> Case:
        return self._case(new_saga(self._definition, "saga-1", "{}", 0.0), frozenset())

    def is_over(self, state: Case) -> bool:
        return self.saga_of(state).status.is_terminal

    def saga_of(self, case: Case) -> SagaState:
        return self._decoder.decode(case.saga)

    def moves(self, state: Case) -> Iterator[Move[Case]]:
        saga = self.saga_of(state)
        for event, is_fault in self._events(saga):
            after = decide(self._definition, saga, event)
            if after is not saga:
                marked = state.marked.union(self._marks(saga, event))
                if isinstance(event, Probed) and event.happened is False:
                    marked -= {event.step}
                yield Move(repr(event), partial(self._checked, saga, event, after, marked), is_fault)

    def _checked(self, before: SagaState, event: Event, after: SagaState, marked: frozenset[str]) -> Case:
        try:
            check_change(self._definition, before, event, after)
            check_heard(self._definition, before, event, after)
        except AssertionError as error:
            raise Violation("invariant", str(error)) from error
        for name in marked:
            if after.steps[name].status in (StepStatus.PENDING, StepStatus.FAILED):
                raise Violation("forgotten", f"step {name} may have had its effect")
        return self._case(after, marked)

    def _case(self, saga: SagaState, marked: frozenset[str]) -> Case:
        plain = [
            replace(it, forward=_plain(it.forward, it.probe), undo=_plain(it.undo), probe=_plain(it.probe))
            for it in saga.steps.values()
        ]
        order: tuple[int, ...] = self._symmetries[0]
        if len(self._symmetries) > 1:
            told = [(self._encoder.encode(it), name in marked) for name, it in zip(self._names, plain, strict=True)]
            order = min(self._symmetries, key=lambda order: [told[place] for place in order])
            marked = frozenset(self._names[to] for to, place in enumerate(order) if told[place][1])
        steps = {name: plain[place] for name, place in zip(self._names, order, strict=True)}
        saga = replace(saga, steps=steps, reason=saga.reason and "stated", failure=saga.failure and "stated")
        return Case(self._encoder.encode(saga), marked)

    def _events(self, saga: SagaState) -> Iterator[tuple[Event, bool]]:
        for work in open_work(self._definition, saga):
            if work.is_decided:
                yield Claimed(work.step, work.direction, OWNER, 0.0), False
            else:
                yield Decided(work.step, 0.0), False
                yield Decided(work.step, 0.0, proceed=False), False
                yield Undecidable(work.step, "error", 0.0), False
        yield from self._signals(saga)
        lost = 0
        for name, step in saga.steps.items():
            for direction, track in zip(Direction, step.tracks, strict=True):
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

    def _marks(self, saga: SagaState, event: Event) -> list[str]:
        """The steps of which the event says that something may be left of them."""
        if isinstance(event, WorkerLost):
            return [name for name, step in saga.steps.items() if step.forward.claim is not None]
        if not isinstance(event, Succeeded | Ended) or event.direction is Direction.UNDO:
            return []
        only_asked = isinstance(event, Succeeded) and self._definition[event.step].kind is StepKind.WAIT
        return [] if only_asked or (isinstance(event, Ended) and event.fate is Fate.ABORTED) else [event.step]

    def _signals(self, saga: SagaState) -> Iterator[tuple[Event, bool]]:
        """The outside answers early or late, well or not, and perhaps a second time and otherwise."""
        for declared in self._definition:
            if declared.signal is None:
                continue
            if declared.signal not in saga.signals:
                yield Signalled(declared.signal, "first", 0.0, error="refused"), False
            yield Signalled(declared.signal, "first", 0.0, output="done"), False
            for output in self._troubles.late:
                yield Signalled(declared.signal, "second", 0.0, output=output), True

    def _endings(self, name: str, direction: Direction, attempt: int) -> Iterator[Event]:
        if direction is Direction.PROBE:
            yield Probed(name, attempt, True, 0.0, output="done")
            yield Probed(name, attempt, False, 0.0)
            yield Probed(name, attempt, None, 0.0)
            return
        yield Succeeded(name, direction, attempt, "done" if direction is Direction.FORWARD else None, 0.0)
        for fate in self._troubles.fates:
            # How a compensation fails is one and the same, but for a further attempt.
            if direction is Direction.FORWARD or fate is not Fate.ABORTED:
                yield Ended(name, direction, attempt, fate, "error", 0.0)
        if self._troubles.released:
            yield Released(name, direction, attempt, 0.0)
            yield Released(name, direction, attempt, 0.0, begun=True)


def symmetries(definition: SagaDefinition) -> list[tuple[int, ...]]:
    """Every way to put the steps in each other's places that makes the same saga of them; the first changes nothing."""
    steps = definition.steps
    names = [step.name for step in steps]

    def is_same(order: tuple[int, ...]) -> bool:
        renamed = dict(zip(names, (names[place] for place in order), strict=True))
        return all(
            _kind(steps[place]) == _kind(step) and set(steps[place].after) == {renamed[name] for name in step.after}
            for step, place in zip(steps, order, strict=True)
        )

    return [order for order in permutations(range(len(steps))) if is_same(order)]


def _kind(step: StepDefinition) -> tuple[object, ...]:
    asks = step.probe is not None, step.when is not None
    return step.kind, step.is_undoable, step.accepts_unknown, step.pivot, *asks


def _plain(track: Track, probe: Track | None = None) -> Track:
    """The latest attempt is always the first; that attempts grow has been checked before.

    ``probe``: why the latest attempt has ended tells whether the probe must have been asked.
    """
    reason = track.reason if probe is not None and probe.attempt and track.reason in UNSURE else None
    return Track(
        min(track.attempt, 1), tries=track.tries, losses=track.losses, claim=track.claim, due=track.due, reason=reason
    )
