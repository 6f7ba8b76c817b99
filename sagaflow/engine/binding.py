"""What an engine knows of one graph of one saga: how to call its methods, its types, how its values are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from ..core.definition import SagaDefinition, StepDefinition
from ..core.state import Direction, Received, SagaState
from ..core.unfold import unfold
from ..core.versions import Revived
from ..core.work import Agenda, Duty, DutyKind, Work
from ..errors import PayloadError, PayloadTooLarge
from ..ports import Codec
from ..record import Family, SagaRecord
from ..saga import Saga, SagaMeta, SagaTypes
from ..step_record import StepError

Factory = Callable[[], Saga[Any]]


@dataclass(frozen=True, slots=True)
class Binding:
    """One graph, bound to the code that runs it.

    Attributes:
        saga: the class; None if its steps are data.
        factories: from a method's name to what makes the instance that has it.
        types: its definition, and the types of its values.
        codec: how values are written.
        names: from the name of a step in the graph to its name today, where that is another one.
        lacking: what today's code cannot do for it, by step and direction, and why.
    """

    saga: type[Saga[Any]] | None
    factories: Callable[[str], Factory]
    types: SagaTypes
    codec: Codec
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    lacking: Mapping[tuple[str, Direction], str] = field(default_factory=dict[tuple[str, Direction], str])

    @classmethod
    def of(cls, factory: Factory, codec: Codec) -> Binding:
        """Bind a class, or a factory (``partial(OrderSaga, shop)``, a lambda) of one.

        Raises:
            DefinitionError: the class has faults that could not be seen before.
            TypeError: it is no saga, or an abstract one.
        """
        saga = class_of(factory)
        return cls(saga, lambda _: factory, saga.resolve_types(), codec)

    @property
    def definition(self) -> SagaDefinition:
        return self.types.definition

    def revived(self, old: Revived) -> Binding:
        """The same code, for a graph that sagas were started by before."""
        types = self.types
        return replace(
            self,
            types=replace(
                types,
                definition=old.definition,
                outputs=_by_old_name(types.outputs, old),
                returns=_by_old_name(types.returns, old),
                items=_by_old_name(types.items, old),
                children=_by_old_name(types.children, old),
            ),
            names=old.names,
            lacking=old.lacking,
        )

    def why_not(self, step: StepDefinition, direction: Direction) -> str | None:
        """Why this code cannot do, undo or probe a step; None if it can."""
        return self.lacking.get((base_name(step), direction)) if self.lacking else None

    def can_do(self, state: SagaState, work: Work) -> bool:
        """Whether this code can make this attempt."""
        return not self.lacking or self.why_not(self.plan(state)[work.step], work.direction) is None

    def owed(self, state: SagaState, agenda: Agenda) -> list[Duty]:
        """What the saga owes to other documents and this code can do."""
        if not self.lacking:
            return agenda.duties
        return [duty for duty in agenda.duties if (duty.subject, _needed_for(duty, state)) not in self.lacking]

    def can_bring_on(self, state: SagaState, now: float) -> bool:
        """Whether this code can do what is due, or some of it."""
        if not self.lacking:
            return True
        agenda = Agenda.of(self.definition, state)
        if self.owed(state, agenda) or (agenda.tick is not None and agenda.tick <= now):
            return True
        due = [work for work in agenda.works if work.due <= now]
        if due:
            return any(self.can_do(state, work) for work in due)
        return not agenda.duties

    def handler(self, method: str) -> Saga[Any]:
        """A new instance that has this method."""
        return self.factories(method)()

    # ------------------------------------------------------------------ values

    def encode_context(self, context: object, limit: int) -> str:
        """The context as it is kept.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        text = self.codec.encode(context, self.types.context)
        return within(text, limit, f"The context of {self.definition.name}")

    def decode_context(self, state: SagaState) -> Any:
        return self.codec.decode(state.context, self.types.context)

    def encode_result(self, step: StepDefinition, result: object, limit: int) -> str:
        """What a step's method returned, as it is kept.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        kind = self.types.returns.get(base_name(step), Any)
        return within(self.codec.encode(result, kind), limit, f"The output of step {step.name!r}")

    def encode_output(self, step: StepDefinition, output: object, limit: int) -> str:
        """What stands for a step's output, as it is kept: an answer from outside, or an operator's substitute.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        text = self.codec.encode(output, self._output_type(step))
        return within(text, limit, f"The output of step {step.name!r}")

    def decode_output(self, step: StepDefinition, payload: str) -> Any:
        return self.codec.decode(payload, self._output_type(step))

    def is_same_answer(self, step: StepDefinition, one: Received, output: str | None, error: str | None) -> bool:
        """Whether an answer from outside says what this one says: decoded, for a codec may write a value in two ways.

        Raises:
            PayloadError: one of them cannot be read.
        """
        if (one.output, one.error) == (output, error):
            return True
        if one.output is not None and output is not None:
            return bool(self.decode_output(step, one.output) == self.decode_output(step, output))
        if one.error is not None and error is not None:
            return bool(self.codec.decode(one.error, StepError) == self.codec.decode(error, StepError))
        return False

    def _output_type(self, step: StepDefinition) -> Any:
        kinds = self.types.returns if step.element else self.types.outputs
        return kinds.get(base_name(step), Any)

    def encode_item(self, step: StepDefinition, item: object, limit: int) -> str:
        """An element of a list, as it is kept.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        kind = self.types.items.get(base_name(step), Any)
        return within(self.codec.encode(item, kind), limit, f"An element of step {step.name!r}")

    def encode_input(self, step: StepDefinition, value: object, limit: int) -> str:
        """The input of a step whose saga is made of data, as it is kept; plain data is read as what it stands for.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        kind = self.types.items.get(base_name(step), Any)
        try:
            return self.encode_item(step, value, limit)
        except PayloadTooLarge:
            raise
        except PayloadError:
            if not isinstance(value, dict | list):
                raise
            plain: object = self.codec.decode(self.codec.encode(cast("object", value), Any), kind)
            return self.encode_item(step, plain, limit)

    def decode_item(self, step: StepDefinition, payload: str) -> Any:
        return self.codec.decode(payload, self.types.items.get(base_name(step), Any))

    def inputs(self, state: SagaState, names: tuple[str, ...], family: Family) -> dict[str, Any]:
        """The outputs of these steps, by the names that today's methods have for them; None for what was skipped."""
        if not names:
            return {}
        record = self.record(state, family)
        return {self.names.get(name, name): record.output_or_none(name) for name in names}

    def plan(self, state: SagaState) -> SagaDefinition:
        """The graph that this very saga runs by."""
        return unfold(self.definition, state)

    def record(self, state: SagaState, family: Family | None = None) -> SagaRecord[Any]:
        # The very one that is given: it may still be filled.
        return SagaRecord(state, self.codec, self.types, {} if family is None else family)


