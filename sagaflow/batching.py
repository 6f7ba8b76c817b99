"""One large call in place of many small ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar, cast

_WORTH_A_CALL: Final = 20
"""So many items in one more call save more, by what is done meanwhile, than they would by going with still others."""

T = TypeVar("T")
R = TypeVar("R")


class Batches(Generic[T, R]):
    """Hands items to a call that takes many, in batches.

    While one call is under way, what comes in the meantime waits and makes up the next one. When none is, an item is
    on its way at once: waiting for company never costs time. Where ``at_once`` allows it, a further call is made beside
    the first as soon as it pays: then neither side waits for the other to have done with a whole batch.

    Args:
        call: gives one answer for each item, in order. An answer that is an exception is raised for that item alone;
            what the call itself raises, for all of them.
        name: of the task that makes the calls.
        largest: items in one call, at most.
        at_once: calls under way at the same time, at most. Their items must not depend on each other's order.

    Example:
        >>> async def square(numbers: Sequence[int]) -> list[int | Exception]:
        ...     print("asked for", *numbers)
        ...     return [number**2 for number in numbers]
        >>> async def main() -> None:
        ...     squares = Batches(square, "squares")
        ...     print(await asyncio.gather(*map(squares.submit, (1, 2, 3))))
        >>> asyncio.run(main())
        asked for 1 2 3
        [1, 4, 9]
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        name: str,
        *,
        largest: int = 200,
        at_once: int = 1,
    ) -> None:
        self._call = call
        self._name = f"sagaflow: {name}"
        self._largest = largest
        self._at_once = at_once
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    def submit(self, item: T) -> asyncio.Future[R]:
        """The answer for one item, once there is one. Whoever is cancelled while awaiting it takes nobody along."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        under_way = len(self._sending)
        if under_way == 0 or (under_way < self._at_once and len(self._waiting) >= _WORTH_A_CALL):
            self._sending.add(asyncio.create_task(self._send(), name=self._name))
        return answer

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
                answers = await self._answers([item for item, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # cancelled
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._sending.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answers(self, items: Sequence[T]) -> Sequence[R | Exception]:
        try:
            return await self._call(items)
        except Exception as error:
            return [error] * len(items)
