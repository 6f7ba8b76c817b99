"""All graphs that an engine can run: those of its classes as they are, as they were, and those made of data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from ..core.definition import SagaDefinition
from ..core.state import SagaState
from ..core.versions import revive, to_text
from ..errors import DefinitionError
from ..ports import Codec, Graph, Store
from ..ports.clock import Clock
from ..saga import Saga, SagaTypes
from ..throttle import Throttle
from .binding import Binding
from .recipes import STEPS, Library

logger: logging.Logger = logging.getLogger("sagaflow.versions")

_AGAIN: Final = 1.0  # seconds between two looks for graphs that are not known


class Bindings:
    """From a saga to the code that runs it.

    Args:
        classes: the bindings of the engine's classes, as they are now, by the name of the saga.
        library: what sagas whose steps are data are made of.
        store: where graphs are kept.
    """

    def __init__(
        self, classes: Mapping[str, Binding], library: Library, store: Store, codec: Codec, clock: Clock
    ) -> None:
        self.classes = classes
        self.library = library
        self._store = store
        self._codec = codec
        self._clock = clock
        self._known: dict[str, Binding] = {one.definition.fingerprint: one for one in classes.values()}
        self._kept: set[str] = set()
        self._strange: set[str] = set()
        self._looked_at = float("-inf")
        self._throttle = Throttle(logger)

    def __iter__(self) -> Iterator[Binding]:
        return iter(self.classes.values())

    def of_class(self, saga: type[Saga[Any]]) -> Binding | None:
        """The binding of a class, as it is now."""
        return next((one for one in self.classes.values() if one.saga is saga), None)

    @property
    def missing_children(self) -> list[tuple[str, str, str]]:
        """For each child saga whose class is not here: the saga that runs it, in which step, and its class's name."""
        return [
            (name, step, child.__name__)
            for name, binding in self.classes.items()
            for step, child in binding.types.children.items()
            if self.of_class(child) is None
        ]

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """The graphs that this engine can bring on, as far as it knows by now."""
        return tuple(self._known)

    def known(self, state: SagaState) -> Binding | None:
        """The binding of a saga, if its graph has been seen."""
        return self._known.get(state.fingerprint)

    async def find(self, state: SagaState, *, at_once: bool = False) -> Binding | None:
        """The binding of a saga; None if this engine does not have its class, or its actions.

        Args:
            at_once: somebody asks for this very saga: look, however short ago the last look was.

        Raises:
            StoreUnavailable
        """
        known = self._known.get(state.fingerprint)
        if known is None and (at_once or state.fingerprint not in self._strange):
            await self.look(at_once=at_once or state.saga in self.classes)
            known = self._known.get(state.fingerprint)
            if known is None:
                self._strange.add(state.fingerprint)
        if known is None:
            self._throttle.warning(
                f"binding {state.saga}",
                "this engine does not have saga %s (definition %s), which it was sent; it is left to others. Services "
                "that share a broker and have different sagas need queues of their own: class %s(..., queue=...)",
                state.saga,
                state.fingerprint,
                state.saga,
            )
        return known

    async def look(self, *, at_once: bool = False) -> None:
        """See which graphs sagas were started by, before or elsewhere.

        Raises:
            StoreUnavailable
        """
        if self._clock.monotonic() < self._looked_at + _AGAIN and not at_once:
            return
        self._looked_at = self._clock.monotonic()
        made_of_data = (STEPS,) if self.library else ()
        for graph in await self._store.graphs([*self.classes, *made_of_data]):
            if graph.fingerprint not in self._known:
                self._take(graph)
        self._strange.clear()

    def _take(self, graph: Graph) -> None:
        try:
            self._known[graph.fingerprint] = self.read(graph)
        except DefinitionError as error:
            self._throttle.warning(
                f"graph {graph.fingerprint}", "sagas of graph %s are left to others: %s", graph.fingerprint, error
            )
            return
        lacking = self._known[graph.fingerprint].lacking
        for (step, why), found in groupby(lacking.items(), key=lambda item: (item[0][0], item[1])):
            logger.warning(
                "saga %s: sagas that were started by graph %s are left to others in step %s (%s): %s",
                graph.saga,
                graph.fingerprint,
                step,
                ", ".join(direction for (_, direction), _ in found),
                why,
            )

    def read(self, graph: Graph) -> Binding:
        """A graph, with the code of today.

        Raises:
            DefinitionError: it is made of data, and the actions that it names are not here.
        """
        if graph.saga == STEPS:
            return self.library.bind(graph, self._codec)
        today = self.classes[graph.saga]
        return today.revived(revive(graph.body, graph.fingerprint, today.definition))

    def types_of(self, saga: type[Saga[Any]]) -> SagaTypes:
        """The types of a class, whether or not this engine runs it."""
        binding = self.of_class(saga)
        return binding.types if binding is not None else saga.resolve_types()

    async def keep(self, definition: SagaDefinition) -> None:
        """Keep the graph of a class before a saga is started by it.

        Raises:
            StoreUnavailable
        """
        if definition.fingerprint not in self._kept:
            await self.keep_graph(Graph(definition.fingerprint, definition.name, to_text(definition)))

    async def keep_graph(self, graph: Graph) -> None:
        """Keep any graph, once."""
        if graph.fingerprint not in self._kept:
            await self._store.keep_graph(graph)
            self._kept.add(graph.fingerprint)

    def add(self, binding: Binding) -> None:
        """Know a graph that was made of data."""
        self._known.setdefault(binding.definition.fingerprint, binding)
