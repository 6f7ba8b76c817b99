"""What a saga is, once compiled: an immutable graph of steps with their policies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from .retry import COMPENSATION_RETRY, STEP_RETRY, Retry

DEFAULT_QUEUE = "default"
"""The logical queue of steps that name none."""


class StepKind(StrEnum):
    """What doing a step means."""

    ACTION = "action"
    """Its method does it."""
    EACH = "each"
    """Its method does it once for each element of a list; see ``fanout``."""
    CHILD = "child"
    """Its method says the context of another saga, which does it."""
    WAIT = "wait"
    """Its method asks, and somebody outside does it and says so."""
    JOIN = "join"
    """Nobody does it: it is done when all the elements of an ``EACH`` step are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """How a value is found out that decides something, by exactly one of these ways.

    Attributes:
        method: a method of the class, called with the context and, by name, with the outputs ``inputs``.
        function: a function of the context.
        step: an earlier step, whose output it is.
        field: a field of the context.
        template: a text in which ``{field}`` stands for a field of the context.
        inputs: the earlier steps whose outputs are needed.
    """

    method: str | None = None
    function: Callable[[Any], Any] | None = None
    step: str | None = None
    field: str | None = None
    template: str | None = None
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDefinition:
    """One step: its place in the graph, its methods by name, its policies.

    Attributes:
        name: unique in its saga.
        action: the method that does it.
        kind: what doing it means.
        compensation: the method that undoes it, if there is one. A ``CHILD`` has none: its saga is compensated.
        accepts_unknown: whether the compensation can be called without an output, for an unknown outcome.
        takes_output: whether the compensation takes an output at all.
        takes_item: whether its methods take, after the context, an element of a list or an input of their own.
        probe: the method that finds out what happened, if there is one.
        after: the steps that it waits for, reduced (none of them implied by another).
        inputs: the earlier steps whose outputs it takes, in the order of its parameters.
        when: whether it is done at all; without it, always.
        each: of an ``EACH`` step: the list.
        at_once: of an ``EACH`` step: how many elements are worked on at a time, at most; None is without a bound.
        child: of a ``CHILD``: the name of the saga.
        signal: of a ``WAIT``: the name under which the outside answers.
        lock: the key that must be held before it begins, and until the saga has ended.
        delay: how long it waits once it could begin.
        pivot: whether the saga only goes forward once this has begun.
        retry, compensation_retry: the policies in force, defaults applied.
        timeout: how long one attempt may take, in either direction; None is for ever.
        heartbeat_timeout: how long an attempt may be silent; None is for ever.
        deadline: of a ``WAIT``: how long it waits for the answer; None is for ever.
        abort_on: exception types that mean "a business failure: nothing happened, do not try again".
        queue: the logical queue whose workers run it.
        formerly: the names that it had in earlier versions of the class.
        element: of one element of an ``EACH`` step in a running saga: the name of that step, and the place in the list.
    """

    name: str
    action: str
    kind: StepKind = StepKind.ACTION
    compensation: str | None = None
    accepts_unknown: bool = True
    takes_output: bool = True
    takes_item: bool = False
    probe: str | None = None
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    when: Derived | None = None
    each: Derived | None = None
    at_once: int | None = None
    child: str | None = None
    signal: str | None = None
    lock: Derived | None = None
    delay: timedelta = timedelta(0)
    pivot: bool = False
    retry: Retry = STEP_RETRY
    compensation_retry: Retry = COMPENSATION_RETRY
    timeout: timedelta | None = None
    heartbeat_timeout: timedelta | None = None
    deadline: timedelta | None = None
    abort_on: tuple[type[BaseException], ...] = ()
    queue: str = DEFAULT_QUEUE
    formerly: tuple[str, ...] = ()
    element: tuple[str, int] | None = None

    @property
    def is_decided(self) -> bool:
        """Whether user code must say something before the step can begin."""
        return self.when is not None or self.each is not None or self.lock is not None

    @property
    def is_undoable(self) -> bool:
        """Whether there is a way to undo it."""
        return self.compensation is not None or self.kind is StepKind.CHILD


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaDefinition:
    """A compiled saga. ``steps`` stand in an order in which each comes after all that it depends on.

    Attributes:
        name: of the saga.
        steps: in order.
        deadline: how long it may take until it is compensated.
        compensation_deadline: how long compensating may take until it is given up.
        lock: the key that must be held as long as the saga runs.
        cancel_siblings: whether steps that run are cancelled when the saga turns back.
        fingerprint: the same for sagas of the same steps, edges and kinds; policies are no part of it.
        each: the names of its ``EACH`` steps.
        children: its steps that other sagas do.
        bounded: the elements of which only so many are worked on at a time.
        unfolded: what ``unfold`` has made of it before.
    """

    name: str
    steps: tuple[StepDefinition, ...]
    deadline: timedelta | None = None
    compensation_deadline: timedelta | None = None
    lock: Derived | None = None
    cancel_siblings: bool = False
    fingerprint: str = ""
    each: tuple[str, ...] = field(init=False, repr=False, compare=False)
    children: tuple[StepDefinition, ...] = field(init=False, repr=False, compare=False)
    bounded: tuple[StepDefinition, ...] = field(init=False, repr=False, compare=False)
    _by_name: dict[str, StepDefinition] = field(init=False, repr=False, compare=False)
    unfolded: dict[tuple[int | None, ...], SagaDefinition] = field(
        init=False, repr=False, compare=False, default_factory=dict[tuple[int | None, ...], "SagaDefinition"]
    )

    def __post_init__(self) -> None:
        by_name = {step.name: step for step in self.steps}
        each = tuple(step.name for step in self.steps if step.kind is StepKind.EACH)
        object.__setattr__(self, "each", each)
        children = tuple(step for step in self.steps if step.kind is StepKind.CHILD)
        object.__setattr__(self, "children", children)
        bounded = tuple(step for step in self.steps if step.element is not None and step.at_once is not None)
        object.__setattr__(self, "bounded", bounded)
        object.__setattr__(self, "_by_name", by_name)
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", _fingerprint(self))

    def __iter__(self) -> Iterator[StepDefinition]:
        return iter(self.steps)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> StepDefinition:
        return self._by_name[name]

    def dependents(self, name: str) -> frozenset[str]:
        """All steps that depend on ``name``, directly or through others: they are undone before it."""
        found = {name}
        for step in self.steps:
            if not found.isdisjoint(step.after):
                found.add(step.name)
        return frozenset(found - {name})

    @property
    def pivot(self) -> StepDefinition | None:
        """The step after whose beginning there is no way back; None if there is none."""
        return next((step for step in self.steps if step.pivot), None)


def _fingerprint(saga: SagaDefinition) -> str:
    """Names, edges, kinds, what is handed on: what an instance must not see change. Policies may change under way."""
    graph = [[s.name, s.action, s.compensation, sorted(s.after), s.inputs, *_kind(s)] for s in saga.steps]
    return hashlib.sha256(json.dumps([saga.name, graph]).encode()).hexdigest()[:32]


def _kind(step: StepDefinition) -> list[object]:
    """What makes a step another one than a plain action; nothing for a plain action, as it always was."""
    kind: list[object] = [step.kind.value, step.child, step.signal, step.probe, step.pivot, step.when is not None]
    return kind if kind != [StepKind.ACTION.value, None, None, None, False, False] else []
