"""What an engine is given, checked: every error says what to write instead."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from ..core.definition import SagaDefinition
from ..core.state import Direction, SagaState
from ..errors import ConfigurationError, PayloadError, PayloadTooLarge
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

TAGS_LIMIT = 16
"""How many tags a saga can have."""

TAG_LIMIT = 64
"""The longest tag, in characters."""


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


def check_act(act: str, reason: object, by: object, *, may_be_nobody: bool = False) -> None:
    """Refuse an act whose reason, or whoever asks for it, cannot stand in a record."""
    if not isinstance(reason, str):
        raise ValueError(f"{act}(reason=...): a reason is a str, not a {type(reason).__name__}")
    if len(reason) > REASON_LIMIT:
        raise ValueError(f"{act}(reason=...): {len(reason):,} characters; {REASON_LIMIT:,} are allowed")
    if by != "" or not may_be_nobody:
        checked_name("by", by)


def check_count(what: str, steps: Sequence[object], limit: int) -> None:
    """Refuse more steps than a saga may be made of.

    Raises:
        PayloadError: there are.
    """
    if len(steps) > limit:
        raise PayloadError(
            f"{what} was given {len(steps):,} steps; {limit:,} are allowed. Start several sagas, or raise "
            f"elements_limit in Settings."
        )


def checked_name(what: str, name: object) -> str:
    """Who somebody is, or what names an answer, if it can be kept."""
    if isinstance(name, str) and 0 < len(name) <= ID_LIMIT and name.isprintable():
        return name
    raise ValueError(f"{what}={_shown(name)}: write a printable str of 1 to {ID_LIMIT} characters")


def checked_id(saga_id: object) -> str:
    """The id, if it can be one."""
    if isinstance(saga_id, str) and 0 < len(saga_id) <= ID_LIMIT and saga_id.isprintable():
        return saga_id
    raise ValueError(f"{_shown(saga_id)} is no id of a saga: write a printable str of 1 to {ID_LIMIT} characters")


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags, each once, in the order in which they were given.

    Raises:
        ValueError: one of them can be no tag, or there are too many.

    Example:
        >>> checked_tags(["vip", "channel:web", "vip"])
        ('vip', 'channel:web')
    """
    if isinstance(tags, str):  # it is an iterable of str too
        raise ValueError(f"tags={_shown(tags)}: several tags are meant; write tags=[{_shown(tags)}]")
    found = tuple(dict.fromkeys(map(_checked_tag, tags)))
    if len(found) > TAGS_LIMIT:
        raise ValueError(f"{len(found)} tags are too many: write at most {TAGS_LIMIT}")
    return found


def _checked_tag(tag: object) -> str:
    if isinstance(tag, str) and 0 < len(tag) <= TAG_LIMIT and tag.isprintable() and not {" ", ","} & {*tag}:
        return tag
    raise ValueError(
        f"{_shown(tag)} is no tag: write a printable str of 1 to {TAG_LIMIT} characters without spaces and commas"
    )


def check_room(definition: SagaDefinition, after: SagaState, limit: int) -> None:
    """Refuse what would make a saga this one, if that is too large.

    Raises:
        PayloadTooLarge: it is.
    """
    size = after.payload_size
    for step in definition:
        heard = after.signals.get(step.signal or "")
        if heard is not None and after.steps[step.name].output is None:
            size += len(heard.output or "")  # the step will have an output of its own
    if size > limit:
        raise PayloadTooLarge(f"Saga {after.id!r} with what it is given here", size, limit)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= ID_LIMIT else f"{text[:ID_LIMIT]}…"
