"""What is wrong with a class body is said at the class statement: all of it, with what to write instead."""

# mypy: disable-error-code="empty-body, no-redef, untyped-decorator"
# pyright: reportReturnType=false, reportRedeclaration=false
# (Steps that are never called need no body; and this is all about what is wrong.)

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from types import new_class
from typing import Any

import pytest
from msgspec import Struct

from sagaflow import saga as face
from sagaflow.core.retry import Retry
from sagaflow.errors import DefinitionError
from sagaflow.saga import RESERVED, Saga

step: Any = face.step  # the faults are what the checkers see too


class Order(Struct):
    n: int


async def declared(self: Any, context: Order) -> None: ...


def saga(body: dict[str, Any], **keywords: Any) -> type:
    """A class statement, as an expression."""
    return new_class("Shop", (Saga[Order],), keywords, lambda namespace: _fill(namespace, body))


def _fill(namespace: Any, body: dict[str, Any]) -> None:
    for name, value in body.items():
        namespace[name] = value


def faults(body: Callable[[], Any]) -> list[tuple[str, str, str]]:
    """Offender, rule and remedy of each fault of the class that ``body`` declares."""
    with pytest.raises(DefinitionError) as caught:
        body()
    return [(fault.offender, fault.rule, fault.remedy) for fault in caught.value.faults]


# ---------------------------------------------------------------------------------------- the error


def test_all_faults_of_a_class_come_in_one_error_each_with_its_place() -> None:
    with pytest.raises(DefinitionError) as caught:

        class OrderSaga(Saga[Order], deadlin=timedelta(1)):  # type: ignore[call-arg, unused-ignore]  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
            @step(compensate="relase", parallel="checks")
            async def reserve(self, order: Order) -> int: ...

            async def release(self, order: Order, output: int | None) -> None: ...

            @step(parallel="cheks", retires=3)
            async def validate(self, order: Order) -> bool: ...

            @step(compensate="refund")
            def charge(self, order: Order, reservation: int) -> str: ...

            async def refund(self, order: Order, payment: int | None) -> None: ...

            @step
            async def ship(self, order: Order, charge: int) -> None: ...

    error = caught.value
    assert isinstance(error, TypeError)
    assert error.saga == "OrderSaga"
    assert str(error).startswith("OrderSaga has 9 faults\n  1. ")
    assert [(fault.offender, fault.rule) for fault in error.faults] == [
        ("class keyword 'deadlin'", "is no keyword of a saga class"),
        ("step 'reserve'", "compensate='relase' names no method of the class"),
        ("step 'validate'", "'retires' is no option of @step"),
        ("step 'charge'", "is not an async function"),
        ("step 'charge'", "parameter 'reservation' names no step"),
        ("step 'reserve'", "is alone in the parallel group 'checks'"),
        ("step 'validate'", "is alone in the parallel group 'cheks'"),
        ("compensation 'refund'", "wants payment: int | None, but step 'charge' yields str"),
        ("step 'ship'", "wants charge: int, but step 'charge' yields str"),
    ]
    assert [fault.remedy for fault in error.faults][:3] == [
        "Did you mean 'deadline'?",
        "Did you mean 'release'?",
        "Did you mean 'retry'?",
    ]
    places = [fault.where.partition(":")[0] for fault in error.faults[1:]]
    assert set(places) == {"tests/unit/test_definition_faults.py"}
    assert "at tests/unit/test_definition_faults.py:" in str(error)


def test_one_fault_is_counted_in_the_singular() -> None:
    with pytest.raises(DefinitionError, match="Shop has 1 fault\n"):
        saga({})


def test_the_same_fault_of_a_shared_compensation_counts_once() -> None:
    def body() -> None:
        class Shared(Saga[Order]):
            @step(compensate="undo")
            async def a(self, order: Order) -> None: ...

            @step(compensate="undo")
            async def b(self, order: Order) -> None: ...

            def undo(self, order: Order) -> None: ...

    assert len(faults(body)) == 1


