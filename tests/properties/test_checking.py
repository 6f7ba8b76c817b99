"""The check of stored sagas finds nothing wrong with a saga that came about rightly, whatever has happened to it."""

from __future__ import annotations

import pytest
from hypothesis import given

from sagaflow.core.checking import breaches, unattended
from sagaflow.core.definition import SagaDefinition
from sagaflow.core.versions import read_graph, to_text
from sagaflow.core.work import next_due
from sagaflow.testing.definitions import saga_definitions
from tests.properties.profile import IS_LONG, runs
from tests.properties.test_decide import HISTORIES, STARTS
from tests.properties.world import Move, World

pytestmark = [pytest.mark.timeout(3_600)] if IS_LONG else []


class Checked(World):
    """Every state that is stored is checked, by the graph alone, as somebody would who has no code."""

    def flush(self) -> None:
        super().flush()
        graph = read_graph(to_text(self.definition), self.definition.fingerprint, self.definition.name)
        assert breaches(self.state, graph) == []
        if not self.state.owners and next_due(self.definition, self.state) is None:
            assert unattended(self.state, graph) is None


@runs(150)
@given(saga_definitions(max_steps=8), STARTS, HISTORIES)
def test_whatever_happens_the_check_finds_nothing(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    Checked(definition, start_at).play(moves)


@runs(150)
@given(saga_definitions(max_steps=2), STARTS, HISTORIES)
def test_whatever_happens_to_a_small_saga_the_check_finds_nothing(
    definition: SagaDefinition, start_at: float | None, moves: list[Move]
) -> None:
    Checked(definition, start_at).play(moves)
