"""An output that has come before is recognised, whatever text its codec has made of it this time.

The core compares payloads as texts: what comes again, from an attempt that was given up or from outside, is the output
that is recorded already, and is undone once. But a codec may write one value in two ways: one that encrypts never
writes a text twice, its key may be a new one by now, and a set has no order. So before the core sees an output, its
text is replaced by that of an equal one which the saga has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from ..core.definition import StepDefinition
from ..core.events import Event, Probed, ResolutionRequested, Signalled, SkipRequested, Succeeded
from ..core.state import SagaState
from .binding import Binding

_canonical: Final = msgspec.json.Encoder(order="deterministic")


def recognised(binding: Binding, state: SagaState, event: Event) -> Event:
    """The event, with the text by which the saga knows its output already, if it does."""
    match event:
        case Succeeded() | Probed() | SkipRequested() | ResolutionRequested() if event.output is not None:
            plan = binding.plan(state)
            steps = [plan[event.step]] if event.step in plan else []
        case Signalled() if event.output is not None:
            steps = [step for step in binding.definition if step.signal == event.signal]
        case _:
            return event
    for step in steps:
        for known in _known(state, step):
            if _is_same(binding, step, known, event.output):
                return replace(event, output=known)
    return event


def _known(state: SagaState, step: StepDefinition) -> Iterator[str]:
    """The outputs of a step that have come."""
    has = state.steps[step.name]
    if has.output is not None:
        yield has.output
    yield from has.late
    received = state.signals.get(step.signal) if step.signal is not None else None
    if received is not None and received.output is not None:
        yield received.output


def _is_same(binding: Binding, step: StepDefinition, one: str, other: str) -> bool:
    """Whether two texts are one value: by all that it is made of, not by its ``==``, which may pass over something."""
    if one == other:
        return True
    try:
        texts = [_canonical.encode(binding.decode_output(step, text)) for text in (one, other)]
    except Exception:  # nobody can tell, say for want of a key: then it is another output, and is undone as well
        return False
    return texts[0] == texts[1]
