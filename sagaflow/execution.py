"""What a step knows of its own execution, and the keys by which the outside world knows it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal, TypeVar

from .core.state import Direction

Outcome = Literal["completed", "unknown"]
"""What is known of the step that a compensation undoes."""

KEY_LIMIT: Final = 64
"""The longest key, in characters. Stripe takes 255, but many a payment provider no more than 64."""

_SUFFIX: Final = {Direction.FORWARD: "", Direction.UNDO: "/undo", Direction.PROBE: "/look"}
_ROOM: Final = max(map(len, _SUFFIX.values()))

# No blanks, which HTTP headers lose at their ends. A leading "~" marks the hashed form. The step is what comes after
# the last "/"; "undo" and "look" are never one, so that no step's key is the key of another one's compensation.
_PLAIN_ID: Final = re.compile(r"(?!~)[!-~]+")
_PLAIN_STEP: Final = re.compile(r"(?!(?:undo|look)$)[!-.0-~]+")


def step_key(saga_id: str, step: str, generation: int = 0) -> str:
    """The name of a step of a saga for the outside: ASCII, at most 59 characters, never that of another step.

    It is ``<saga id>/<step>`` wherever that is short and plain enough, else ``~<step>~<hash>``: the beginning of the
    step's name, and 128 bits of BLAKE2b over both. A child saga has the key of its step for its id.

    Args:
        saga_id, step: what is named.
        generation: how often an operator has given the step a new key.

    Example:
        >>> step_key("o-1", "charge")
        'o-1/charge'
    """
    step = f"{step}~{generation}" if generation else step
    readable = f"{saga_id}/{step}"
    is_plain = _PLAIN_ID.fullmatch(saga_id) and _PLAIN_STEP.fullmatch(step)
    if is_plain and len(readable) <= KEY_LIMIT - _ROOM:
        return readable
    # JSON tells ("ab", "c") from ("a", "bc"), and takes lone surrogates too.
    digest = blake2b(json.dumps([saga_id, step]).encode(), digest_size=16).hexdigest()
    return f"~{re.sub('[^A-Za-z0-9_]', '', step)[:24]}~{digest}"


def _detached_id() -> str:
    return f"detached-{secrets.token_hex(8)}"


def _nobody_listens() -> None:
    """The heartbeat of a method that was called by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One attempt of one step in one direction. Without arguments it is *detached*: a method was called by hand.

    Attributes:
        saga_id: the saga that it belongs to.
        step_name: the step that it does or undoes.
        attempt: counted from 1, each direction for itself.
        direction: whether the step is done, undone, or looked for.
        generation: how often an operator has given the step a new key.
        outcome: in a compensation, what is known of the step; else None.
        deadline: when the saga is compensated unless it has ended; None if it has no deadline.
        detached: whether no engine knows of it.
        pulse: what ``heartbeat`` calls.

    Raises:
        ValueError: an outcome is given elsewhere than in a compensation, or none there.
    """

    saga_id: str = field(default_factory=_detached_id)
    step_name: str = "detached"
    attempt: int = 1
    direction: Direction = Direction.FORWARD
    generation: int = 0
    outcome: Outcome | None = None
    deadline: datetime | None = None
    detached: bool = True
    pulse: Callable[[], None] = field(default=_nobody_listens, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.outcome is not None) != (self.direction is Direction.UNDO):
            raise ValueError(
                f"Execution(direction={self.direction}, outcome={self.outcome!r}): a compensation has an outcome, "
                f"'completed' or 'unknown', and a step has none"
            )

    @property
    def step_key(self) -> str:
        """The same in a step, its probe and its compensation: how to find what an attempt did."""
        return step_key(self.saga_id, self.step_name, self.generation)

    @property
    def idempotency_key(self) -> str:
        """The same for all attempts of this call, and for nothing else; at most 64 characters."""
        return self.step_key + _SUFFIX[self.direction]


_ATTRIBUTE: Final = "__saga_execution__"

S = TypeVar("S")


def attach(instance: S, execution: Execution) -> S:
    """Tell a fresh instance of a saga which execution it serves; from then on it takes no attributes.

    Raises:
        TypeError: it has served another execution: its factory does not make a new instance for each call.
    """
    known = execution_of(instance)
    if known is not None and not known.detached:
        name = type(instance).__name__
        raise TypeError(
            f"{name}: this instance has served step {known.step_name!r} of saga {known.saga_id!r} already. A factory "
            f"makes a new one for each call: write partial({name}, shop) or lambda: {name}(shop)."
        )
    return reattach(instance, execution)


def reattach(instance: S, execution: Execution) -> S:
    """As ``attach``, but whatever the instance has served before; for tests."""
    object.__setattr__(instance, _ATTRIBUTE, execution)
    return instance


def execution_of(instance: object) -> Execution | None:
    """What the instance was attached to; None if to nothing yet."""
    known: Any = vars(instance).get(_ATTRIBUTE)
    return known if isinstance(known, Execution) else None
