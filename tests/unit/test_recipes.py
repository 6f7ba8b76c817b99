"""Sagas made of data are bound to the libraries that have their actions, here and wherever their graph is read."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sagaflow import ConfigurationError, DefinitionError, PayloadError, PayloadTooLarge, Saga, StepSpec
from sagaflow.adapters.json_codec import JsonCodec
from sagaflow.engine.recipes import STEPS, Library

CODEC = JsonCodec()


class Shop(Saga[str], abstract=True, queue="shop"):
    async def pack(self, text: str, paper: dict[str, int]) -> str:
        return text

    async def weigh(self, text: str, grams: float) -> None: ...


class Post(Saga[str], abstract=True):
    async def send(self, text: str, pack: str) -> None: ...

    async def fetch(self, text: str) -> None: ...


PACK = StepSpec(name="pack", action="pack", input={"red": 1})
SEND = StepSpec(name="send", action="send", compensation="fetch")


def test_a_graph_is_read_elsewhere_as_it_was_made() -> None:
    made = Library([Shop, Post]).make("gift", [PACK, SEND], CODEC)
    again = Library([Post, Shop]).bind(made.graph, CODEC)
    assert made.graph.saga == STEPS
    assert again.definition.name == "gift"
    assert again.definition == made.binding.definition
    assert again.definition.fingerprint == made.graph.fingerprint
    assert isinstance(again.handler("send"), Post)
    assert isinstance(again.handler("pack"), Shop)
    assert again.saga is None


def test_inputs_are_no_part_of_the_graph_but_that_there_is_one_is() -> None:
    library = Library([Shop, Post])
    one, other = (library.make("gift", [replace(PACK, input=given), SEND], CODEC) for given in ({"a": 1}, {"b": 2}))
    assert one.graph == other.graph
    assert "red" not in one.graph.body
    assert dict(one.inputs) == {"pack": {"a": 1}}
    assert library.make("present", [PACK, SEND], CODEC).graph.fingerprint != one.graph.fingerprint


def test_a_graph_of_actions_that_are_not_here_is_refused() -> None:
    made = Library([Shop, Post]).make("gift", [PACK, SEND], CODEC)
    with pytest.raises(DefinitionError, match="action 'send' is a method of no library"):
        Library([Shop]).bind(made.graph, CODEC)


def test_the_queues_of_libraries_are_known() -> None:
    assert Library([Shop, Post]).queues == {"shop", "default"}
    assert Library([]).queues == frozenset()
    assert not Library([])


def test_what_is_no_library_is_refused_with_the_remedy() -> None:
    for bad in (object, int):
        with pytest.raises(ConfigurationError, match="write an abstract saga class"):
            Library([bad])  # type: ignore[list-item]  # that it is refused is the point


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"red": "one"}, PayloadError),
        ([1], PayloadError),
        ("red", PayloadError),
        ({"red" * 50: 1}, PayloadTooLarge),
        ({object(): 1}, PayloadError),
    ],
)
def test_an_input_of_another_type_is_refused(given: Any, error: type[Exception]) -> None:
    binding = Library([Shop]).make("gift", [PACK], CODEC).binding
    with pytest.raises(error):
        binding.encode_input(binding.definition["pack"], given, 100)
