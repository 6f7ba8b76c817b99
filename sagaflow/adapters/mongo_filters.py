"""Which sagas a call is about, as MongoDB's filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..core.state import SagaStatus
from ..ports import Query
from .mongo_documents import Document
from .store_rules import accepted_by_status, check_query

SAGA: Final = {"tombstone": {"$exists": False}}
"""The filter that leaves out what is only left of a saga, where nothing else does."""


def of_fingerprints(fingerprints: Sequence[str] | None) -> Document:
    """The filter for sagas of these definitions."""
    return {} if fingerprints is None else {"fingerprint": {"$in": list(fingerprints)}}


def accepting(kind: str) -> Document:
    """The filter for sagas that accept requests of this kind; of those that version 1 kept, by the status alone."""
    statuses = [status.value for status in SagaStatus if kind in accepted_by_status(status)]
    return {"$or": [{"accepts": kind}, {"accepts": {"$exists": False}, "status": {"$in": statuses}}]}


def listed(query: Query) -> Document:
    """The filter for a page of a listing."""
    start = check_query(query)
    condition: Document = {"created_at": {"$gte": float("-inf")}}  # a tombstone has none
    if query.sagas:
        condition["saga"] = {"$in": list(query.sagas)}
    if query.statuses:
        condition["status"] = {"$in": [status.value for status in query.statuses]}
    if query.tags:
        condition["tags"] = {"$all": list(query.tags)}
    if query.created_before is not None:
        condition["created_at"]["$lt"] = query.created_before
    if query.updated_before is not None:
        condition["updated_at"] = {"$lt": query.updated_before}
    if start is not None:
        created_at, saga_id = start
        # The bound alone is what the index is entered by; the rest settles ties.
        condition["$and"] = [
            {"created_at": {"$lte": created_at}},
            {"$or": [{"created_at": {"$lt": created_at}}, {"_id": {"$lt": saga_id}}]},
        ]
    return condition
