"""Micro-benchmarks of what needs no I/O: microseconds of one call, the median of several samples."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from benchmarks.engine.sagas import Sequence, chain
from benchmarks.task import Task
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.adapters.mongo_documents import to_document, to_state, to_update
from sagaflow.core.decide import fold, new_saga
from sagaflow.core.events import Claimed, Event, Succeeded
from sagaflow.core.state import Direction, SagaState
from sagaflow.ports import Transition

_SAMPLES: Final = 9
_SAMPLE_SECONDS: Final = 0.05
_AT: Final = 1_000.0


class Order(Struct, frozen=True):
    """A context as services have them."""

    number: str
    customer: str
    items: list[str]
    cents: int


ORDER: Final = Order("o-1", "ada", ["tea", "milk", "sugar"], 9_900)


def microseconds(call: Callable[[], object]) -> float:
    """What one call takes."""
    times = 1
    while _seconds(call, times) < _SAMPLE_SECONDS:
        times *= 2
    return 1_000_000 * statistics.median(_seconds(call, times) / times for _ in range(_SAMPLES))


def measure() -> dict[str, float]:
    """All of them, by name."""
    definition, codec = Sequence.definition, JsonCodec()
    first = new_saga(definition, "saga-1", '"sequence"', _AT)
    claimed = fold(definition, first, [Claimed("one", Direction.FORWARD, "worker-1", _AT)])
    turn: list[Event] = [
        Succeeded("one", Direction.FORWARD, 1, '"one of saga-1"', _AT),
        Claimed("two", Direction.FORWARD, "worker-1", _AT),
    ]
    transition = Transition(claimed, fold(definition, claimed, turn), _AT)
    document, text = to_document(claimed, _AT), codec.encode(ORDER, Order)
    wide = _middle_of(50)
    return {
        "compile, 3 steps, µs": microseconds(lambda: chain(3)),
        "compile, 50 steps, µs": microseconds(lambda: chain(50)),
        "decide, a new saga, µs": microseconds(lambda: new_saga(definition, "saga-1", '"sequence"', _AT)),
        "decide, one step done and the next claimed, µs": microseconds(lambda: fold(definition, claimed, turn)),
        "decide, the same in the middle of 50 steps, µs": microseconds(wide),
        "encode an order, µs": microseconds(lambda: codec.encode(ORDER, Order)),
        "decode an order, µs": microseconds(lambda: codec.decode(text, Order)),
        "a MongoDB document of a saga, µs": microseconds(lambda: to_document(claimed, _AT)),
        "a saga of a MongoDB document, µs": microseconds(lambda: to_state(document)),
        "a MongoDB update of a transition, µs": microseconds(lambda: to_update(transition)),
    }


def _middle_of(length: int) -> Callable[[], SagaState]:
    definition = chain(length).definition
    state = fold(definition, new_saga(definition, "saga-1", '"chain"', _AT), [_claim(0)])
    for number in range(length // 2):
        state = fold(definition, state, [_success(number), _claim(number + 1)])
    turn = [_success(length // 2), _claim(length // 2 + 1)]
    return lambda: fold(definition, state, turn)


def _claim(number: int) -> Event:
    return Claimed(f"step_{number}", Direction.FORWARD, "worker-1", _AT)


def _success(number: int) -> Event:
    return Succeeded(f"step_{number}", Direction.FORWARD, 1, f'"step_{number} of saga-1"', _AT)


def _seconds(call: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - began


if __name__ == "__main__":
    Task.given().answer(measure())
