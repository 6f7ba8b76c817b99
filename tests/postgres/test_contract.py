"""The example of a store in PostgreSQL keeps the contract of stores."""

import pytest
from postgres_store import PostgresStore

from sagaflow.ports import Store
from sagaflow.testing.store_contract import StoreContract

pytestmark = pytest.mark.postgres


class TestPostgresStore(StoreContract):
    """With the fixtures ``store`` and ``other_store`` of this directory."""


def test_it_is_a_store(store: PostgresStore) -> None:
    kept: Store = store
    assert kept is store