# ---------------------------------------------------------------------------------------- the class


def test_an_empty_saga() -> None:
    assert faults(lambda: saga({})) == [
        ("the class", "declares no step", "Decorate a method with @step, or write class Shop(..., abstract=True).")
    ]


def test_a_saga_without_a_context() -> None:
    def body() -> None:
        class Bare(Saga):  # type: ignore[type-arg]
            a = step(declared)

    assert faults(body) == [
        (
            "the class",
            "does not say what its context is",
            "Write class Bare(Saga[Order]), with the type of your own; Saga[Any] takes plain JSON values.",
        )
    ]


@pytest.mark.parametrize("abstract", [True, False])
def test_an_unknown_keyword_even_of_an_abstract_class(abstract: bool) -> None:
    assert faults(lambda: saga({"a": step(declared)}, queu="x", abstract=abstract)) == [
        ("class keyword 'queu'", "is no keyword of a saga class", "Did you mean 'queue'?")
    ]


@pytest.mark.parametrize("keyword", ["timeout", "pivot", "each"])
def test_keywords_that_there_are_not(keyword: str) -> None:
    ((offender, rule, remedy),) = faults(lambda: saga({"a": step(declared)}, **{keyword: "x"}))
    assert (offender, rule) == (f"class keyword {keyword!r}", "is no keyword of a saga class")
    assert remedy == (
        "There is: abstract, cancel_siblings, compensation_deadline, compensation_retry, deadline, lock, name, queue, "
        "retry."
    )


@pytest.mark.parametrize(
    ("keyword", "value", "rule", "remedy"),
    [
        ("name", 3, "name=3 is no name", "Write a str of 1 to 100 printable characters."),
        ("name", "", "name='' is no name", "Write a str of 1 to 100 printable characters."),
        ("name", "a\nb", "name='a\\nb' is no name", "Write a str of 1 to 100 printable characters."),
        ("name", "x" * 101, f"name={'x' * 101!r} is no name", "Write a str of 1 to 100 printable characters."),
        ("abstract", 1, "abstract=1 is neither True nor False", "Write abstract=True, or leave it out."),
        ("retry", 4, "retry=4 is no Retry", "Write retry=Retry(attempts=4)."),
        (
            "compensation_retry",
            None,
            "compensation_retry=None is no Retry",
            "Write compensation_retry=Retry(attempts=5).",
        ),
        ("deadline", 60, "deadline=60 is no timedelta", "Write deadline=timedelta(seconds=60)."),
        (
            "deadline",
            timedelta(0),
            "deadline=datetime.timedelta(0) leaves no time at all",
            "Write a time above zero, or leave deadline= out for no limit.",
        ),
        (
            "compensation_deadline",
            60,
            "compensation_deadline=60 is no timedelta",
            "Write compensation_deadline=timedelta(seconds=60).",
        ),
        (
            "cancel_siblings",
            1,
            "cancel_siblings=1 is neither True nor False",
            "Write cancel_siblings=True, or leave it out.",
        ),
        (
            "queue",
            "a/b",
            "queue='a/b' is no name of a queue",
            "Write 1 to 100 letters, digits, '_', '.' or '-': queue='payments'.",
        ),
    ],
)
def test_a_keyword_with_a_wrong_value(keyword: str, value: Any, rule: str, remedy: str) -> None:
    assert faults(lambda: saga({"a": step(declared)}, **{keyword: value})) == [("the class", rule, remedy)]


def test_the_longest_name() -> None:
    made: Any = saga({"a": step(declared)}, name="é" * 100, queue="q" * 100)
    assert (made.definition.name, made.definition["a"].queue) == ("é" * 100, "q" * 100)


