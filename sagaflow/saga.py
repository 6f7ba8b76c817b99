"""The syntax of sagas: ``Saga``, and its thin metaclass; ``@step`` is in ``steps``."""

from __future__ import annotations

import warnings
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .ambient import current_engine
from .core.annotations import hints_of
from .core.compiler import Compiled, check_abstract, compile_saga
from .core.declaration import Declaration, DefinitionWarning
from .core.definition import SagaDefinition
from .core.lineage import (
    NAMES,
    Body,
    annotated_names,
    bindings,
    members_of,
    names_around,
    namespace_of,
    owner_of,
)
from .core.retry import Retry
from .core.source import Source
from .core.typecheck import SagaTypes
from .execution import Execution, Outcome, execution_of, reattach
from .steps import (
    ChildStep,
    CommonOptions,
    EachOptions,
    EachStep,
    Step,
    StepOptions,
    StepRef,
    WaitOptions,
    WaitStep,
    step,
)

if TYPE_CHECKING:
    from .engine.handle import SagaHandle

__all__ = [
    "ChildStep",
    "CommonOptions",
    "DefinitionWarning",
    "EachOptions",
    "EachStep",
    "Saga",
    "SagaMeta",
    "SagaTypes",
    "Step",
    "StepOptions",
    "StepRef",
    "WaitOptions",
    "WaitStep",
    "step",
]

C = TypeVar("C")  # a saga's context; invariant, so that start(AnotherContext()) is refused


# ---------------------------------------------------------------------------------------- the metaclass


class SagaMeta(ABCMeta):
    """Collects what a class and its bases declare, and has it compiled. No registry, and nothing else, happens here.

    It must bear to make one class twice: that is what ``@dataclass(slots=True)`` does, without the class keywords.
    """

    __saga_keywords__: dict[str, Any]
    __saga_source__: Source
    __saga_compiled__: Compiled | None

    @classmethod
    def __prepare__(mcls, cls_name: str, bases: tuple[type, ...], /, **keywords: Any) -> Body:  # noqa: N804  # a class of classes
        return Body()

    if TYPE_CHECKING:  # pyright checks class keywords against this; mypy never does

        def __new__(  # noqa: PLR0913  # they are the keywords of a class statement
            mcls,
            cls_name: str,
            bases: tuple[type, ...],
            body: dict[str, Any],
            /,
            *,
            name: str = ...,
            abstract: bool = ...,
            retry: Retry = ...,
            compensation_retry: Retry = ...,
            deadline: timedelta | None = ...,
            compensation_deadline: timedelta | None = ...,
            lock: str | Callable[[Any], str] = ...,
            cancel_siblings: bool = ...,
            queue: str = ...,
        ) -> SagaMeta: ...
    else:

        def __new__(mcls, cls_name, bases, body, /, **keywords):
            again = NAMES in body
            names = body[NAMES] if again else names_around(1)
            keywords = {**body.get("__saga_keywords__", {}), **keywords}
            made = {**body, NAMES: names, "__saga_keywords__": keywords, "__saga_compiled__": None}
            cls = super().__new__(mcls, cls_name, bases, made)
            if not any(isinstance(base, SagaMeta) for base in bases):
                return cls  # Saga itself
            cls.__saga_source__ = source = _source(cls, getattr(body, "replaced", ()))
            if _is_abstract(cls, source):
                check_abstract(source)
                return cls
            cls.__saga_compiled__ = compiled = compile_saga(source)
            for warning in () if again else compiled.warnings:
                warnings.warn(warning, DefinitionWarning, stacklevel=2)
            return cls

    @property
    def definition(cls) -> SagaDefinition:
        """The compiled saga; final once ``resolve_types`` has run.

        Raises:
            TypeError: the class is abstract.
        """
        return cls._compiled().types.definition

    def resolve_types(cls) -> SagaTypes:
        """The saga with all its types, when an engine takes it: by now every annotation must be readable.

        Raises:
            DefinitionError: an annotation cannot be read, or has faults that could not be seen before.
            TypeError: the class is abstract.
        """
        before = cls._compiled()
        if not before.is_complete:
            cls.__saga_compiled__ = compile_saga(cls.__saga_source__, complete=True)
            for warning in cls.__saga_compiled__.warnings:
                if warning not in before.warnings:
                    warnings.warn(warning, DefinitionWarning, stacklevel=2)
        return cls._compiled().types

    def _compiled(cls) -> Compiled:
        if cls.__saga_compiled__ is None:
            raise TypeError(
                f"{cls.__name__} is abstract: it has no definition. Subclass it, and give what is missing: "
                f"the context, its abstract methods, or a class without abstract=True."
            )
        return cls.__saga_compiled__


def _source(cls: SagaMeta, replaced: Sequence[Declaration]) -> Source:
    """What the compiler needs to know of a class, read off it."""
    bound = bindings(cls)
    members = members_of(cls, Saga)

    def hints(name: str) -> Mapping[str, Any]:
        owner, member = owner_of(cls, name), members[name][0]
        fn = member.fn if isinstance(member, Declaration) else member
        return hints_of(fn, namespace_of(owner), bound[owner])

    return Source(
        saga=cls.__name__,
        members=members,
        keywords=_keywords(cls),
        context=bound[Saga][C],
        hints=hints,
        record=_record_of,
        replaced=replaced,
        annotated=frozenset(annotated_names(cls)),
        reserved=RESERVED,
    )


