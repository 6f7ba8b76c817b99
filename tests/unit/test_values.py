"""What user code decides: whether, for which elements, under which lock; whatever it raises is kept."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import Saga, step
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.core.decide import new_saga
from sagaflow.core.definition import Derived
from sagaflow.core.events import Decided, Undecidable
from sagaflow.engine.binding import Binding
from sagaflow.engine.values import KEY_LIMIT, decide_step, derive, lock_key


class Order(Struct, frozen=True):
    key: str = "k"
    items: list[str] = []
    gifts: bool = True


class Decides(Saga[Order]):
    @step
    async def free(self, order: Order) -> None: ...

    @step(when=lambda order: order.gifts, lock="order:{key}")
    async def gift(self, order: Order) -> None: ...

    @step(each="items", lock=lambda order: order.key)
    async def pick(self, order: Order, item: str) -> None: ...

    @step(each="numbers")
    async def count(self, order: Order, number: int) -> None: ...

    def numbers(self, order: Order) -> Any:
        if order.key == "coroutine":
            return self.free(order)
        if order.key == "raises":
            raise LookupError("nothing there")
        return {"str": "abc", "dict": {"a": 1}, "none": None, "many": [1, 2, 3]}.get(order.key, iter([1, 2]))


def decide(name: str, order: Order, *, limit: int = 1_000, size: int = 2) -> Decided | Undecidable:
    binding = Binding.of(Decides, JsonCodec())
    state = new_saga(binding.definition, "s-1", binding.encode_context(order, 1_000), 1.0)
    return decide_step(binding, state, binding.definition[name], {}, 2.0, limit=limit, size=size)


def test_what_is_not_wanted_is_not_asked_for_its_lock() -> None:
    assert decide("gift", Order(gifts=False, key="")) == Decided("gift", 2.0, proceed=False)


def test_a_lock_is_a_template_or_a_function() -> None:
    assert decide("gift", Order()) == Decided("gift", 2.0, lock="order:k")
    assert decide("pick", Order(items=["a"])) == Decided("pick", 2.0, elements=('"a"',), lock="k")


def test_a_list_is_a_field_or_comes_from_a_method() -> None:
    assert decide("count", Order()) == Decided("count", 2.0, elements=("1", "2"))
    assert decide("count", Order(key="none")) == Decided("count", 2.0, elements=())  # of a step that was skipped
    assert decide("pick", Order()) == Decided("pick", 2.0, elements=(), lock="k")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("str", "gave a str, which is no list"),
        ("dict", "gave a dict, which is no list"),
        ("many", "gave 3 elements; 2 are allowed"),
        ("coroutine", "what decides is a plain function"),
        ("raises", "nothing there"),
    ],
)
def test_what_cannot_be_decided_says_why(key: str, text: str) -> None:
    answer = decide("count", Order(key=key))
    assert isinstance(answer, Undecidable)
    assert text in answer.error


def test_an_element_that_is_too_large_cannot_be_kept() -> None:
    answer = decide("pick", Order(items=["x" * 100]), limit=50)
    assert isinstance(answer, Undecidable)
    assert "PayloadTooLarge" in answer.error


@pytest.mark.parametrize("context", [Order(key="7"), {"key": "7"}])
def test_contexts_have_their_fields_in_either_way(context: object) -> None:
    assert derive(Derived(field="key"), context) == "7"
    assert derive(Derived(template="a:{key}:{key!r}"), context) == "a:7:'7'"
    assert derive(Derived(function=lambda found: type(found).__name__), context) == type(context).__name__


def test_a_key_is_a_text_of_some_length() -> None:
    assert lock_key("k" * KEY_LIMIT) == "k" * KEY_LIMIT
    for bad in ("", "k" * (KEY_LIMIT + 1), 7, None):
        with pytest.raises(ValueError, match="a key is a str of 1 to 500 characters"):
            lock_key(bad)


def test_a_coroutine_that_nobody_awaits_is_closed() -> None:
    async def later() -> None: ...

    made = later()
    with pytest.raises(TypeError, match="write 'def'"):
        derive(Derived(function=lambda _: made), None)
    assert inspect.getcoroutinestate(made) == inspect.CORO_CLOSED
