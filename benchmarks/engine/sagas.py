"""The sagas that SagaFlow is measured with, and what each must have become."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import new_class
from typing import Any, Final

from benchmarks.task import GROUP, SEQUENCE, UNDONE
from sagaflow import Abort, Saga, SagaRecord, StepStatus, step

HOPS: Final = "hops"
"""Three steps on two queues that are served by different workers."""
WAITING: Final = "waiting"
"""Three steps, each of which waits for as long as the context says, in seconds."""
ELEMENTS: Final = "elements"
"""A step for each of as many elements as the context says, which waits for 50 ms, between two others."""
ELEMENT_SECONDS: Final = 0.05
CHAIN: Final = "chain of "
"""Before a number: so many steps in a row."""


class Ends(defaultdict[str, asyncio.Event]):
    """Saga by saga, whether its last handler has run in this process; what is left is the end's own commit."""

    def __init__(self) -> None:
        super().__init__(asyncio.Event)


@dataclass
class Calls:
    """What the handlers of one process have done; ``ends`` is kept if somebody there waits for it."""

    count: int = 0
    ends: Ends | None = None

    def note(self, saga_id: str, *, is_last: bool = False) -> None:
        self.count += 1
        if is_last and self.ends is not None:
            self.ends[saga_id].set()


@dataclass
class Sequence(Saga[str]):
    """The context is the workload: it says whether the third step fails."""

    calls: Calls

    @step(compensate="undo_one")
    async def one(self, workload: str) -> str:
        self.calls.note(self.saga_id)
        return f"one of {self.saga_id}"

    async def undo_one(self, workload: str, output: str | None) -> None:
        self.calls.note(self.saga_id, is_last=True)

    @step(compensate="undo_two")
    async def two(self, workload: str, one: str) -> str:
        self.calls.note(self.saga_id)
        return f"two of {self.saga_id}"

    async def undo_two(self, workload: str, output: str | None) -> None:
        self.calls.note(self.saga_id)

    @step
    async def three(self, workload: str, two: str) -> str:
        if workload == UNDONE:
            self.calls.note(self.saga_id)
            raise Abort("as it was asked to")
        self.calls.note(self.saga_id, is_last=True)
        return f"three of {self.saga_id}"


@dataclass
class Group(Saga[str]):
    """Two steps side by side between two others."""

    calls: Calls

    @step
    async def one(self, workload: str) -> str:
        self.calls.note(self.saga_id)
        return f"one of {self.saga_id}"

    @step(parallel="middle")
    async def left(self, workload: str, one: str) -> str:
        self.calls.note(self.saga_id)
        return f"left of {self.saga_id}"

    @step(parallel="middle")
    async def right(self, workload: str, one: str) -> str:
        self.calls.note(self.saga_id)
        return f"right of {self.saga_id}"

    @step
    async def three(self, workload: str, left: str, right: str) -> str:
        self.calls.note(self.saga_id, is_last=True)
        return f"three of {self.saga_id}"


@dataclass
class Hops(Saga[str]):
    """Its steps are on two queues by turns."""

    calls: Calls

    @step(queue="a")
    async def one(self, workload: str) -> str:
        self.calls.note(self.saga_id)
        return f"one of {self.saga_id}"

    @step(queue="b")
    async def two(self, workload: str, one: str) -> str:
        self.calls.note(self.saga_id)
        return f"two of {self.saga_id}"

    @step(queue="a")
    async def three(self, workload: str, two: str) -> str:
        self.calls.note(self.saga_id, is_last=True)
        return f"three of {self.saga_id}"


@dataclass
class Waiting(Saga[float]):
    """The context says for how many seconds each of its steps waits."""

    calls: Calls

    async def pause(self, seconds: float, name: str) -> str:
        await asyncio.sleep(seconds)
        self.calls.note(self.saga_id, is_last=name == "three")
        return f"{name} of {self.saga_id}"

    @step
    async def one(self, seconds: float) -> str:
        return await self.pause(seconds, "one")

    @step
    async def two(self, seconds: float) -> str:
        return await self.pause(seconds, "two")

    @step
    async def three(self, seconds: float) -> str:
        return await self.pause(seconds, "three")


@dataclass
class Elements(Saga[int]):
    """The context says how many elements there are."""

    calls: Calls

    @step
    async def numbers(self, size: int) -> list[int]:
        self.calls.note(self.saga_id)
        return list(range(size))

    @step(each="numbers")
    async def square(self, size: int, number: int) -> int:
        await asyncio.sleep(ELEMENT_SECONDS)
        self.calls.note(self.saga_id)
        return number * number

    @step
    async def total(self, size: int, square: list[int]) -> int:
        self.calls.note(self.saga_id, is_last=True)
        return sum(square)


def chain(length: int) -> type[Saga[str]]:
    """A saga class of so many steps in a row, each of which takes nothing but the context."""

    def declared(number: int) -> Any:
        async def act(self: Any, workload: str) -> str:
            self.calls.note(self.saga_id, is_last=number == length - 1)
            return f"step_{number} of {self.saga_id}"

        act.__name__ = f"step_{number}"
        return step(act)

    def fill(body: dict[str, Any]) -> None:
        body |= {"__annotations__": {"calls": Calls}, "__module__": __name__}
        body |= {f"step_{number}": declared(number) for number in range(length)}

    made: type[Saga[str]] = dataclass(new_class(f"Chain{length}", (Saga[str],), {}, fill))
    return made


_CLASSES: Final[Mapping[str, Callable[[Calls], Saga[Any]]]] = {
    SEQUENCE: Sequence,
    UNDONE: Sequence,
    GROUP: Group,
    HOPS: Hops,
    WAITING: Waiting,
    ELEMENTS: Elements,
}


def class_of(workload: str) -> Any:
    """The saga class of a workload.

    Raises:
        KeyError: there is none.
    """
    if workload.startswith(CHAIN):
        return chain(int(workload.removeprefix(CHAIN)))
    return _CLASSES[workload]


def factory_of(workload: str, calls: Calls) -> tuple[Any, Callable[[], Saga[Any]]]:
    """The class, and the factory for an engine; of a class that is made, the same one in both."""
    saga = class_of(workload)
    return saga, partial(saga, calls)


def handlers_of(workload: str) -> int:
    """How many handlers one saga calls, if each is called once.

    Raises:
        KeyError: that depends on its context.
    """
    return {SEQUENCE: 3, UNDONE: 5, GROUP: 4, HOPS: 3}[workload]


def check(records: Iterable[SagaRecord[Any]], workload: str) -> None:
    """Fail unless each saga has ended as it must, with each step done once and the outputs that they have yielded.

    Raises:
        AssertionError: one has not.
    """
    for record in records:
        undone = workload == UNDONE
        right = record.is_compensated if undone else record.is_completed
        for name, its in record.steps.items():
            failed = undone and name == "three"
            status = StepStatus.FAILED if failed else StepStatus.COMPENSATED if undone else StepStatus.COMPLETED
            right &= its.status is status and (its.attempts == 1 or bool(its.elements))
            if workload != ELEMENTS and not failed:
                right &= record.outputs[name] == f"{name} of {record.id}"
        if workload == ELEMENTS:
            right &= record.output(Elements.total) == sum(number * number for number in range(record.context))
        if not right:
            raise AssertionError(f"a saga did not end as it must: {record}, {record.reason}, {dict(record.steps)}")
