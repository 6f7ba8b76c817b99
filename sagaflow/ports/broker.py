"""How workers hear that a saga has work for them. A message is only a hint: the store is the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from ..core.state import Direction


class Lane(Struct, frozen=True):
    """One stream of work: a logical queue, in one direction. Each lane is one queue of the broker."""

    queue: str
    direction: Direction


class Hint(Struct, frozen=True):
    """Look at this saga: it may have work on this lane. It may be lost, doubled, delayed or reordered.

    ``trace`` is the W3C ``traceparent`` that the saga carries, for tools that follow messages. Whoever works on the
    saga goes by the one that is stored with it, and a broker need not hand it on.
    """

    saga_id: str
    lane: Lane
    trace: str | None = None


class Delivery(Protocol):
    """One hint in a worker's hands. Exactly one of its methods is called, once, within a few seconds.

    None of them raises when the connection is gone: then the broker delivers the hint again, which is harmless.
    """

    @property
    def hint(self) -> Hint: ...

    async def ack(self) -> None:
        """Done with: the store knows all that there is to know."""
        ...

    async def requeue(self) -> None:
        """Give it to another worker, or to this one later."""
        ...

    async def dead_letter(self, reason: str) -> None:
        """Put it aside for a person to look at, with the reason. It is no longer delivered."""
        ...


class Subscription(Protocol):
    """A worker's share of some lanes."""

    async def receive(self) -> Delivery:
        """The next hint; waits for one, through reconnections of the broker, for as long as it takes.

        Nothing lies with a worker that does not call this: what was fetched ahead and is not received within about a
        second goes back to the broker, for others. A message that is no hint is dead-lettered and not delivered.
        Cancelling loses no hint.

        Raises:
            BrokerUnavailable: the subscription is closed.
        """
        ...

    async def close(self) -> None:
        """Deliver no more. What was received and not yet settled can still be settled; the rest goes back."""
        ...


class Broker(Protocol):
    """Carries hints to workers. All waits are bounded; nothing it raises is a ``CancelledError`` of its own making."""

    async def open(self) -> None:
        """Begin to connect, and go on trying for as long as the broker is away: a broker that is down is no error.

        Raises:
            ConfigurationError: what it was told can never work (a bad URL, refused credentials).
        """
        ...

    async def close(self) -> None:
        """Release everything; idempotent. Subscriptions are closed with it."""
        ...

    async def publish(self, hints: Sequence[Hint]) -> None:
        """Hand hints over; returns when the broker has confirmed each of them.

        Raises:
            BrokerUnavailable: at least one was not confirmed in time (it may arrive all the same).
            Unroutable: at least one has no queue.
        """
        ...

    async def subscribe(self, lanes: Sequence[Lane], *, prefetch: int) -> Subscription:
        """Take a share of these lanes, declaring what the broker needs for them (also after it lost its disk).

        ``prefetch`` bounds the hints that are in this process at once, unsettled ones included; a broker may need at
        least one for each lane.

        Raises:
            ConfigurationError: the broker has one of these lanes with other properties, or does not let us have it.
            BrokerUnavailable: the broker is not open.
            ValueError: there is no lane, or ``prefetch`` is below 1.
        """
        ...

    def reaches(self, lane: Lane) -> bool:
        """Whether a hint for this lane can come to somebody, now or later; False only if that is known not to be so.

        A broker within one process says no for a lane that nobody there takes: another process that works on the same
        store would never hear of it.
        """
        ...

    @property
    def health(self) -> str:
        """``ok``, or what is wrong in a few words: ``connecting``, ``blocked: low on memory``, …"""
        ...
