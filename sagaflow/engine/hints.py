"""Sending hints, as well as it can be done."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..errors import BrokerUnavailable
from ..ports import Broker, Hint, Lane
from ..throttle import Throttle

logger: logging.Logger = logging.getLogger("sagaflow.hints")


class Hints:
    """Tells workers that a saga has work. A hint that is not taken is no error: sweepers make up for it."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._throttle = Throttle(logger)

    async def send(self, saga_id: str, lanes: Iterable[Lane]) -> None:
        """Send one hint to each lane."""
        hints = [Hint(saga_id, lane) for lane in lanes]
        if not hints:
            return
        try:
            await self._broker.publish(hints)
        except BrokerUnavailable as error:
            self._throttle.warning("publish", "a hint was not taken, sweepers make up for it: %s", error)
