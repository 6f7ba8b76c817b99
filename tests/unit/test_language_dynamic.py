"""Sagas whose steps are data are compiled as classes are, and checked as strictly."""

# mypy: disable-error-code="empty-body, untyped-decorator"
# pyright: reportReturnType=false
# (Steps that are never called need no body.)

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from sagaflow import saga as face
from sagaflow.core.definition import StepKind
from sagaflow.core.retry import Retry
from sagaflow.dynamic import DynamicSaga, StepSpec, compile_steps
from sagaflow.saga import DefinitionWarning, Saga
from tests.unit.test_definition_faults import faults

step: Any = face.step


class Order(Struct):
    n: int


class Paper(Struct):
    colour: str


class Shop(Saga[Order], abstract=True, retry=Retry(attempts=7), queue="shop"):
    limit = 3

    async def reserve(self, order: Order) -> int: ...

    async def release(self, order: Order, reserved: int | None) -> None: ...

    async def wrap(self, order: Order, paper: Paper, reserve: int) -> str: ...

    async def unwrap(self, order: Order, paper: Paper) -> None: ...

    async def tear(self, order: Order, paper: Paper, wrapped: str | None) -> None: ...

    async def paint(self, order: Order, n: int) -> int: ...


class Posts(Saga[Order], abstract=True, queue="posts", deadline=timedelta(hours=1)):
    async def send(self, order: Order, wrap: str) -> None: ...


def compiled(*steps: StepSpec, libraries: Any = (Shop, Posts)) -> DynamicSaga:
    return compile_steps("gift", steps, libraries)


RESERVE = StepSpec(name="reserve", action="reserve", compensation="release")
WRAP = StepSpec(name="wrap", action="wrap", compensation="unwrap", input=Paper("red"))


def test_steps_that_are_data_become_a_definition() -> None:
    begin = [RESERVE]
    end = [
        WRAP,
        StepSpec(
            name="post",
            action="send",
            after=["wrap"],
            queue="slow",
            timeout=timedelta(seconds=3),
            delay=timedelta(seconds=1),
        ),
    ]

    made = compile_steps("gift", [*begin, *end], [Shop, Posts])

    definition = made.types.definition
    reserve, wrap, post = definition
    assert (definition.name, definition.deadline) == ("gift", timedelta(hours=1))
    assert (reserve.action, reserve.compensation, reserve.takes_item) == ("reserve", "release", False)
    assert (wrap.compensation, wrap.takes_item, wrap.takes_output, wrap.inputs) == ("unwrap", True, False, ("reserve",))
    assert (post.name, post.action, post.after, post.inputs) == ("post", "send", ("wrap",), ("wrap",))
    assert (post.queue, post.timeout, post.delay) == ("slow", timedelta(seconds=3), timedelta(seconds=1))
    assert (reserve.queue, reserve.retry.attempts) == ("shop", 7)
    assert all(one.kind is StepKind.ACTION for one in definition)
    assert dict(made.types.outputs) == {"reserve": int, "wrap": str, "post": type(None)}
    assert dict(made.types.items) == {"wrap": Paper}
    assert dict(made.inputs) == {"wrap": Paper("red")}
    assert dict(made.owners) == {"reserve": Shop, "release": Shop, "wrap": Shop, "unwrap": Shop, "send": Posts}


def test_steps_can_be_read_from_a_file() -> None:
    text = '[{"name": "a", "action": "paint", "input": 3}, {"name": "b", "action": "reserve", "after": "a"}]'

    steps = msgspec.json.decode(text, type=list[StepSpec])

    made = compiled(*steps)
    assert dict(made.inputs) == {"a": 3}
    assert made.types.definition["b"].after == ("a",)


def test_one_action_serves_several_steps_side_by_side() -> None:
    made = compiled(*[StepSpec(name=name, action="paint", input=1, parallel="all") for name in "abc"])
    assert [one.after for one in made.types.definition] == [(), (), ()]
    assert dict(made.owners) == {"paint": Shop}


def test_an_input_of_null_is_an_input() -> None:
    assert dict(compiled(StepSpec(name="a", action="paint", input=None)).inputs) == {"a": None}


def test_a_compensation_takes_the_input_and_perhaps_the_output() -> None:
    made = compiled(RESERVE, msgspec.structs.replace(WRAP, compensation="tear"))
    assert made.types.definition["wrap"].takes_output


def test_an_action_that_there_is_not_brings_no_other_faults_about() -> None:
    steps = [
        StepSpec(name="a", action="reserv"),
        StepSpec(name="b", action="zzz", after="a"),
        StepSpec(name="c", action="limit"),
    ]
    found = faults(lambda: compiled(*steps))
    assert found == [
        ("step 'a'", "action 'reserv' is a method of no library", "Did you mean 'reserve'?"),
        ("step 'b'", "action 'zzz' is a method of no library", "Write 'async def zzz(self, context)'."),
        ("step 'c'", "action 'limit' is a method of no library", "Write 'async def limit(self, context)'."),
    ]


def test_a_compensation_that_there_is_not() -> None:
    assert faults(lambda: compiled(StepSpec(name="a", action="reserve", compensation="relase"))) == [
        ("step 'a'", "compensate='relase' names no method of the class", "Did you mean 'release'?")
    ]


