"""Reading many sagas, so that one that cannot be read keeps no other from being read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import StoreUnavailable
from ..ports import Store, Stored

logger: logging.Logger = logging.getLogger("sagaflow.store")


async def load_readable(store: Store, saga_ids: Sequence[str]) -> list[Stored]:
    """The sagas among these that exist and can be read; the others are logged.

    Raises:
        StoreUnavailable
    """
    try:
        return list((await store.load(saga_ids)).values())
    except StoreUnavailable:
        raise
    except Exception:
        if len(saga_ids) == 1:
            logger.exception("saga %s cannot be read", saga_ids[0], extra={"saga_id": saga_ids[0]})
            return []
    return [stored for saga_id in saga_ids for stored in await load_readable(store, [saga_id])]
