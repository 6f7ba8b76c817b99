"""Sending hints, as well as it can be done, and when to look for those that were lost."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from ..core.work import Agenda
from ..errors import BrokerUnavailable
from ..ports import Broker, Delivery, Hint, Lane, Observer
from ..throttle import Throttle
from .observing import Observers

logger: logging.Logger = logging.getLogger("sagaflow.hints")


def next_look(agenda: Agenda, now: float, patience: float) -> float:
    """When a sweeper is to look at a saga that nobody has taken up: not after ``patience`` where time brings on more.

    What lies ahead has nobody to wait for it in memory, as long as no worker has taken the saga up.
    """
    dues = [work.due for work in agenda.works] + ([agenda.tick] if agenda.tick is not None else [])
    coming = [due for due in dues if due > now]
    if agenda.due is not None and agenda.due <= now:
        return min([now + patience, *coming])
    return min(coming, default=now + patience)


class Hints:
    """Tells workers that a saga has work. A hint that is not taken is no error: sweepers make up for it."""

    def __init__(self, broker: Broker, observers: Observers | None = None) -> None:
        self._broker = broker
        self._observers = observers
        self._throttle = Throttle(logger)

    async def send(self, saga_id: str, lanes: Iterable[Lane], trace: str | None = None) -> None:
        """Send one hint to each lane. ``trace`` is the saga's."""
        await self.send_all([Hint(saga_id, lane, trace) for lane in lanes])

    async def send_all(self, hints: Sequence[Hint]) -> None:
        """Send hints together: a broker that keeps us waiting does so for a few seconds, and not for each of them."""
        if not hints:
            return
        try:
            await self._broker.publish(hints)
        except BrokerUnavailable as error:
            self._throttle.warning("publish", "a hint was not taken, sweepers make up for it: %s", error)
            if self._observers is not None:
                self._observers.tell(Observer.hints_lost, len(hints))

    def reach(self, lanes: Iterable[Lane]) -> bool:
        """Whether a hint for one of these lanes can come to somebody."""
        return any(map(self._broker.reaches, lanes))

    async def announce(
        self, saga_id: str, lanes: Iterable[Lane], taken_up: Iterable[Delivery], trace: str | None = None
    ) -> None:
        """Send one hint to each lane, then settle those that were taken up: in this order none is lost in a crash."""
        try:
            await self.send(saga_id, lanes, trace)
        except Exception:
            logger.exception("saga %s: no hint could be sent", saga_id, extra={"saga_id": saga_id})
        for delivery in taken_up:
            await delivery.ack()