def _record_of(context: Any) -> Any:
    """The type of the records of sagas with such a context."""
    from .record import SagaRecord  # noqa: PLC0415  # records know steps, and steps with saga= yield records

    return SagaRecord[context]


def _keywords(cls: type) -> dict[str, Any]:
    """The keywords in force, nearest first; a name and ``abstract`` are a class's own."""
    merged: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        own: Mapping[str, Any] = vars(base).get("__saga_keywords__", {})
        merged |= {key: value for key, value in own.items() if base is cls or key not in ("name", "abstract")}
    return merged


def _is_abstract(cls: SagaMeta, source: Source) -> bool:
    is_open = source.context in getattr(cls, "__parameters__", ())
    return bool(source.keywords.get("abstract") or cls.__abstractmethods__ or is_open)


# ---------------------------------------------------------------------------------------- Saga


class Saga(Generic[C], metaclass=SagaMeta):
    """A business transaction over several services: steps, each with a compensation that undoes it.

    Subclass it with the type of the context, and declare steps. An instance serves one execution of one step; what it
    was made with (services, clients) are its ordinary attributes. Class keywords: ``name``, ``abstract``, ``retry``,
    ``compensation_retry``, ``deadline``, ``compensation_deadline``, ``lock``, ``cancel_siblings``, ``queue``.

    Raises:
        DefinitionError: at the class statement: the class has faults; all of them are in the error.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class OrderSaga(Saga[str], deadline=timedelta(hours=1)):
        ...     prefix: str
        ...
        ...     @step
        ...     async def greet(self, order: str) -> str:
        ...         return f"{self.prefix} {order}"
        >>> [step.name for step in OrderSaga.definition]
        ['greet']
    """

    @classmethod
    async def start(
        cls,
        context: C,
        /,
        *,
        id: str | None = None,
        at: datetime | None = None,
        delay: timedelta | None = None,
        tags: Iterable[str] = (),
    ) -> SagaHandle[C]:
        """Start one saga on the engine that is open here.

        Args:
            context: its immutable input.
            id: names this transaction for ever; the same id with an equal context is the same saga. Without it, a
                new one is made up.
            at: when it begins; an aware datetime. Without it, at once.
            delay: after which time it begins, in place of ``at``.
            tags: labels that people find it by. Nothing is decided by them.

        Raises:
            NoEngine: no open engine can be meant, or more than one.
            SagaExists: the id is taken by another saga.
            PayloadError: the context is not of its declared type, or cannot be stored.
            ValueError: the id, the time or a tag cannot be one.
        """
        return await current_engine(cls).start(cls, context, id=id, at=at, delay=delay, tags=tags)

    @property
    def execution(self) -> Execution:
        """All that is known of this execution; a *detached* one if a method was called by hand."""
        known = execution_of(self)
        return reattach(self, Execution()).execution if known is None else known

    @property
    def saga_id(self) -> str:
        """The saga that this step belongs to."""
        return self.execution.saga_id

    @property
    def step_name(self) -> str:
        """The step that is done or undone."""
        return self.execution.step_name

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1; each direction counts for itself."""
        return self.execution.attempt

    @property
    def outcome(self) -> Outcome:
        """In a compensation: whether the step ``"completed"``, or is ``"unknown"`` to have had its effect.

        Raises:
            RuntimeError: this is no compensation.
        """
        outcome = self.execution.outcome
        if outcome is None:
            raise RuntimeError(
                "self.outcome is known in compensations only: it says what became of the step. In a unit test, write "
                "executing(saga, outcome='unknown')."
            )
        return outcome

    @property
    def deadline(self) -> datetime | None:
        """When the saga is compensated unless it has ended; None if it has no deadline."""
        return self.execution.deadline

    def heartbeat(self) -> None:
        """Say "I am alive", in a step with ``heartbeat_timeout=``: from any thread, as often as you like.

        Raises:
            StepCancelled: the saga has turned back, and this attempt is not wanted any more; let it pass.
        """
        self.execution.pulse()

    @property
    def step_key(self) -> str:
        """The key of the step, the same in its compensation: how to find what an attempt did. ASCII, at most 59."""
        return self.execution.step_key

    @property
    def idempotency_key(self) -> str:
        """The key of this call, the same for all its attempts, and of nothing else. ASCII, at most 64."""
        return self.execution.idempotency_key

    if not TYPE_CHECKING:  # pragma: no branch  # checkers would allow any attribute if they saw this

        def __setattr__(self, name, value):
            known = execution_of(self)
            if known is not None and not known.detached:
                raise AttributeError(
                    f"{type(self).__name__}.{name} is set inside a step, but the next step runs on another instance, "
                    f"perhaps in another process. Return the value as the step's output instead."
                )
            super().__setattr__(name, value)


RESERVED = frozenset(n for c in (Saga, SagaMeta) for n in vars(c) if not n.startswith("_"))
"""The names that a saga's members may not have."""
