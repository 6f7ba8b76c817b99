"""What an engine knows of one saga class: how to make it, its types, how its values are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from ..core.definition import SagaDefinition
from ..core.state import SagaState, StepState
from ..errors import PayloadTooLarge
from ..ports import Codec
from ..record import SagaRecord
from ..saga import Saga, SagaMeta, SagaTypes

Factory = Callable[[], Saga[Any]]


@dataclass(frozen=True, slots=True)
class Binding:
    """One saga class, bound to the factory that makes its instances."""

    saga: type[Saga[Any]]
    factory: Factory
    types: SagaTypes
    codec: Codec

    @classmethod
    def of(cls, factory: Factory, codec: Codec) -> Binding:
        """Bind a class, or a factory (``partial(OrderSaga, shop)``, a lambda) of one.

        Raises:
            DefinitionError: the class has faults that could not be seen before.
            TypeError: it is no saga, or an abstract one.
        """
        saga = _class_of(factory)
        return cls(saga, factory, saga.resolve_types(), codec)

    @property
    def definition(self) -> SagaDefinition:
        return self.types.definition

    def encode_context(self, context: object, limit: int) -> str:
        """The context as it is kept.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        text = self.codec.encode(context, self.types.context)
        return self._within(text, limit, f"The context of {self.definition.name}")

    def decode_context(self, state: SagaState) -> Any:
        return self.codec.decode(state.context, self.types.context)

    def encode_output(self, step: str, output: object, limit: int) -> str:
        """A step's output as it is kept.

        Raises:
            PayloadError: it is not of the declared type, or too large.
        """
        return self._within(self.codec.encode(output, self.types.outputs[step]), limit, f"The output of step {step!r}")

    def decode_output(self, step: str, output: str) -> Any:
        return self.codec.decode(output, self.types.outputs[step])

    def inputs(self, state: SagaState, step: str) -> dict[str, Any]:
        """The outputs that a step takes, by name."""
        return {name: self.decode_output(name, _output(state.steps[name])) for name in self.definition[step].inputs}

    def record(self, state: SagaState) -> SagaRecord[Any]:
        return SagaRecord(state, self.codec, self.types)

    @staticmethod
    def _within(text: str, limit: int, what: str) -> str:
        if len(text) > limit:
            raise PayloadTooLarge(what, len(text), limit)
        return text


def _output(step: StepState) -> str:
    assert step.output is not None, "a step starts only when all that it names is completed"
    return step.output


def _class_of(factory: Factory) -> type[Saga[Any]]:
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