def test_a_step_declared_twice_even_by_a_plain_method_even_in_an_abstract_class() -> None:
    def steps() -> None:
        class Twice(Saga[Order]):
            @step
            async def a(self, order: Order) -> int: ...

            @step
            async def a(self, order: Order) -> int: ...  # noqa: F811

    def method() -> None:
        class Twice(Saga[Order], abstract=True):
            @step
            async def a(self, order: Order) -> int: ...

            async def a(self, order: Order) -> int: ...  # noqa: F811

    for body in (steps, method):
        assert faults(body) == [
            (
                "step 'a'",
                "is declared twice; the second would silently replace the first",
                "Rename one of them.",
            )
        ]


def test_a_step_made_of_a_method_of_the_same_name_is_declared_once() -> None:
    def body() -> type[Saga[Order]]:
        class Once(Saga[Order]):
            async def a(self, order: Order) -> None: ...

            a = step(a)
            a = a

        return Once

    assert [declared.name for declared in body().definition] == ["a"]


def test_a_plain_method_over_an_inherited_step() -> None:
    class Base(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

        @step
        async def b(self, order: Order) -> int: ...

    async def hiding(self: Any, order: Order) -> int: ...

    with pytest.raises(DefinitionError) as caught:

        class Child(Base):
            a = hiding

    (fault,) = caught.value.faults
    assert fault.offender == "'a'"
    assert fault.rule == "hides the inherited step 'a'"
    assert (
        fault.remedy == "Decorate it with @step(...), which repeats the options it should have; or call it otherwise."
    )
    assert fault.where.endswith(f":{hiding.__code__.co_firstlineno}")


def test_a_step_over_a_plain_method_is_right() -> None:
    class Base(Saga[Order], abstract=True):
        async def a(self, order: Order) -> int: ...

    class Child(Base):
        @step
        async def a(self, order: Order) -> int: ...

    assert [declared.name for declared in Child.definition] == ["a"]


# ---------------------------------------------------------------------------------------- names


def test_the_reserved_names_are_all_that_saga_gives_and_will_give() -> None:
    assert {
        "attempt",
        "deadline",
        "definition",
        "execution",
        "heartbeat",
        "idempotency_key",
        "outcome",
        "resolve_types",
        "saga_id",
        "start",
        "step_key",
        "step_name",
    } == RESERVED


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name(name: str) -> None:
    expected = (repr(name), "is a name that Saga itself uses", f"Call it {name}_, or better: say what it does.")
    assert faults(lambda: saga({"a": step(declared), name: 3})) == [expected]
    assert expected in faults(lambda: saga({name: step(declared)}))


def test_a_reserved_name_of_a_field_without_a_value() -> None:
    def body() -> None:
        class Fields(Saga[Order]):
            deadline: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride, reportAssignmentType]
            a = step(declared)

    assert [offender for offender, _, _ in faults(body)] == ["'deadline'"]


@pytest.mark.parametrize("name", ["register", "mro", "name", "queue", "retry", "abstract"])
def test_names_that_are_free(name: str) -> None:
    made: Any = saga({name: step(declared)})
    assert [one.name for one in made.definition] == [name]


def test_a_step_with_an_underscore() -> None:
    assert faults(lambda: saga({"_hidden": step(declared)})) == [
        ("step '_hidden'", "begins with an underscore; steps are public", "Call it 'hidden'.")
    ]


def test_a_step_under_two_names() -> None:
    one = step(declared)
    assert faults(lambda: saga({"a": one, "b": one})) == [
        (
            "step 'b'",
            "is the step 'a' under a second name",
            "Write a method of its own, with @step, that calls what both share.",
        )
    ]


# ---------------------------------------------------------------------------------------- order


def after(*given: Any, **options: Any) -> list[tuple[str, str, str]]:
    """The faults of step 'b', which stands between 'a' and 'c', with ``after=given``."""

    def body() -> None:
        class Three(Saga[Order]):
            @step
            async def a(self, order: Order) -> None: ...

            @step(after=given[0], **options)
            async def b(self, order: Order) -> None: ...

            @step
            async def c(self, order: Order) -> None: ...

    return faults(body)


