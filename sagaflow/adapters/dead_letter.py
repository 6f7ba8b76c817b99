"""A message that was put aside, as operators see it."""

from __future__ import annotations

from msgspec import Struct

from ..ports.broker import Hint


class DeadLetter(Struct, frozen=True):
    """A message that was put aside.

    Attributes:
        reason: why, as whoever put it aside wrote it; ``delivery_limit``, ``rejected`` and the like are RabbitMQ's own.
        queue: the broker's queue that it was in; empty if that is not known.
        hint: what it was; None for a message that was no hint.
        at: when it was put aside, in seconds since the epoch by the clock of whoever did; None if that is not known.
        id: names the message, while it is there; empty if nothing does.
    """

    reason: str
    queue: str
    hint: Hint | None
    at: float | None
    id: str = ""
