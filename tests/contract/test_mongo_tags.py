"""Tags in MongoDB: an index finds them in the order of a listing, and sagas without any have no entry in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.mongo_filters import listed
from sagaflow.ports import Query
from sagaflow.testing.store_states import new_saga


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoStore]:
    store = MongoStore.from_url(mongo_url)
    await store.open()
    yield store
    await store.close()


async def test_the_index_of_tags_serves_a_page_and_holds_tags_alone(
    store: MongoStore, mongo_url: str, prefix: str
) -> None:
    tags = [("vip", "web") if number % 10 == 0 else () for number in range(200)]
    everything = (new_saga(created_at=float(number), tags=some) for number, some in enumerate(tags))
    await asyncio.gather(*(store.insert(saga, None) for saga in everything))
    cursor = (await store.find(Query(tags=("vip",), limit=5))).cursor
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_url) as client:
        sagas: Collection[dict[str, Any]] = client[prefix]["sagaflow_sagas"]
        page = sagas.find(listed(Query(tags=("vip", "web"), created_before=180.0, cursor=cursor)))
        explained = page.sort([("created_at", -1), ("_id", -1)]).limit(6).explain()
        assert _stages(explained["queryPlanner"]["winningPlan"]) == ["LIMIT", "FETCH", "IXSCAN", "tags"]
        assert explained["executionStats"]["totalKeysExamined"] <= 8
        assert client[prefix].command("validate", "sagaflow_sagas")["keysPerIndex"]["tags"] == sum(map(len, tags))


def _stages(plan: dict[str, Any]) -> list[str]:
    """What the server does, from the last to the first; and by which index."""
    found, stage = [str(plan["stage"])], plan
    while "inputStage" in stage:
        stage = stage["inputStage"]
        found.append(str(stage["stage"]))
    return [*found, str(stage.get("indexName"))]
