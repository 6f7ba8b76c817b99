"""What a right class body becomes: order, dependencies, policies, inheritance."""

# mypy: disable-error-code="empty-body"
# pyright: reportReturnType=false
# (Steps that are never called need no body.)

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from types import new_class
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from sagaflow.core.definition import DEFAULT_QUEUE, SagaDefinition
from sagaflow.core.retry import COMPENSATION_RETRY, STEP_RETRY, Retry
from sagaflow.saga import Saga, SagaMeta, step


class Order(Struct):
    n: int


def edges(definition: SagaDefinition) -> dict[str, tuple[str, ...]]:
    return {declared.name: declared.after for declared in definition}


# ---------------------------------------------------------------------------------------- order


def test_a_step_waits_for_all_that_stands_above_it_reduced_to_what_is_not_implied() -> None:
    class Sequence(Saga[Order]):
        @step
        async def first(self, order: Order) -> None: ...

        @step
        async def second(self, order: Order) -> None: ...

        @step
        async def third(self, order: Order) -> None: ...

    assert edges(Sequence.definition) == {"first": (), "second": ("first",), "third": ("second",)}


def test_neighbours_of_a_parallel_group_wait_for_what_is_above_the_group_and_not_for_each_other() -> None:
    class Fork(Saga[Order]):
        @step
        async def begin(self, order: Order) -> None: ...

        @step(parallel="checks")
        async def left(self, order: Order) -> None: ...

        @step(parallel="checks")
        async def right(self, order: Order) -> None: ...

        @step
        async def join(self, order: Order) -> None: ...

    assert edges(Fork.definition) == {
        "begin": (),
        "left": ("begin",),
        "right": ("begin",),
        "join": ("left", "right"),
    }


def test_two_groups_stand_one_after_the_other() -> None:
    class Twice(Saga[Order]):
        @step(parallel="one")
        async def a(self, order: Order) -> None: ...

        @step(parallel="one")
        async def b(self, order: Order) -> None: ...

        @step(parallel="two")
        async def c(self, order: Order) -> None: ...

        @step(parallel="two")
        async def d(self, order: Order) -> None: ...

    assert edges(Twice.definition) == {"a": (), "b": (), "c": ("a", "b"), "d": ("a", "b")}


def test_after_states_dependencies_by_step_by_name_or_several() -> None:
    class Explicit(Saga[Order]):
        @step
        async def a(self, order: Order) -> None: ...

        @step(after=a)
        async def b(self, order: Order) -> None: ...

        @step(after="a")
        async def c(self, order: Order) -> None: ...

        @step(after=[b, "c", "c"])
        async def d(self, order: Order) -> None: ...

        @step(after=())
        async def e(self, order: Order) -> None: ...

    assert edges(Explicit.definition) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c"), "e": ()}


def test_after_leaves_out_what_another_one_implies() -> None:
    class Implied(Saga[Order]):
        @step
        async def a(self, order: Order) -> None: ...

        @step
        async def b(self, order: Order) -> None: ...

        @step(after=[a, b])
        async def c(self, order: Order) -> None: ...

    assert edges(Implied.definition)["c"] == ("b",)


