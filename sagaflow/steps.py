"""``@step``, and what it leaves in a class: a step of one of four kinds, typed by what it yields."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from .core.declaration import Declaration
from .core.retry import Retry

if TYPE_CHECKING:
    from .record import SagaRecord  # noqa: F401  # named in a text
    from .saga import Saga

C = TypeVar("C")  # a saga's context
D = TypeVar("D")  # the context of a child
E = TypeVar("E")  # an element of each=
O_ = TypeVar("O_")  # a step's output, as later steps and the caller see it; invariant
P = ParamSpec("P")  # a step's parameters after self, with their names
R = TypeVar("R")  # what a step's method returns
T = TypeVar("T")  # what a step waits for
U = TypeVar("U")  # what a compensation takes as its step's output

Undo = Coroutine[Any, Any, None]
"""What a compensation returns when it is called."""


# ---------------------------------------------------------------------------------------- steps


class StepRef(Declaration, Generic[O_]):
    """A step, known by what it yields: for ``after=``, and for ``record.output(OrderSaga.charge)``."""


def former_names(step: StepRef[Any]) -> tuple[str, ...]:
    """The names that a step had in earlier versions of its class."""
    given: Any = step.options.get("formerly", ())
    return (given,) if isinstance(given, str) else tuple(given)


class _Method(StepRef[O_], Generic[P, R, O_]):
    """A step that is an async method."""

    @overload
    def __get__(self, obj: None, owner: type[Any], /) -> Self: ...
    @overload
    def __get__(self, obj: object, owner: type[Any], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, obj: object | None, owner: type[Any], /) -> Any:
        return self if obj is None else self.fn.__get__(obj, owner)


class Step(_Method[P, R, R], Generic[P, R]):
    """``OrderSaga.charge`` is the step; ``OrderSaga(shop).charge(...)`` calls its method, as in a unit test."""


class EachStep(_Method[P, R, list[R]], Generic[P, R]):
    """A step with ``each=``: its method is called for each element, its output is the list of what that returned."""


class ChildStep(_Method[P, D, "SagaRecord[D]"], Generic[P, D]):
    """A step with ``saga=``: its method says the context of another saga, its output is the record of that."""


class WaitStep(_Method[P, None, T], Generic[P, T]):
    """A step with ``waits_for=``: its method asks, its output is what the outside answers."""


# ---------------------------------------------------------------------------------------- options


class CommonOptions(TypedDict, total=False):
    """The options that every step takes.

    Attributes:
        after: the steps that it waits for; without it, all that stand above it but its own parallel group.
        parallel: the name that neighbours share which run side by side.
        when: whether it is done at all: the name of a plain method, which takes the context and outputs of earlier
            steps by name, or a function of the context. Steps that take its output get None if it was skipped.
        retry: when it is tried again; without it, as its saga says.
        timeout: how long one attempt may take, in either direction; without it, for ever.
        delay: how long it waits once it could begin.
        pivot: whether the saga only goes forward once this has begun.
        lock: a key that must be held before it begins, and until the saga has ended: a template such as
            ``"order:{order_id}"``, filled from the context, or a function of the context.
        queue: the logical queue whose workers run it.
        formerly: the name, or names, that it had in earlier versions of the class.
    """

    after: StepRef[Any] | str | Sequence[StepRef[Any] | str]
    parallel: str
    when: str | Callable[[Any], bool] | Callable[Concatenate[Any, Any, ...], bool]
    retry: Retry
    timeout: timedelta | None
    delay: timedelta
    pivot: bool
    lock: str | Callable[[Any], str]
    queue: str
    formerly: str | Sequence[str]


class StepOptions(CommonOptions, total=False):
    """The options of all steps but those with ``saga=``, besides ``compensate=``.

    Attributes:
        compensation_retry: when its compensation is tried again.
        heartbeat_timeout: how long an attempt may be silent; without it, for ever.
        abort_on: exception types that mean: nothing happened, do not try again.
        probe: the method that finds out what happened, or its name. It takes the context, and returns ``Happened``,
            ``NotHappened`` or ``StillUnknown``.
    """

    compensation_retry: Retry
    heartbeat_timeout: timedelta | None
    abort_on: tuple[type[Exception], ...]
    probe: str | Callable[..., Coroutine[Any, Any, Any]] | None


class EachOptions(StepOptions, total=False):
    """The options of a step with ``each=``.

    Attributes:
        compensate: the method that undoes one element, or its name. It is called with the context and the element,
            or with these and the output.
        at_once: how many elements are worked on at a time, at most; without it, all.
    """

    compensate: str | Callable[..., Undo] | None
    at_once: int


class WaitOptions(StepOptions, total=False):
    """The options of a step with ``waits_for=``.

    Attributes:
        compensate: the method that undoes it, or its name.
        signal: the name under which the outside answers; without it, the step's own.
        deadline: how long it waits for the answer; without it, for ever.
    """

    compensate: str | Callable[..., Undo] | None
    signal: str
    deadline: timedelta | None


# ---------------------------------------------------------------------------------------- @step

# What the forms of step() return, for checkers only; really it is a partial. None of these bodies exists at run time:
# they raise because checkers refuse an empty body that should return something.
if TYPE_CHECKING:

    class _Plain:
        """``@step(...)`` without a compensation, or with one that the step's output need not fit."""

        def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Step[P, R]:
            raise NotImplementedError

    class _Undoable(Generic[U]):
        """``@step(compensate=function)``: the step must yield what the function takes, less its None."""

        @overload
        def __call__(
            self: _Undoable[R | None], fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
        ) -> Step[P, R]: ...
        @overload
        def __call__(
            self: _Undoable[R], fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
        ) -> Step[P, R]: ...
        def __call__(self, fn: Any, /) -> Any:
            raise NotImplementedError

    class _Each:
        """``@step(each="items")``: the list is found by name, or by a function; its elements are not known here."""

        def __call__(
            self, fn: Callable[Concatenate[Any, C, E, P], Coroutine[Any, Any, R]], /
        ) -> EachStep[Concatenate[C, E, P], R]:
            raise NotImplementedError

    class _EachOf(Generic[E]):
        """``@step(each=boxes)``: the method takes what is in the list that the step ``boxes`` yields."""

        def __call__(
            self, fn: Callable[Concatenate[Any, C, E, P], Coroutine[Any, Any, R]], /
        ) -> EachStep[Concatenate[C, E, P], R]:
            raise NotImplementedError

    class _Child(Generic[D]):
        """``@step(saga=ShippingSaga)``: the method returns the context of that saga."""

        def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, D]], /) -> ChildStep[P, D]:
            raise NotImplementedError

    class _Wait(Generic[T]):
        """``@step(waits_for=Payment)``: the method returns nothing, the outside answers."""

        def __call__(self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, None]], /) -> WaitStep[P, T]:
            raise NotImplementedError


