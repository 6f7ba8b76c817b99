"""What is asked for at the same moment is asked for together; nobody's trouble is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sagaflow.batching import Batches


class Squares:
    """Squares numbers, when it is let; negative ones are refused, and 13 breaks everything."""

    def __init__(self, *, largest: int = 200, at_once: int = 1) -> None:
        self.calls: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.batches: Batches[int, int] = Batches(self.square, "squares", largest=largest, at_once=at_once)

    async def square(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.calls.append(list(numbers))
        await self.open.wait()
        if 13 in numbers:
            raise RuntimeError("out of luck")
        return [number**2 if number >= 0 else ValueError(f"{number} is negative") for number in numbers]


async def test_what_comes_while_a_call_is_under_way_makes_up_the_next_one() -> None:
    squares = Squares()
    squares.open.clear()
    first = squares.batches.submit(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [squares.batches.submit(number) for number in (2, 3)]
    squares.open.set()
    assert await asyncio.gather(first, *others) == [1, 4, 9]
    assert squares.calls == [[1], [2, 3]]


async def test_nothing_waits_for_company() -> None:
    squares = Squares()
    assert [await squares.batches.submit(number) for number in (1, 2)] == [1, 4]
    assert squares.calls == [[1], [2]]


async def test_no_call_is_larger_than_it_may_be() -> None:
    squares = Squares(largest=2)
    assert await asyncio.gather(*map(squares.batches.submit, range(5))) == [0, 1, 4, 9, 16]
    assert squares.calls == [[0, 1], [2, 3], [4]]


async def test_many_have_a_further_call_beside_the_first_and_few_do_not() -> None:
    squares = Squares(at_once=2)
    squares.open.clear()
    answers = [squares.batches.submit(100)]
    await asyncio.sleep(0)
    for until in (119, 120, 160):  # the last is one too few, just enough, and of more calls than may be under way
        answers += map(squares.batches.submit, range(100 + len(answers), until + 1))
        await asyncio.sleep(0)
    assert squares.calls == [[100], list(range(101, 121))]
    squares.open.set()
    assert await asyncio.gather(*answers) == [number**2 for number in range(100, 161)]
    assert squares.calls[2:] == [list(range(121, 161))]


async def test_an_error_of_one_is_raised_for_that_one_and_one_of_the_call_for_all() -> None:
    squares = Squares()
    one, other = await asyncio.gather(squares.batches.submit(-1), squares.batches.submit(2), return_exceptions=True)
    assert isinstance(one, ValueError)
    assert other == 4
    both = await asyncio.gather(squares.batches.submit(2), squares.batches.submit(13), return_exceptions=True)
    assert [type(error) for error in both] == [RuntimeError, RuntimeError]
    assert await squares.batches.submit(3) == 9


async def test_whoever_is_cancelled_takes_nobody_along() -> None:
    squares = Squares()
    squares.open.clear()
    hasty, patient = (squares.batches.submit(number) for number in (1, 2))
    await asyncio.sleep(0)
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    squares.open.set()
    assert await patient == 4