def test_steps_are_checked_as_those_of_a_class() -> None:
    steps = [
        StepSpec(name="a", action="reserve", after="b"),
        StepSpec(name="b", action="reserve", after="b"),
        StepSpec(name="c", action="reserve", after="zzz"),
        StepSpec(name="d", action="reserve", parallel="alone", compensation="unwrap"),
        StepSpec(name="d", action="reserve", input=3),
        StepSpec(name="wrap", action="paint", input=3),
        StepSpec(name="e", action="send"),
        StepSpec(name="f", action="wrap"),
    ]
    assert faults(lambda: compiled(*steps)) == [
        ("step 'd'", "is declared twice; the second would silently replace the first", "Rename one of them."),
        (
            "step 'a'",
            "after='b' is declared below it: that would make a cycle",
            "Declare 'b' above 'a'; a step waits for what stands above it.",
        ),
        ("step 'b'", "after='b' is the step itself: that is a cycle", "Name the steps that it waits for."),
        ("step 'c'", "after='zzz' is no step of this saga", "Declare it above."),
        ("step 'd'", "takes no input", "Write 'async def reserve(self, context, input, ...)'."),
        (
            "step 'f'",
            "parameter 'paper' names no step",
            "A parameter after the context is called like the step whose output it takes.",
        ),
        (
            "step 'f'",
            "parameter 'reserve' names no step",
            "A parameter after the context is called like the step whose output it takes.",
        ),
        ("step 'e'", "wants wrap: str, but step 'wrap' yields int", "Write 'wrap: int'."),
    ]


def test_no_steps_at_all() -> None:
    assert tuple(compiled().types.definition) == ()


def test_a_name_that_is_none() -> None:
    ((offender, rule, _),) = faults(lambda: compile_steps("", [RESERVE], [Shop]))
    assert (offender, rule) == ("the class", "name='' is no name")


def test_a_dynamic_saga_needs_a_library() -> None:
    with pytest.raises(ValueError, match=r"compile_steps\(\) without a library"):
        compiled(RESERVE, libraries=())


def test_libraries_that_do_not_go_together() -> None:
    class Other(Saga[Paper], abstract=True):
        async def fold(self, paper: Paper) -> None: ...

    class Same(Saga[Order], abstract=True):
        async def reserve(self, order: Order) -> int: ...

    assert faults(lambda: compiled(RESERVE, libraries=[Shop, Other, Same])) == [
        (
            "library 'Other'",
            "is for another context than 'Shop'",
            "Write libraries of one saga for one and the same context.",
        ),
        (
            "library 'Same'",
            "has a method 'reserve', and so has 'Shop'",
            "Rename one of them: actions are found by name.",
        ),
    ]


def test_what_libraries_may_not_be_called_and_what_will_need_an_operator() -> None:
    class Odd(Saga[Order], abstract=True):
        attempt: int  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride, reportAssignmentType]

        async def a(self, order: Order) -> int: ...

    class Strict(Saga[Order], abstract=True):
        async def a(self, order: Order) -> int: ...

        async def undo(self, order: Order, output: int) -> None: ...

    steps = StepSpec(name="a", action="a", compensation="undo")
    assert faults(lambda: compiled(StepSpec(name="a", action="a"), libraries=[Odd])) == [
        ("'attempt'", "is a name that Saga itself uses", "Call it attempt_, or better: say what it does.")
    ]
    with pytest.warns(DefinitionWarning, match="gift: compensation 'undo' wants output: int"):
        made = compiled(steps, libraries=[Strict])
    assert not made.types.definition["a"].accepts_unknown


def test_an_input_may_be_called_like_a_step() -> None:
    made = compiled(StepSpec(name="n", action="reserve"), StepSpec(name="b", action="paint", input=3))
    assert made.types.definition["b"].inputs == ()


def test_libraries_may_share_a_base() -> None:
    class Base(Saga[Order], abstract=True):
        async def shared(self, order: Order) -> int: ...

    class Left(Base, abstract=True):
        pass

    class Right(Base, abstract=True):
        pass

    made = compiled(StepSpec(name="a", action="shared"), libraries=[Left, Right])
    assert dict(made.owners) == {"shared": Left}


def test_the_steps_of_a_library_are_no_actions() -> None:
    class Stepping(Saga[Order], abstract=True):
        @step
        async def reserve(self, order: Order) -> int: ...

    assert faults(lambda: compiled(RESERVE, libraries=[Stepping])) == [
        (
            "step 'reserve'",
            "action 'reserve' is itself a step, of Stepping",
            "Write the method without @step: the steps are the data.",
        ),
        (
            "step 'reserve'",
            "compensate='release' names no method of the class",
            "Write 'async def release(self, context, output)'.",
        ),
    ]


def test_annotations_and_payloads_of_libraries_are_checked_at_once() -> None:
    class Foreign:
        pass

    class Odd(Saga[Order], abstract=True):
        async def a(self, order: Order) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

        async def b(self, order: Order, given: Foreign) -> int: ...

    steps = [StepSpec(name="x", action="a"), StepSpec(name="y", action="b", input=3)]
    assert [(who, rule) for who, rule, _ in faults(lambda: compiled(*steps, libraries=[Odd]))] == [
        ("step 'x'", "the type 'Nowhere' in its annotations cannot be found at run time"),
        ("step 'y'", "takes Foreign, which cannot be stored: msgspec does not know Foreign"),
    ]
