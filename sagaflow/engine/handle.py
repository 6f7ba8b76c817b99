"""A started saga in its caller's hands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from ..answer import Answer
from ..core.state import SagaStatus
from ..errors import SagaCompensated, SagaFailed
from ..record import SagaRecord

if TYPE_CHECKING:
    from .starting import Starting

C = TypeVar("C")


class SagaHandle(Generic[C]):
    """One saga, wherever it runs. Handles are cheap, and several may stand for one saga.

    Example:
        >>> async def sell(order: Order) -> str:
        ...     handle = await OrderSaga.start(order, id=order.order_id)
        ...     saga = await handle.result(timeout=timedelta(seconds=30))
        ...     return saga.output(OrderSaga.charge).transaction_id
    """

    def __init__(self, engine: Starting, saga_id: str) -> None:
        self._engine = engine
        self._id = saga_id

    @property
    def id(self) -> str:
        """The id of the saga."""
        return self._id

    def __repr__(self) -> str:
        return f"<SagaHandle {self._id}>"

    async def record(self) -> SagaRecord[C]:
        """The saga as it is now.

        Raises:
            SagaNotFound, StoreUnavailable
        """
        return await self._engine.get(self._id)

    async def status(self) -> SagaStatus:
        """Where it stands now.

        Raises:
            SagaNotFound, StoreUnavailable
        """
        return (await self.record()).status

    async def changes(self) -> AsyncGenerator[SagaRecord[C], None]:
        """Its record now, and each newer one that is seen, up to the one in which it has ended.

        At once for what this process does, within a second for what others do. States that follow each other quickly
        may be skipped; the last one never is. A saga that has ended, and was told to compensate since, goes on.
        """
        async with aclosing(self._engine.watch(self._id)) as records:
            async for record in records:
                yield record

    async def wait(self, *, timeout: timedelta | None = None) -> SagaRecord[C]:
        """Its record once it has ended, however that was; if it was told to compensate, once that has ended.

        Raises:
            TimeoutError: it has not ended in time; it goes on.
            SagaNotFound, StoreUnavailable
        """
        async with asyncio.timeout(timeout.total_seconds() if timeout is not None else None):
            return await self._engine.wait(self._id)

    async def result(self, *, timeout: timedelta | None = None) -> SagaRecord[C]:
        """Its record once it has completed.

        Raises:
            SagaCompensated: it was undone; ``.saga`` is its record.
            SagaFailed: something is left undone; ``.saga`` is its record.
            TimeoutError: it has not ended in time; it goes on.
            SagaNotFound, StoreUnavailable
        """
        record = await self.wait(timeout=timeout)
        if record.is_compensated:
            raise SagaCompensated(record)
        if record.is_failed:
            raise SagaFailed(record)
        return record

    async def compensate(self, *, reason: str = "compensation was requested") -> Answer:
        """Undo it, whether it runs or has completed. See ``Engine.compensate``."""
        return await self._engine.compensate(self._id, reason=reason)

    async def cancel(self, *, reason: str = "it was cancelled") -> Answer:
        """Stop it and undo it, while it runs. See ``Engine.cancel``."""
        return await self._engine.cancel(self._id, reason=reason)