@overload
def step(fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(*, compensate: str | Callable[[Any, Any], Undo] | None = ..., **options: Unpack[StepOptions]) -> _Plain: ...
@overload
def step(*, compensate: Callable[[Any, Any, U], Undo], **options: Unpack[StepOptions]) -> _Undoable[U]: ...
@overload
def step(
    *,
    each: str | Callable[[Any], Iterable[Any]] | Callable[Concatenate[Any, Any, ...], Iterable[Any]],
    **options: Unpack[EachOptions],
) -> _Each: ...
@overload
def step(
    *, each: StepRef[list[E]] | StepRef[tuple[E, ...]] | StepRef[Sequence[E]], **options: Unpack[EachOptions]
) -> _EachOf[E]: ...
@overload
def step(*, saga: type[Saga[D]], compensate: None = ..., **options: Unpack[CommonOptions]) -> _Child[D]: ...
@overload
def step(*, waits_for: type[T], **options: Unpack[WaitOptions]) -> _Wait[T]: ...
def step(fn: Any = None, /, **options: Any) -> Any:
    """Declare an async method of a saga to be one of its steps.

    Args:
        fn: the method; its first parameter after ``self`` is the context, the others are called like the earlier
            steps whose outputs they take.
        compensate: the method that undoes it, or its name. It is called with the context, or with the context and
            the output, which is None if the outcome is not known.
        each: a list: an earlier step that yields one, a field of the context, the name of a plain method, or a
            function of the context. The method takes an element after the context, and is called for each; later
            steps see the list of what it returned.
        saga: another saga. The method returns its context; later steps see its record.
        waits_for: the type of an answer from outside. The method asks; later steps see the answer.
        options: see ``StepOptions``. A wrong one is a fault of the class, found together with all others.

    Raises:
        TypeError: something that is no method was given by position.

    Example:
        >>> from sagaflow import Saga
        >>> class Greet(Saga[str]):
        ...     @step(compensate="apologise", retry=Retry(attempts=5))
        ...     async def greet(self, name: str) -> str:
        ...         return f"Hello {name}"
        ...
        ...     async def apologise(self, name: str, greeting: str | None) -> None: ...
        >>> [step.compensation for step in Greet.definition]
        ['apologise']
    """
    kind: Any = next((kind for option, kind in _KINDS.items() if option in options), Step)
    if fn is None:
        return partial(kind, options=options)
    if not (callable(fn) or isinstance(fn, staticmethod | classmethod | Declaration)):
        raise TypeError(f"@step({fn!r}): options are given by name, as in @step(compensate={fn!r})")
    return kind(fn, options)


_KINDS: dict[str, Any] = {"each": EachStep, "saga": ChildStep, "waits_for": WaitStep}
