"""A saga class is an ordinary class: made as one, called as one in unit tests, and guarded inside an engine."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import FrozenInstanceError, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from msgspec import Struct

from sagaflow.core.state import Direction
from sagaflow.errors import DefinitionError, NoEngine
from sagaflow.execution import Execution, attach
from sagaflow.saga import DefinitionWarning, Saga, Step, StepRef, step
from sagaflow.testing.unit import executing


class Order(Struct):
    n: int


class Greet(Saga[Order]):
    """Greets."""

    @step(compensate="apologise", timeout=timedelta(seconds=1))
    async def greet(self, order: Order) -> str:
        """Say hello."""
        return f"{order.n} {self.idempotency_key}"

    @step
    async def again(self, order: Order, greet: str) -> str:
        return greet * order.n

    async def apologise(self, order: Order, greeting: str | None) -> None: ...


# ---------------------------------------------------------------------------------------- steps as attributes


async def test_methods_stay_methods() -> None:
    assert await Greet().again(Order(2), greet="ab") == "abab"


def test_a_step_of_the_class_is_its_declaration() -> None:
    greet: Any = Greet.greet  # the descriptor itself, whatever checkers take it for

    assert isinstance(greet, Step)
    assert isinstance(greet, StepRef)
    assert greet.name == "greet"
    assert repr(greet) == "<step Greet.greet>"
    assert greet.options == {"compensate": "apologise", "timeout": timedelta(seconds=1)}


def test_help_and_inspect_see_the_method() -> None:
    assert Greet.greet.__doc__ == "Say hello."
    assert list(inspect.signature(Greet.again.fn).parameters) == ["self", "order", "greet"]
    assert inspect.unwrap(Greet.greet) is Greet.greet.fn  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_step_has_its_name_before_it_has_a_class() -> None:
    @step
    async def alone(self: Any, order: Order) -> None: ...

    assert alone.name == "alone"
    assert repr(alone).endswith("alone>")


def test_sagas_do_not_keep_count_of_their_subclasses() -> None:
    """The same name twice is no fault: there is no registry."""

    def make() -> type[Saga[Order]]:
        class Same(Saga[Order]):
            @step
            async def a(self, order: Order) -> None: ...

        return Same

    assert make() is not make()


# ---------------------------------------------------------------------------------------- dataclasses


@pytest.mark.parametrize("options", [{}, {"slots": True}, {"frozen": True}, {"slots": True, "frozen": True}], ids=str)
async def test_collaborators_are_fields_of_any_dataclass(options: dict[str, bool]) -> None:
    @dataclass(**options)
    class Shop(Saga[Order], name="shop", deadline=timedelta(hours=1)):
        client: str
        limit: int = 3

        @step(compensate="undo")
        async def a(self, order: Order) -> str:
            return f"{self.client} {self.attempt}"

        async def undo(self, order: Order, output: str | None) -> None: ...

    assert Shop.definition.name == "shop"
    assert Shop.definition.deadline == timedelta(hours=1)
    assert Shop.resolve_types().context is Order
    assert await Shop("c").a(Order(1)) == "c 1"
    assert Shop("c") == Shop("c")
    with pytest.raises((AttributeError, FrozenInstanceError)):
        executing(Shop("c")).client = "d"
    with pytest.raises(TypeError, match="client"):
        Shop()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_a_class_that_is_made_twice_warns_once() -> None:
    with pytest.warns(DefinitionWarning) as caught:

        @dataclass(slots=True)
        class Shop(Saga[Order]):
            @step(compensate="undo")
            async def a(self, order: Order) -> int:
                return 1

            async def undo(self, order: Order, output: int) -> None: ...

    assert len(caught) == 1
    assert not Shop.definition["a"].accepts_unknown


def test_a_class_that_is_made_twice_reads_local_types() -> None:
    class Local(Struct):
        n: int

    @dataclass(slots=True)
    class Shop(Saga[Order]):
        @step
        async def a(self, order: Order) -> Local:
            return Local(1)

    assert Shop.resolve_types().outputs["a"] is Local


async def test_attrs_classes_can_be_sagas() -> None:
    @attrs.define
    class Shop(Saga[Order], queue="q"):
        client: str

        @step
        async def a(self, order: Order) -> str:
            return self.client

    assert Shop.definition["a"].queue == "q"
    assert await Shop("c").a(Order(1)) == "c"


# ---------------------------------------------------------------------------------------- called by hand


async def test_by_hand_keys_are_random_and_marked_and_the_same_for_one_instance() -> None:
    saga = Greet()
    key = (await saga.greet(Order(1))).removeprefix("1 ")

    assert key.startswith("detached-")
    assert key == saga.idempotency_key == saga.step_key
    assert saga.saga_id.startswith("detached-")
    assert (saga.attempt, saga.step_name, saga.deadline) == (1, "detached", None)
    assert Greet().idempotency_key != key


def test_by_hand_an_instance_can_be_written_to() -> None:
    class Stateful(Greet):
        def __init__(self) -> None:
            self.client = "a"

    saga = Stateful()
    assert saga.saga_id
    saga.client = "b"
    assert saga.client == "b"


def test_the_outcome_is_known_in_compensations_only() -> None:
    assert executing(Greet(), step="greet", outcome="unknown").outcome == "unknown"
    for saga in (Greet(), executing(Greet(), step="greet")):
        with pytest.raises(RuntimeError, match=r"in compensations only.*executing\(saga, outcome='unknown'\)"):
            saga.outcome  # noqa: B018


# ---------------------------------------------------------------------------------------- executing


def test_executing_sets_all_that_self_knows() -> None:
    deadline = datetime(2030, 1, 1, tzinfo=UTC)
    saga = executing(Greet(), saga_id="o-1", step=Greet.greet, attempt=3, deadline=deadline)

    assert (saga.saga_id, saga.step_name, saga.attempt, saga.deadline) == ("o-1", "greet", 3, deadline)
    assert saga.step_key == saga.idempotency_key == "o-1/greet"
    assert saga.execution.direction is Direction.FORWARD
    assert not saga.execution.detached


def test_executing_a_compensation_has_the_key_of_the_step_and_one_of_its_own() -> None:
    saga = executing(Greet(), saga_id="o-1", step="greet", outcome="completed")

    assert saga.execution.direction is Direction.UNDO
    assert (saga.step_key, saga.idempotency_key) == ("o-1/greet", "o-1/greet/undo")


def test_executing_returns_the_same_instance_and_can_be_repeated() -> None:
    saga = Greet()
    assert executing(executing(saga), attempt=2) is saga
    assert saga.attempt == 2


async def test_setting_an_attribute_inside_a_step_says_what_to_do_instead() -> None:
    class Forgetful(Greet):
        @step
        async def greet(self, order: Order) -> str:
            self.seen = order
            return ""

    with pytest.raises(
        AttributeError, match=r"Forgetful\.seen is set inside a step.*Return the value as the step's output"
    ):
        await executing(Forgetful()).greet(Order(1))


# ---------------------------------------------------------------------------------------- attach


def test_an_instance_serves_one_execution() -> None:
    saga = attach(Greet(), Execution(saga_id="o-1", step_name="greet", detached=False))

    with pytest.raises(TypeError, match=r"has served step 'greet' of saga 'o-1' already.*lambda: Greet\(shop\)"):
        attach(saga, Execution(saga_id="o-2", step_name="greet", detached=False))
    assert saga.saga_id == "o-1"


def test_an_instance_that_was_only_called_by_hand_can_be_attached() -> None:
    saga = Greet()
    assert saga.saga_id
    assert attach(saga, Execution(saga_id="o-1", detached=False)).saga_id == "o-1"


# ---------------------------------------------------------------------------------------- start


async def test_start_without_an_engine_says_what_to_write() -> None:
    with pytest.raises(NoEngine, match=r"async with Engine\(sagas=\[Greet\]\)"):
        await Greet.start(Order(1))


def test_start_is_a_coroutine_even_without_an_engine() -> None:
    coroutine = Greet.start(Order(1))
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()


# ---------------------------------------------------------------------------------------- class statements


def test_a_failed_class_statement_leaves_nothing_behind() -> None:
    with pytest.raises(DefinitionError):

        class Child(Greet):
            @step(compensate="nothing")
            async def more(self, order: Order) -> None: ...

    assert [declared.name for declared in Greet.definition] == ["greet", "again"]


def test_super_and_class_cells_work() -> None:
    class Child(Greet):
        def who(self) -> str:
            return f"{super().step_name} {__class__.__name__}"  # type: ignore[name-defined]

    assert Child().who() == "detached Child"