def test_after_names_the_step_itself() -> None:
    assert after("b") == [
        ("step 'b'", "after='b' is the step itself: that is a cycle", "Name the steps that it waits for.")
    ]


def test_after_names_a_later_step() -> None:
    assert after(["a", "c"]) == [
        (
            "step 'b'",
            "after='c' is declared below it: that would make a cycle",
            "Declare 'c' above 'b'; a step waits for what stands above it.",
        )
    ]


def test_after_names_no_step() -> None:
    assert after("zzz") == [("step 'b'", "after='zzz' is no step of this saga", "Declare it above.")]


def test_after_names_a_step_almost() -> None:
    def body() -> None:
        class Near(Saga[Order]):
            @step
            async def reserve(self, order: Order) -> None: ...

            @step(after="reserv")
            async def charge(self, order: Order) -> None: ...

    assert faults(body) == [("step 'charge'", "after='reserv' is no step of this saga", "Did you mean 'reserve'?")]


@pytest.mark.parametrize("value", [3, None, {"a"}])
def test_after_is_no_step(value: Any) -> None:
    assert after(value) == [
        ("step 'b'", f"after={value!r} is neither a step nor a step's name", "Write after=reserve, or after=[a, b].")
    ]


def test_after_is_a_plain_method() -> None:
    assert after(declared) == [
        (
            "step 'b'",
            "after=the method 'declared' is neither a step nor a step's name",
            "Write after=reserve, or after=[a, b].",
        )
    ]


def test_after_holds_no_step() -> None:
    assert after(["a", 3]) == [
        ("step 'b'", "after= holds 3, which is neither a step nor a step's name", "Name steps only.")
    ]


def test_a_split_group() -> None:
    def body() -> None:
        class Split(Saga[Order]):
            @step(parallel="checks")
            async def a(self, order: Order) -> None: ...

            @step
            async def b(self, order: Order) -> None: ...

            @step(parallel="checks")
            async def c(self, order: Order) -> None: ...

    assert faults(body) == [
        (
            "step 'c'",
            "joins the parallel group 'checks', but 'b' stands between",
            "Move it next to the group, call its group otherwise, or use after=.",
        )
    ]


def test_a_group_of_one() -> None:
    assert faults(lambda: saga({"a": step(parallel="checks")(declared)})) == [
        ("step 'a'", "is alone in the parallel group 'checks'", "Drop parallel=, or give it a neighbour.")
    ]


def test_steps_of_a_group_wait_for_one_another() -> None:
    def body() -> None:
        class Beside(Saga[Order]):
            @step(parallel="checks")
            async def a(self, order: Order) -> int: ...

            @step(parallel="checks")
            async def b(self, order: Order, a: int) -> None: ...

            @step(parallel="checks", after="a")
            async def c(self, order: Order) -> None: ...

    remedy = "Take one of them out of the group."
    assert faults(body) == [
        ("step 'b'", "takes the output of 'a', which runs beside it", remedy),
        ("step 'c'", "after='a' runs beside it, in the same group", remedy),
    ]


# ---------------------------------------------------------------------------------------- methods


def test_a_parameter_that_names_no_earlier_step() -> None:
    def body() -> None:
        class Inputs(Saga[Order]):
            @step
            async def reserve(self, order: Order, reserve: int) -> int: ...

            @step
            async def charge(self, order: Order, reserv: int, ship: int, x: int = 0) -> int: ...

            @step
            async def ship(self, order: Order) -> int: ...

    assert faults(body) == [
        ("step 'reserve'", "takes its own output", "Call the parameter like the step whose output it takes."),
        ("step 'charge'", "parameter 'reserv' names no step", "Did you mean 'reserve'?"),
        ("step 'charge'", "takes the output of 'ship', which is declared below it", "Declare 'ship' above 'charge'."),
        (
            "step 'charge'",
            "parameter 'x' names no step",
            "A parameter after the context is called like the step whose output it takes.",
        ),
    ]


