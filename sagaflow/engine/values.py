"""Asking user code what it decides: whether a step is done, for which elements, under which lock."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, Final

from ..core.definition import Derived, StepDefinition
from ..core.events import Decided, Undecidable
from ..core.state import Direction, SagaState
from ..errors import PayloadError
from ..execution import Execution, attach
from ..record import Family
from .binding import Binding
from .failures import describe

KEY_LIMIT: Final = 500
"""The longest key of a lock, in characters."""

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def decide_step(
    binding: Binding, state: SagaState, step: StepDefinition, family: Family, at: float, *, limit: int, size: int
) -> Decided | Undecidable:
    """What user code says of a step that could begin. Whatever it raises makes the step fail, cleanly.

    Args:
        limit: characters that an element may take.
        size: elements that a list may have.
    """
    try:
        return _decide(binding, state, step, family, at, limit, size)
    except Exception as error:
        return Undecidable(step.name, binding.codec.encode(*describe(error)), at)


def _decide(  # what decide_step was given
    binding: Binding, state: SagaState, step: StepDefinition, family: Family, at: float, limit: int, size: int
) -> Decided:
    ask = _Asking(binding, state, step, family)
    if step.when is not None and not ask(step.when):
        return Decided(step.name, at, proceed=False)
    lock = lock_key(ask(step.lock)) if step.lock is not None else None
    if step.each is None:
        return Decided(step.name, at, lock=lock)
    items = _as_list(step, ask(step.each), size)
    elements = tuple(binding.encode_item(step, item, limit) for item in items)
    return Decided(step.name, at, elements=elements, lock=lock)


def _as_list(step: StepDefinition, found: Any, size: int) -> list[Any]:
    if found is None:
        return []  # the list is the output of a step that was skipped
    if isinstance(found, str | bytes) or _is(found, Mapping) or not _is(found, Iterable):
        raise TypeError(f"each= of step {step.name!r} gave a {type(found).__name__}, which is no list")
    items = list(found)
    if len(items) > size:
        raise PayloadError(
            f"each= of step {step.name!r} gave {len(items):,} elements; {size:,} are allowed. Let each element stand "
            f"for several things, or raise elements_limit in Settings."
        )
    return items


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind)


class _Asking:
    """Finds values out for one step."""

    def __init__(self, binding: Binding, state: SagaState, step: StepDefinition, family: Family) -> None:
        self._binding = binding
        self._state = state
        self._step = step
        self._family = family
        self._context: Any = binding.decode_context(state)

    def __call__(self, way: Derived) -> Any:
        if way.step is not None:
            (value,) = self._binding.inputs(self._state, (way.step,), self._family).values()
            return value
        if way.method is None:
            return derive(way, self._context)
        execution = Execution(
            saga_id=self._state.id,
            step_name=self._step.name,
            direction=Direction.FORWARD,
            detached=False,
        )
        handler = attach(self._binding.handler(way.method), execution)
        outputs = self._binding.inputs(self._state, way.inputs, self._family)
        return _plain(getattr(handler, way.method)(self._context, **outputs))


def derive(way: Derived, context: Any) -> Any:
    """A value that the context alone decides."""
    if way.function is not None:
        return _plain(way.function(context))
    if way.field is not None:
        return _Fields(context)[way.field]
    return Formatter().vformat(str(way.template), (), _Fields(context))


def lock_key(value: object) -> str:
    """The key of a lock, if it can be one.

    Raises:
        ValueError: it cannot.
    """
    if isinstance(value, str) and 0 < len(value) <= KEY_LIMIT and not _SURROGATES.search(value):
        return value
    raise ValueError(
        f"lock= gave {type(value).__name__}, but a key is a str of 1 to {KEY_LIMIT} characters without lone surrogates"
    )


def _plain(value: object) -> object:
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("what decides is a plain function: write 'def', and fetch what it needs in an earlier step")
    return value


class _Fields(Mapping[str, Any]):
    """The fields of a context, whatever it is, by name."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getitem__(self, name: str) -> Any:
        if _is(self._context, Mapping):
            return self._context[name]
        return getattr(self._context, name)

    def __iter__(self) -> Any:
        raise TypeError("the fields of a context are only looked up")

    def __len__(self) -> int:
        raise TypeError("the fields of a context are only looked up")