def _needed_for(duty: Duty, state: SagaState) -> Direction | None:
    """What this code must be able to do of a step for the duty; None if nothing."""
    if duty.kind is DutyKind.INSERT_CHILD:
        return Direction.FORWARD
    if duty.kind is DutyKind.COMPENSATE_CHILD and not state.steps[duty.subject].linked:
        return Direction.UNDO
    return None


def base_name(step: StepDefinition) -> str:
    """The name under which the class has the step: for an element of a list that of the whole."""
    return step.element[0] if step.element is not None else step.name


def within(text: str, limit: int, what: str) -> str:
    """The text, if it is not too long.

    Raises:
        PayloadTooLarge: it is.
    """
    if len(text) > limit:
        raise PayloadTooLarge(what, len(text), limit)
    return text


def _by_old_name(values: Mapping[str, Any], old: Revived) -> dict[str, Any]:
    return {then: values[now] for then, now in old.names.items() if now in values}


def class_of(factory: Factory) -> type[Saga[Any]]:
    """The class that a factory makes instances of.

    Raises:
        TypeError: it makes none, or the same instance each time.
    """
    made: object = factory
    while isinstance(made, partial):
        made = cast("partial[object]", made).func
    if not isinstance(made, SagaMeta):
        one, other = cast("object", factory()), cast("object", factory())
        if one is other:
            raise TypeError(
                f"Engine(sagas=[{factory!r}]): this factory gives the same instance each time, but each execution of a "
                f"step has one of its own; make it anew, as in lambda: {type(one).__name__}(...)"
            )
        made = type(one)
    if not issubclass(made, Saga):
        raise TypeError(
            f"Engine(sagas=[{factory!r}]): neither a saga class nor a factory of one; write OrderSaga, "
            f"partial(OrderSaga, shop) or lambda: OrderSaga(shop)"
        )
    return cast("type[Saga[Any]]", made)