async def no_self() -> None: ...
async def no_context(self: Any) -> None: ...
async def keyword_context(self: Any, *, context: Order) -> None: ...


@pytest.mark.parametrize("fn", [no_self, no_context, keyword_context])
def test_a_step_without_a_context(fn: Any) -> None:
    assert faults(lambda: saga({"a": step(fn)})) == [
        ("step 'a'", "takes no context", "Write 'async def a(self, context, ...)'.")
    ]


async def only_args(*args: Any) -> None: ...
async def some_args(self: Any, context: Order, *args: Any) -> None: ...
async def some_keywords(self: Any, context: Order, **keywords: Any) -> None: ...


@pytest.mark.parametrize("fn", [only_args, some_args, some_keywords])
def test_a_step_with_any_arguments(fn: Any) -> None:
    assert faults(lambda: saga({"a": step(fn)})) == [
        (
            "step 'a'",
            "takes *args or **kwargs, which name no step",
            "Write a parameter for each step whose output it takes.",
        )
    ]


def test_an_input_by_position_only() -> None:
    def body() -> None:
        class Positional(Saga[Order]):
            @step
            async def a(self, order: Order) -> int: ...

            @step
            async def b(self, order: Order, a: int, /) -> None: ...

    assert faults(body) == [
        (
            "step 'b'",
            "takes 'a' by position only, but outputs are handed over by name",
            "Write the '/' right after the context, or leave it out.",
        )
    ]


def sync(self: Any, context: Order) -> None: ...
async def generator(self: Any, context: Order) -> AsyncIterator[int]:
    yield 1


class Functor:
    async def __call__(self, context: Order) -> None: ...


NO_METHODS: list[tuple[Any, str, str]] = [
    (sync, "is not an async function", "; wrap blocking calls in asyncio.to_thread."),
    (generator, "is an async generator, which yields values but returns none", " and return a list."),
    (staticmethod(declared), "is a static method; it works on an instance, which knows its saga and its keys", "."),
    (classmethod(declared), "is a class method; it works on an instance, which knows its saga and its keys", "."),
    (functools.partial(declared), "is no method, but an object of type partial", "."),
    (Functor(), "is no method, but an object of type Functor", "."),
]


@pytest.mark.parametrize(("fn", "rule", "remedy"), NO_METHODS)
def test_a_step_that_is_no_async_method(fn: Any, rule: str, remedy: str) -> None:
    write = "Write 'async def a(self, context, ...)'"
    assert faults(lambda: saga({"a": step(fn)})) == [("step 'a'", rule, f"{write}{remedy}")]


def test_a_step_twice_over() -> None:
    assert faults(lambda: saga({"a": step(step(declared))})) == [
        ("step 'a'", "is declared a step twice over", "Write @step once.")
    ]


def wrapping(fn: Any) -> Any:
    @functools.wraps(fn)
    async def wrapper(self: Any, *args: Any, **keywords: Any) -> Any:
        return await fn(self, *args, **keywords)

    return wrapper


@pytest.mark.parametrize(
    ("decorate", "name"),
    [(staticmethod, "@staticmethod"), (classmethod, "@classmethod"), (wrapping, "another decorator")],
)
def test_another_decorator_above_step(decorate: Any, name: str) -> None:
    assert faults(lambda: saga({"a": decorate(step(declared)), "b": step(declared)})) == [
        (
            "step 'a'",
            f"stands under {name}, which hides it",
            "Write @step above all other decorators, on an async method.",
        )
    ]


def test_a_decorator_below_step_keeps_the_parameters() -> None:
    class Decorated(Saga[Order]):
        @step
        async def a(self, order: Order) -> int: ...

        @step
        @wrapping
        async def b(self, order: Order, a: int) -> int: ...

    assert Decorated.definition["b"].inputs == ("a",)


def test_options_given_by_position() -> None:
    with pytest.raises(TypeError, match=r"options are given by name, as in @step\(compensate='undo'\)"):
        step("undo")


# ---------------------------------------------------------------------------------------- compensations


