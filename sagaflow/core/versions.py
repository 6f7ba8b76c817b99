"""Graphs as text: a saga goes on by the graph that it was started with, whatever its class looks like by now.

The graph (steps, edges, kinds, names) is kept; methods and policies are those of today. A step that was renamed is
found by ``formerly``. What today's class cannot do for an old graph is listed, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec
from msgspec import Struct

from .definition import Derived, SagaDefinition, StepDefinition, StepKind
from .state import Direction


class _Step(Struct, frozen=True, omit_defaults=True):
    name: str
    action: str
    kind: StepKind = StepKind.ACTION
    compensation: str | None = None
    accepts_unknown: bool = True
    probe: str | None = None
    after: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    conditional: bool = False
    child: str | None = None
    signal: str | None = None
    pivot: bool = False
    queue: str = ""


class Revived(Struct, frozen=True):
    """An old graph, with the methods and policies of today.

    Attributes:
        definition: what sagas of that graph run by.
        names: from the name of a step in the graph to its name today.
        lacking: what today's class cannot do, by step and direction, and why.
    """

    definition: SagaDefinition
    names: Mapping[str, str]
    lacking: Mapping[tuple[str, Direction], str]


_steps = msgspec.json.Decoder(list[_Step])


def to_text(definition: SagaDefinition) -> str:
    """The graph of a saga, to be kept."""
    steps = [
        _Step(
            name=step.name,
            action=step.action,
            kind=step.kind,
            compensation=step.compensation,
            accepts_unknown=step.accepts_unknown,
            probe=step.probe,
            after=step.after,
            inputs=step.inputs,
            conditional=step.when is not None,
            child=step.child,
            signal=step.signal,
            pivot=step.pivot,
            queue=step.queue,
        )
        for step in definition
    ]
    return msgspec.json.encode(steps).decode()


def revive(body: str, fingerprint: str, today: SagaDefinition) -> Revived:
    """The graph that ``to_text`` wrote, as far as today's class can run it."""
    lacking: dict[tuple[str, Direction], str] = {}
    graph = _steps.decode(body)
    names = {step.name: now.name for step in graph if (now := _today(step.name, today)) is not None}
    before = {now: then for then, now in names.items()}
    ancestors: dict[str, set[str]] = {}
    steps: list[StepDefinition] = []
    for step in graph:
        ancestors[step.name] = set(step.after).union(*(ancestors[name] for name in step.after))
        if step.name not in names:
            why = f"there is no step {step.name!r} any more; give the one that took its place formerly={step.name!r}"
            methods = {Direction.UNDO: step.compensation, Direction.PROBE: step.probe}
            lacking |= {(step.name, way): why for way in Direction if methods.get(way, step.action) is not None}
            steps.append(_without_code(step))
            continue
        now = today[names[step.name]]
        revived, faults = _with_code(step, now, before, ancestors[step.name])
        lacking |= {(step.name, direction): why for direction, why in faults}
        steps.append(revived)
    return Revived(replace(today, steps=tuple(steps), fingerprint=fingerprint), names, lacking)


def read_graph(graph: str, fingerprint: str, saga: str) -> SagaDefinition:
    """The graph that ``to_text`` wrote, by itself: what depends on what, and what can be undone, without any code."""
    steps = tuple(_without_code(step) for step in _steps.decode(graph))
    return SagaDefinition(name=saga, steps=steps, fingerprint=fingerprint)


def _today(name: str, today: SagaDefinition) -> StepDefinition | None:
    if name in today:
        return today[name]
    return next((step for step in today if name in step.formerly), None)


def _without_code(step: _Step) -> StepDefinition:
    return StepDefinition(
        name=step.name,
        action=step.action,
        kind=step.kind,
        compensation=step.compensation,
        accepts_unknown=step.accepts_unknown,
        probe=step.probe,
        after=step.after,
        child=step.child,
        signal=step.signal,
        pivot=step.pivot,
        queue=step.queue,
    )


def _with_code(
    step: _Step, now: StepDefinition, before: Mapping[str, str], ancestors: set[str]
) -> tuple[StepDefinition, list[tuple[Direction, str]]]:
    """The step with today's code, and what today's code cannot do for it."""
    faults: list[tuple[Direction, str]] = []
    if now.kind is not step.kind or now.child != step.child:
        faults += [(direction, f"step {now.name!r} is of another kind now") for direction in Direction]
    when = now.when if step.conditional else None
    for name in _needed(now, when):
        if before.get(name) not in ancestors:
            faults.append((Direction.FORWARD, f"it takes the output of {name!r} now, which this saga does not have"))
    if step.compensation is not None and now.compensation is None:
        faults.append((Direction.UNDO, f"step {now.name!r} has no compensation any more"))
    if step.probe is not None and now.probe is None:
        faults.append((Direction.PROBE, f"step {now.name!r} has no probe any more"))
    revived = replace(
        now,
        name=step.name,
        after=step.after,
        inputs=_renamed(now.inputs, before),
        # What the graph says is undone, or probed, stays so: what nobody here can do is not as if it were done.
        compensation=step.compensation and (now.compensation or step.compensation),
        accepts_unknown=now.accepts_unknown if now.compensation is not None else step.accepts_unknown,
        probe=step.probe and (now.probe or step.probe),
        when=_derived(when, before),
        each=_derived(now.each, before),
        signal=step.signal,
        pivot=step.pivot,
    )
    return revived, faults


def _needed(step: StepDefinition, when: Derived | None) -> Iterable[str]:
    ways = [way for way in (when, step.each) if way is not None]
    return dict.fromkeys([*step.inputs, *(name for way in ways for name in way.inputs)])


def _renamed(names: Iterable[str], before: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(before.get(name, name) for name in names)


def _derived(way: Derived | None, before: Mapping[str, str]) -> Derived | None:
    if way is None:
        return None
    step = None if way.step is None else before.get(way.step, way.step)
    return replace(way, step=step, inputs=_renamed(way.inputs, before))
