"""Sagas whose steps are data, bound to the libraries that have their actions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..core.definition import DEFAULT_QUEUE
from ..dynamic import DynamicSaga, StepSpec, compile_steps
from ..errors import ConfigurationError
from ..ports import Codec, Graph
from ..saga import Saga
from .binding import Binding, Factory, class_of

STEPS: Final = "*"
"""Under which the graphs of such sagas are kept, whatever the sagas are called."""


class _Body(msgspec.Struct, frozen=True):
    name: str
    steps: list[StepSpec]


@dataclass(frozen=True, slots=True)
class Made:
    """A saga that was made of data.

    Attributes:
        binding: what runs it.
        graph: what is kept of it; inputs are no part of it.
        inputs: what its steps are given besides the context.
    """

    binding: Binding
    graph: Graph
    inputs: Mapping[str, object]


class Library:
    """The actions and compensations that an engine has, by the names of their methods.

    Args:
        factories: abstract saga classes, or factories of them where they need collaborators.
    """

    def __init__(self, factories: Iterable[Factory]) -> None:
        self._factories: dict[type[Saga[Any]], Factory] = {_library_of(factory): factory for factory in factories}

    def __bool__(self) -> bool:
        return bool(self._factories)

    @property
    def queues(self) -> frozenset[str]:
        """The logical queues that steps are on which name none."""
        return frozenset(library.__saga_source__.keywords.get("queue", DEFAULT_QUEUE) for library in self._factories)

    def make(self, name: str, steps: Sequence[StepSpec], codec: Codec) -> Made:
        """Compile a saga from its steps.

        Raises:
            DefinitionError: it has faults; all of them are in the error.
        """
        body = msgspec.json.encode(_Body(name, [_without_input(spec) for spec in steps])).decode()
        compiled = self._compile(name, steps)
        graph = Graph(hashlib.sha256(body.encode()).hexdigest()[:32], STEPS, body)
        return Made(self._bind(compiled, graph.fingerprint, codec), graph, compiled.inputs)

    def bind(self, graph: Graph, codec: Codec) -> Binding:
        """Bind a graph that ``make`` has made, here or elsewhere.

        Raises:
            DefinitionError: an action that it names is not here.
        """
        body = msgspec.json.decode(graph.body, type=_Body)
        return self._bind(self._compile(body.name, body.steps), graph.fingerprint, codec)

    def _compile(self, name: str, steps: Sequence[StepSpec]) -> DynamicSaga:
        return compile_steps(name, steps, list(self._factories))

    def _bind(self, compiled: DynamicSaga, fingerprint: str, codec: Codec) -> Binding:
        factories = {method: self._factories[owner] for method, owner in compiled.owners.items()}
        types = replace(compiled.types, definition=replace(compiled.types.definition, fingerprint=fingerprint))
        return Binding(None, factories.__getitem__, types, codec)


def _without_input(spec: StepSpec) -> StepSpec:
    return spec if spec.input is UNSET else msgspec.structs.replace(spec, input=None)


def _library_of(factory: Factory) -> type[Saga[Any]]:
    """The class of a library, abstract as it is."""
    try:
        return class_of(factory)
    except TypeError as error:
        raise ConfigurationError(
            f"Engine(actions=[{factory!r}]): write an abstract saga class, partial(ShopActions, shop) or "
            f"lambda: ShopActions(shop)"
        ) from error