def undone_by(compensate: Any, **members: Any) -> list[tuple[str, str, str]]:
    return faults(lambda: saga({"charge": step(compensate=compensate)(declared), **members}))


def test_a_missing_compensation() -> None:
    assert undone_by("refund") == [
        (
            "step 'charge'",
            "compensate='refund' names no method of the class",
            "Write 'async def refund(self, context, output)'.",
        )
    ]


def test_only_methods_are_suggested_for_a_compensation() -> None:
    ((_, _, remedy),) = undone_by("refunds", refund_=3, refund=declared)
    assert remedy == "Did you mean 'refund'?"
    ((_, _, remedy),) = undone_by("limits", limit=3)
    assert remedy == "Write 'async def limits(self, context, output)'."
    ((_, _, remedy),) = undone_by("__init", __init__=lambda self: None)
    assert remedy == "Write 'async def __init(self, context, output)'."


def test_a_compensation_that_is_a_step() -> None:
    rule = "is itself a step"
    remedy = "Name a method without @step: a step is done, a compensation undoes it."
    other = step(declared)
    assert undone_by("other", other=other) == [("step 'charge'", f"compensate='other' {rule}", remedy)]
    assert undone_by(other, other=other) == [("step 'charge'", f"compensate=other {rule}", remedy)]


def test_a_compensation_that_is_a_lambda() -> None:
    assert undone_by(lambda self, context: None) == [
        (
            "step 'charge'",
            "compensate= is a lambda, which has no name to find it by",
            "Name an async method of the class.",
        )
    ]


async def outsider(self: Any, context: Order) -> None: ...


def test_a_compensation_that_is_a_function_of_no_class() -> None:
    assert undone_by(outsider) == [
        ("step 'charge'", "compensate='outsider' names no method of the class", "Name an async method of the class.")
    ]


def test_a_compensation_that_is_a_function_called_like_a_method() -> None:
    async def of_the_class(self: Any, context: Order) -> None: ...

    assert undone_by(outsider, outsider=of_the_class) == [
        (
            "step 'charge'",
            "compensate= is another function than the method 'outsider' of the class",
            "Write compensate='outsider'.",
        )
    ]


@pytest.mark.parametrize("value", [3, functools.partial(declared)])
def test_a_compensation_that_is_neither_a_method_nor_a_name(value: Any) -> None:
    assert undone_by(value) == [
        (
            "step 'charge'",
            f"compensate={value!r} is neither a method nor a method's name",
            "Name an async method of the class.",
        )
    ]


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_compensation_given_as_a_static_or_class_method(kind: Any) -> None:
    assert undone_by(kind(declared)) == [
        ("step 'charge'", "compensate= is a static or class method", "Name an async method of the class.")
    ]


@pytest.mark.parametrize(("fn", "rule", "remedy"), NO_METHODS)
def test_a_compensation_that_is_no_async_method(fn: Any, rule: str, remedy: str) -> None:
    write = "Write 'async def refund(self, context, output)'"
    assert undone_by("refund", refund=fn) == [("compensation 'refund'", rule, f"{write}{remedy}")]


async def three(self: Any, context: Order, output: int, more: int = 0) -> None: ...
async def keyword_output(self: Any, context: Order, *, output: int) -> None: ...


@pytest.mark.parametrize(
    ("fn", "shown"),
    [
        (no_self, "nothing"),
        (no_context, "nothing"),
        (three, "context: 'Order', output: 'int', more: 'int' = 0"),
        (keyword_context, "context: 'Order'"),
        (keyword_output, "context: 'Order', output: 'int'"),
        (some_args, "context: 'Order', *args: 'Any'"),
        (only_args, "*args: 'Any'"),
    ],
)
def test_a_compensation_with_other_parameters(fn: Any, shown: str) -> None:
    assert undone_by("refund", refund=fn) == [
        (
            "compensation 'refund'",
            f"takes ({shown}), but is called by position, with the context and perhaps the output",
            "Write 'async def refund(self, context, output)' or 'async def refund(self, context)'.",
        )
    ]


