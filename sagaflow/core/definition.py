"""What a saga is, once compiled: an immutable graph of steps with their policies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from .retry import COMPENSATION_RETRY, STEP_RETRY, Retry

DEFAULT_QUEUE = "default"
"""The logical queue of steps that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDefinition:
    """One step: its place in the graph, its methods by name, its policies.

    Attributes:
        name: unique in its saga.
        action: the method that does it.
        compensation: the method that undoes it, if there is one.
        accepts_unknown: whether the compensation can be called without an output, for an unknown outcome.
        takes_output: whether the compensation takes an output at all.
        after: the steps that it waits for, reduced (none of them implied by another).
        inputs: the earlier steps whose outputs it takes, in the order of its parameters.
        retry, compensation_retry: the policies in force, defaults applied.
        timeout: how long one attempt may take, in either direction; None is for ever.
        abort_on: exception types that mean "a business failure: nothing happened, do not try again".
        queue: the logical queue whose workers run it.
    """

    name: str
    action: str
    compensation: str | None = None
    accepts_unknown: bool = True
    takes_output: bool = True
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    retry: Retry = STEP_RETRY
    compensation_retry: Retry = COMPENSATION_RETRY
    timeout: timedelta | None = None
    abort_on: tuple[type[BaseException], ...] = ()
    queue: str = DEFAULT_QUEUE


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaDefinition:
    """A compiled saga. ``steps`` stand in an order in which each comes after all that it depends on."""

    name: str
    steps: tuple[StepDefinition, ...]
    deadline: timedelta | None = None
    fingerprint: str = field(init=False)
    _by_name: dict[str, StepDefinition] = field(init=False, repr=False, compare=False)
    _dependents: dict[str, frozenset[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = {step.name: step for step in self.steps}
        dependents: dict[str, frozenset[str]] = {}
        for step in reversed(self.steps):
            direct = {other.name for other in self.steps if step.name in other.after}
            dependents[step.name] = frozenset(direct.union(*(dependents[name] for name in direct)))
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_dependents", dependents)
        object.__setattr__(self, "fingerprint", _fingerprint(self))

    def __iter__(self) -> Iterator[StepDefinition]:
        return iter(self.steps)

    def __getitem__(self, name: str) -> StepDefinition:
        return self._by_name[name]

    def dependents(self, name: str) -> frozenset[str]:
        """All steps that depend on ``name``, directly or through others: they are undone before it."""
        return self._dependents[name]


def _fingerprint(saga: SagaDefinition) -> str:
    """Names, edges and what is handed on: what an instance must not see change. Policies may change under way."""
    graph = [[s.name, s.action, s.compensation, sorted(s.after), s.inputs] for s in saga.steps]
    return hashlib.sha256(json.dumps([saga.name, graph]).encode()).hexdigest()[:32]
