"""Sending hints, as well as it can be done."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ..errors import BrokerUnavailable
from ..ports import Broker, Hint, Lane
from .throttle import Throttle

_throttle = Throttle(logging.getLogger("sagaflow.hints"))


async def publish(broker: Broker, saga_id: str, lanes: Iterable[Lane]) -> None:
    """Send one hint to each lane. A hint that is not taken is no error: sweepers make up for it."""
    hints = [Hint(saga_id, lane) for lane in lanes]
    if not hints:
        return
    try:
        await broker.publish(hints)
    except BrokerUnavailable as error:
        _throttle.warning("publish", "a hint was not taken, sweepers make up for it: %s", error)
