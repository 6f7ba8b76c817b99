"""What an engine is given, checked: every error says what to write instead."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from ..core.state import Direction
from ..errors import ConfigurationError
from ..ports import Codec, Lane
from .binding import Binding, Factory, class_of

Work = Literal["all", "steps", "compensations", "none"]

_DIRECTIONS: dict[Work, tuple[Direction, ...]] = {
    "all": (Direction.FORWARD, Direction.UNDO),
    "steps": (Direction.FORWARD,),
    "compensations": (Direction.UNDO,),
    "none": (),
}

ID_LIMIT = 200
"""The longest id of a saga, in characters."""

REASON_LIMIT = 1_000
"""The longest reason of a request, in characters."""


def bind(sagas: Iterable[Factory], codec: Codec) -> dict[str, Binding]:
    """The sagas by name, each with what the engine needs to know of it."""
    bindings: dict[str, Binding] = {}
    for factory in sagas:
        binding = Binding.of(factory, codec)
        name = binding.definition.name
        if name in bindings:
            one, other = class_of(bindings[name].factories("")), class_of(factory)
            raise ConfigurationError(
                f"two sagas are called {name!r}: {one.__qualname__} and {other.__qualname__}; "
                f"write class {other.__name__}(..., name='...')"
            )
        bindings[name] = binding
    return bindings


def lanes_of(
    bindings: Iterable[Binding], work: Work, queues: Sequence[str] | None, *, shared: Collection[str]
) -> frozenset[Lane]:
    """The lanes to serve. ``shared`` are the queues of libraries: sagas made of data may name any others too."""
    if work not in _DIRECTIONS:
        raise ConfigurationError(f"Engine(work={work!r}): write one of {', '.join(map(repr, _DIRECTIONS))}")
    named = {step.queue for binding in bindings for step in binding.definition}
    named.update(shared)
    for queue in queues or ():
        if queue not in named and not shared:
            raise ConfigurationError(
                f"Engine(queues=[{queue!r}]): no step of these sagas is on that queue; they name {sorted(named)}"
            )
    return frozenset(Lane(q, d) for q in (named if queues is None else queues) for d in _DIRECTIONS[work])


def check_reason(act: str, reason: str) -> None:
    """Refuse a reason that is too long for a record."""
    if len(reason) > REASON_LIMIT:
        raise ValueError(f"{act}(reason=...): {len(reason):,} characters; {REASON_LIMIT:,} are allowed")


def checked_name(what: str, name: object) -> str:
    """Who somebody is, or what names an answer, if it can be kept."""
    if isinstance(name, str) and 0 < len(name) <= ID_LIMIT and name.isprintable():
        return name
    raise ValueError(f"{what}={name!r}: write a printable str of 1 to {ID_LIMIT} characters")


def checked_id(saga_id: object) -> str:
    """The id, if it can be one."""
    if isinstance(saga_id, str) and 0 < len(saga_id) <= ID_LIMIT and saga_id.isprintable():
        return saga_id
    shown = repr(saga_id) if len(repr(saga_id)) <= ID_LIMIT else f"{repr(saga_id)[:ID_LIMIT]}…"
    raise ValueError(f"{shown} is no id of a saga: write a printable str of 1 to {ID_LIMIT} characters")