# ---------------------------------------------------------------------------------------- options


@pytest.mark.parametrize("option", ["name", "abstract", "cancel_siblings", "retries", "depends_on"])
def test_options_that_there_are_not(option: str) -> None:
    ((offender, rule, remedy),) = faults(lambda: saga({"a": step(**{option: 1})(declared)}))
    assert (offender, rule) == ("step 'a'", f"{option!r} is no option of @step")
    assert remedy


QUEUE_REMEDY = "Write 1 to 100 letters, digits, '_', '.' or '-': queue='payments'."
WORD_REMEDY = "Write a str of 1 to 100 printable characters."


@pytest.mark.parametrize(
    ("option", "value", "rule", "remedy"),
    [
        ("retry", 3, "retry=3 is no Retry", "Write retry=Retry(attempts=3)."),
        ("retry", 1, "retry=1 is no Retry", "Write retry=Retry(attempts=1)."),
        ("retry", True, "retry=True is no Retry", "Write retry=Retry(attempts=5)."),
        ("retry", 0, "retry=0 is no Retry", "Write retry=Retry(attempts=5)."),
        (
            "compensation_retry",
            Retry,
            f"compensation_retry={Retry!r} is no Retry",
            "Write compensation_retry=Retry(attempts=5).",
        ),
        ("timeout", 3, "timeout=3 is no timedelta", "Write timeout=timedelta(seconds=3)."),
        ("timeout", 0.5, "timeout=0.5 is no timedelta", "Write timeout=timedelta(seconds=0.5)."),
        ("timeout", 0, "timeout=0 is no timedelta", "Write timeout=timedelta(seconds=30)."),
        ("timeout", -1, "timeout=-1 is no timedelta", "Write timeout=timedelta(seconds=30)."),
        ("timeout", True, "timeout=True is no timedelta", "Write timeout=timedelta(seconds=30)."),
        ("timeout", "3s", "timeout='3s' is no timedelta", "Write timeout=timedelta(seconds=30)."),
        (
            "timeout",
            timedelta(seconds=-1),
            "timeout=datetime.timedelta(days=-1, seconds=86399) leaves no time at all",
            "Write a time above zero, or leave timeout= out for no limit.",
        ),
        ("abort_on", KeyError, "abort_on=KeyError is no tuple", "Write abort_on=(KeyError,)."),
        ("abort_on", [KeyError], f"abort_on={[KeyError]!r} is no tuple", "Write abort_on=(CardDeclined,)."),
        ("abort_on", (3,), "abort_on= holds 3, which is no subclass of Exception", "Name exception types only."),
        ("abort_on", (int,), "abort_on= holds int, which is no subclass of Exception", "Name exception types only."),
        (
            "abort_on",
            (KeyError, asyncio.CancelledError),
            "abort_on= holds CancelledError, which is no subclass of Exception",
            "Name exception types only.",
        ),
        ("queue", 3, "queue=3 is no name of a queue", QUEUE_REMEDY),
        ("queue", "", "queue='' is no name of a queue", QUEUE_REMEDY),
        ("queue", "a b", "queue='a b' is no name of a queue", QUEUE_REMEDY),
        ("queue", "a\n", "queue='a\\n' is no name of a queue", QUEUE_REMEDY),
        ("queue", "é", "queue='é' is no name of a queue", QUEUE_REMEDY),
        ("queue", "x" * 101, f"queue={'x' * 101!r} is no name of a queue", QUEUE_REMEDY),
        ("parallel", 3, "parallel=3 is no name", WORD_REMEDY),
        ("parallel", "", "parallel='' is no name", WORD_REMEDY),
    ],
)
def test_an_option_with_a_wrong_value(option: str, value: Any, rule: str, remedy: str) -> None:
    assert faults(lambda: saga({"a": step(**{option: value})(declared)})) == [("step 'a'", rule, remedy)]
