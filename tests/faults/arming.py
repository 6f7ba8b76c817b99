"""Ports and a ledger that kill their own process at one point: the n-th time that it is reached.

Nothing in the engine is marked. Every call that it makes is a point before it, which the outside never hears of, and a
point after it, where it has happened and the engine does not know. Commits are told apart by what they change.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import Any, cast

import msgspec
from msgspec import Struct

from sagaflow.core.state import Direction, SagaState, SagaStatus, Track
from sagaflow.ports import Broker, Outcome, Store, Transition

from .ledger import Ledger
from .worker import Wiring

AFTER = "after "
"""What the name of a point after a call begins with."""

_PARTS = frozenset({"heart", "subscribe", "receive"})  # calls whose result is armed as well

_GROUP = frozenset({"left", "middle", "right"})


class Point(Struct, frozen=True):
    """Where a process ends: ``name`` says at what, ``nth`` at which time that it is reached."""

    name: str
    nth: int = 1


class Trap:
    """Ends this process by SIGKILL at a point. Hearts come by on a thread of their own."""

    def __init__(self, point: Point) -> None:
        self._point = point
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        """The process has come to a point of this name."""
        with self._lock:
            self._reached[name] += 1
            if name == self._point.name and self._reached[name] == self._point.nth:
                os.kill(os.getpid(), signal.SIGKILL)


class Armed:
    """A port, with a point before and after each of its calls."""

    def __init__(self, port: object, trap: Trap) -> None:
        self._port = port
        self._trap = trap
        self._calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if iscoroutinefunction(method):

            async def call(*arguments: Any, **options: Any) -> Any:
                self._before(name, arguments)
                return self._after(name, arguments, await method(*arguments, **options))

            return call
        if callable(method):

            def call_now(*arguments: Any) -> Any:
                self._before(name, arguments)
                return self._after(name, arguments, method(*arguments))

            return call_now
        return method

    def _before(self, name: str, arguments: Sequence[Any]) -> None:
        self._calls[name] += 1
        if name == "commit":
            self._reach("commit: ", map(kind_of, arguments[0]))
        else:
            self._trap.reach(self._name(name))

    def _after(self, name: str, arguments: Sequence[Any], result: Any) -> Any:
        if name == "commit":
            made = (
                kind_of(transition)
                for transition, outcome in zip(arguments[0], result, strict=True)
                if outcome is Outcome.COMMITTED
            )
            self._reach(f"{AFTER}commit: ", made)
        else:
            self._trap.reach(f"{AFTER}{self._name(name)}")
        return Armed(result, self._trap) if name in _PARTS else result

    def _reach(self, what: str, kinds: Iterator[str]) -> None:
        for kind in kinds:
            self._trap.reach(f"{what}{kind}")

    def _name(self, name: str) -> str:
        return f"first {name}" if name == "beat" and self._calls[name] == 1 else name


class ArmedLedger(Ledger):
    """A ledger with points in the handlers: called, begun, before and after the effect, ended."""

    def __init__(self, ledger: Ledger, trap: Trap) -> None:
        super().__init__(ledger.path)
        self._trap = trap

    @contextmanager
    def attempt(self, key: str, step_key: str, saga_id: str) -> Iterator[None]:
        step = key.removeprefix(f"{saga_id}/")
        self._trap.reach(f"{step}: called")
        with super().attempt(key, step_key, saga_id):
            self._trap.reach(f"{step}: begun")
            yield
        self._trap.reach(f"{step}: ended")

    def apply(self, step_key: str) -> None:
        self._around(step_key.rpartition("/")[2], super().apply, step_key)

    def undo(self, step_key: str) -> None:
        self._around(f"{step_key.rpartition('/')[2]}/undo", super().undo, step_key)

    def _around(self, step: str, act: Callable[[str], None], step_key: str) -> None:
        self._trap.reach(f"{step}: before its effect")
        act(step_key)
        self._trap.reach(f"{step}: after its effect")


def arm(wiring: Wiring, argument: str) -> None:
    """Put a trap between the engine and everything that it calls; ``argument`` is the ``Point``, in JSON."""
    trap = Trap(msgspec.json.decode(argument, type=Point))
    wiring.store = cast("Store", Armed(wiring.store, trap))
    wiring.broker = cast("Broker", Armed(wiring.broker, trap))
    wiring.ledger = ArmedLedger(wiring.ledger, trap)


def kind_of(transition: Transition) -> str:
    """What a commit does, in a few words."""
    before, after = transition.before, transition.after
    if after.status is SagaStatus.COMPLETED:
        return "complete the saga"
    if after.status is SagaStatus.COMPENSATED:
        return "end the compensation"
    if before.status is not after.status:
        return "turn back"
    if sum(track.losses for track in _tracks(after)) > sum(track.losses for track in _tracks(before)):
        return "take over"
    held, holds = _claims(before), _claims(after)
    ended, claimed = {step for step, _ in held - holds}, holds - held
    what = "undo" if after.status is SagaStatus.COMPENSATING else "step"
    if not ended:
        return f"claim a {what}" if claimed else "other"
    where = "in a group" if ended & _GROUP and held & holds else "the last of a group" if ended & _GROUP else "one"
    return f"end {where}, {what}{', and claim' if claimed else ''}"


def _tracks(state: SagaState) -> Iterator[Track]:
    return (track for step in state.steps.values() for track in step.tracks)


def _claims(state: SagaState) -> set[tuple[str, tuple[Direction, int]]]:
    return {
        (name, (direction, step.track(direction).attempt))
        for name, step in state.steps.items()
        for direction in Direction
        if step.track(direction).claim is not None
    }
