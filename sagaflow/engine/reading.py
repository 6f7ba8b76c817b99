"""Reading many sagas, so that one that cannot be read keeps no other from being read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..batching import Batches
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


class Reader:
    """Loads single sagas; those that are asked for at the same moment, together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._batches: Batches[str, Stored | None] = Batches(self._load, "reader")

    async def load(self, saga_id: str) -> Stored | None:
        """The saga with its inbox; None if there is none.

        Raises:
            StoreUnavailable, ConfigurationError, ...: as ``Store.load``, about this saga.
        """
        return await self._batches.submit(saga_id)

    async def _load(self, saga_ids: Sequence[str]) -> list[Stored | Exception | None]:
        try:
            found = await self._store.load(list(dict.fromkeys(saga_ids)))
        except StoreUnavailable:
            raise
        except Exception as error:
            if len(saga_ids) == 1:
                return [error]
            # One of them cannot be read; the others are not to suffer for it.
            return [answer for saga_id in saga_ids for answer in await self._load([saga_id])]
        return [found.get(saga_id) for saga_id in saga_ids]