def test_naming_an_output_is_waiting_for_it() -> None:
    class Named(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

        @step(after=())
        async def b(self, order: Order) -> int: ...

        @step(after="a")
        async def c(self, order: Order, b: int, *, a: int) -> None: ...

    assert edges(Named.definition)["c"] == ("a", "b")
    assert Named.definition["c"].inputs == ("b", "a")


def test_an_output_of_an_ancestor_adds_no_edge() -> None:
    class Far(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

        @step
        async def b(self, order: Order) -> int: ...

        @step
        async def c(self, order: Order, a: int) -> None: ...

    assert edges(Far.definition)["c"] == ("b",)
    assert Far.definition["c"].inputs == ("a",)


def test_an_input_with_a_default_is_an_input() -> None:
    class Default(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

        @step
        async def b(self, order: Order, a: int = 0) -> None: ...

    assert Default.definition["b"].inputs == ("a",)


def test_the_context_may_have_any_name_and_be_positional_only() -> None:
    class Names(Saga[Order]):
        @step
        async def a(self, whatever: Order, /) -> int: ...

        @step
        async def b(self, _: Order, /, a: int) -> None: ...

    assert [declared.inputs for declared in Names.definition] == [(), ("a",)]


# ---------------------------------------------------------------------------------------- compensations


def test_a_compensation_is_named_above_or_below_or_given_as_a_function() -> None:
    class Undone(Saga[Order]):
        async def undo(self, order: Order, output: int | None) -> None: ...

        @step(compensate="later")
        async def a(self, order: Order) -> int: ...

        @step(compensate=undo)
        async def b(self, order: Order) -> int: ...

        @step(compensate=None)
        async def c(self, order: Order) -> int: ...

        async def later(self, order: Order) -> None: ...

    assert [declared.compensation for declared in Undone.definition] == ["later", "undo", None]
    assert [declared.takes_output for declared in Undone.definition] == [False, True, True]
    assert all(declared.accepts_unknown for declared in Undone.definition)


def test_a_compensation_may_be_private_and_shared() -> None:
    class Shared(Saga[Order]):
        @step(compensate="_undo")
        async def a(self, order: Order) -> int: ...

        @step(compensate="_undo")
        async def b(self, order: Order) -> int: ...

        async def _undo(self, order: Order, output: int | None) -> None: ...

    assert [declared.compensation for declared in Shared.definition] == ["_undo", "_undo"]


def test_a_function_is_found_by_the_name_that_the_class_gives_it() -> None:
    async def anonymous(self: Any, order: Order) -> None: ...

    class Renamed(Saga[Order]):
        undo = anonymous

        @step(compensate=undo)
        async def a(self, order: Order) -> int: ...

    assert Renamed.definition["a"].compensation == "undo"


# ---------------------------------------------------------------------------------------- policies


def test_without_any_options_a_step_has_the_defaults() -> None:
    class Plain(Saga[Order]):
        @step()
        async def a(self, order: Order) -> None: ...

    declared = Plain.definition["a"]
    assert (declared.retry, declared.compensation_retry) == (STEP_RETRY, COMPENSATION_RETRY)
    assert (declared.timeout, declared.abort_on, declared.queue) == (None, (), DEFAULT_QUEUE)
    assert declared.action == "a"
    assert (Plain.definition.name, Plain.definition.deadline) == ("Plain", None)


def test_options_of_a_step_win_over_the_keywords_of_its_class() -> None:
    class Tuned(
        Saga[Order],
        name="tuned",
        retry=Retry(attempts=7),
        compensation_retry=Retry(attempts=8),
        deadline=timedelta(hours=1),
        queue="slow",
    ):
        @step
        async def a(self, order: Order) -> None: ...

        @step(
            retry=Retry(attempts=2),
            compensation_retry=Retry(attempts=3),
            timeout=timedelta(seconds=5),
            abort_on=(KeyError,),
            queue="fast.one-2_3",
        )
        async def b(self, order: Order) -> None: ...

    a, b = Tuned.definition
    assert (a.retry.attempts, a.compensation_retry.attempts, a.queue) == (7, 8, "slow")
    assert (b.retry.attempts, b.compensation_retry.attempts, b.queue) == (2, 3, "fast.one-2_3")
    assert (b.timeout, b.abort_on) == (timedelta(seconds=5), (KeyError,))
    assert (Tuned.definition.name, Tuned.definition.deadline) == ("tuned", timedelta(hours=1))


def test_no_timeout_and_no_deadline_can_be_said_explicitly() -> None:
    class Limited(Saga[Order], deadline=timedelta(hours=1), abstract=True):
        @step(timeout=None)
        async def a(self, order: Order) -> None: ...

    class Free(Limited, deadline=None):
        pass

    assert Free.definition.deadline is None
    assert Free.definition["a"].timeout is None


def test_keywords_are_inherited_the_nearest_wins_but_for_name_and_abstract() -> None:
    class Base(Saga[Order], name="base", abstract=True, queue="base", retry=Retry(attempts=9)):
        @step
        async def a(self, order: Order) -> None: ...

    class Child(Base, queue="child"):
        pass

    class Grandchild(Child):
        pass

    for saga in (Child, Grandchild):
        assert saga.definition.name == saga.__name__
        assert (saga.definition["a"].queue, saga.definition["a"].retry.attempts) == ("child", 9)


# ---------------------------------------------------------------------------------------- inheritance

T = TypeVar("T")
U = TypeVar("U")


def test_bases_are_read_left_to_right_and_a_step_keeps_its_first_place() -> None:
    class Mixin:
        @step
        async def m(self, context: Any) -> None: ...

    class Base(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

        @step
        async def b(self, order: Order) -> int: ...

    class Child(Mixin, Base):
        @step
        async def c(self, order: Order) -> None: ...

        @step(queue="other")
        async def a(self, order: Order) -> int: ...

    assert [declared.name for declared in Child.definition] == ["m", "a", "b", "c"]
    assert Child.definition["a"].queue == "other"


def test_an_override_of_a_compensation_wins_however_it_was_named() -> None:
    class Base(Saga[Order]):
        async def undo(self, order: Order, output: int | None) -> None: ...

        @step(compensate=undo)
        async def a(self, order: Order) -> int: ...

    class Child(Base):
        async def undo(self, order: Order) -> None: ...  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]

        @step(compensate=Base.undo)
        async def b(self, order: Order) -> int: ...

    assert [declared.compensation for declared in Child.definition] == ["undo", "undo"]
    assert [declared.takes_output for declared in Child.definition] == [False, False]
    assert Base.definition["a"].takes_output


def test_after_may_name_an_inherited_step_that_is_overridden() -> None:
    class Base(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

    class Child(Base):
        @step
        async def a(self, order: Order) -> int: ...

        @step(after=Base.a)
        async def b(self, order: Order) -> int: ...

    assert edges(Child.definition)["b"] == ("a",)


@pytest.mark.parametrize("order", ["above", "below"])
def test_a_class_with_abstract_steps_is_abstract(order: str) -> None:
    class Base(Saga[Order]):
        if order == "above":

            @abstractmethod  # pyright: ignore[reportArgumentType]  # it takes no descriptor, though abc does
            @step
            async def a(self, order: Order) -> int: ...

        else:

            @step
            @abstractmethod
            async def a(self, order: Order) -> int: ...

    with pytest.raises(TypeError, match=r"Base is abstract.*Subclass it"):
        Base.definition  # noqa: B018
    with pytest.raises(TypeError, match="abstract"):
        Base()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]

    class Concrete(Base):
        @step
        async def a(self, order: Order) -> int: ...

    assert [declared.name for declared in Concrete.definition] == ["a"]


def test_an_open_type_variable_makes_a_class_abstract() -> None:
    class Base(Saga[T], Generic[T]):
        @step(compensate="undo")
        async def a(self, context: T) -> int: ...

        async def undo(self, context: T, output: int | None) -> None: ...

    class Middle(Base[U], Generic[U]):
        pass

    class Concrete(Middle[Order]):
        @step
        async def b(self, order: Order, a: int) -> int: ...

    for abstract in (Base, Middle):
        with pytest.raises(TypeError, match="is abstract"):
            abstract.definition  # noqa: B018
    assert Concrete.resolve_types().context is Order


def test_an_abstract_subclass_of_a_concrete_saga_has_no_definition() -> None:
    class Base(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

    class Child(Base, abstract=True):
        pass

    with pytest.raises(TypeError, match="Child is abstract"):
        Child.definition  # noqa: B018
    assert Base.definition.name == "Base"


def test_saga_itself_is_abstract() -> None:
    with pytest.raises(TypeError, match="Saga is abstract"):
        Saga.definition  # noqa: B018


def test_each_generic_base_has_type_arguments_of_its_own() -> None:
    class Numbers(Generic[T]):
        @step
        async def number(self, context: Any) -> list[T]: ...

    class Base(Saga[T], Generic[T]):
        @step
        async def base(self, context: T) -> T: ...

    class Both(Base[Order], Numbers[int]):
        pass

    assert dict(Both.resolve_types().outputs) == {"base": Order, "number": list[int]}


# ---------------------------------------------------------------------------------------- any graph

names = st.sampled_from("abcdefgh")


@st.composite
def bodies(draw: st.DrawFn) -> Mapping[str, Any]:
    """Class bodies with random after= and inputs, always of earlier steps."""
    body: dict[str, Any] = {}
    for name in draw(st.lists(names, min_size=1, unique=True)):
        above = sorted(body)
        subset = st.lists(st.sampled_from(above), unique=True) if above else st.just([])
        inputs = draw(subset)
        source = f"async def {name}(self, context, {', '.join(inputs)}): ..."
        scope: dict[str, Any] = {}
        exec(source, scope)
        options: dict[str, Any] = {"after": draw(subset)} if draw(st.booleans()) else {}
        body[name] = step(**options)(scope[name])
    return body


@given(bodies())
def test_any_saga_stands_in_an_order_in_which_it_can_run(body: Mapping[str, Any]) -> None:
    definition = _saga(body).definition
    seen: set[str] = set()
    for declared in definition:
        waited_for = {name for name in seen if declared.name in definition.dependents(name)}
        assert set(declared.after) <= seen
        assert set(declared.inputs) <= waited_for
        assert set(body[declared.name].options.get("after", seen)) <= waited_for
        for one in declared.after:
            assert not any(other in definition.dependents(one) for other in declared.after)
        seen.add(declared.name)


def _saga(body: Mapping[str, Any]) -> SagaMeta:
    made = new_class("Any", (Saga[Any],), {}, lambda namespace: namespace.update(body))
    assert isinstance(made, SagaMeta)
    return made
