"""How a saga is a MongoDB document, and which change of the document a change of the saga is.

One document a saga. What SagaFlow itself writes is native BSON; payloads are opaque text. A step is a subdocument of
``steps`` by its name, and holds only what differs from the defaults, as the saga does with what is None. So the keys
are SagaFlow's own and names that were checked; text of a user is never a key, and never an expression.

Beside the fields of ``SagaState`` a document has ``wake_at`` and ``dispatches``, ``owners`` while somebody holds a
claim, and always ``inbox``, with an entry ``{token, at, body}`` for each request: ``at`` is when ``due`` finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ..core.state import SagaState
from ..ports import Due, Stored, Transition
from .store_rules import as_text, check_ids, check_schema, check_step_names, decode_signal

Document = dict[str, Any]

LISTED: Final = {"inbox": 0, "owners": 0, "wake_at": 0, "dispatches": 0}
"""The projection of a document to its saga's state alone."""

DUE: Final = {"wake_at": 1, "dispatches": 1, "inbox.at": 1}
"""The projection that ``due_of`` reads."""


def to_document(state: SagaState, wake_at: float | None) -> Document:
    """The document of a new saga.

    Raises:
        PayloadError, ConfigurationError, TypeError: the state holds what cannot be stored.
    """
    check_ids((state.id,))
    check_step_names(state.steps)
    as_text(state)
    fields = _present(msgspec.to_builtins(state))
    saga_id = fields.pop("id")
    engine = _present({"wake_at": wake_at, "owners": list(state.owners) or None})
    return {"_id": saga_id, **fields, **engine, "dispatches": 0, "inbox": []}


def to_state(document: Mapping[str, Any]) -> SagaState:
    """The state in a document.

    Raises:
        ConfigurationError: it was written by a later version of SagaFlow.
    """
    check_schema(document["schema"])
    return msgspec.convert({**document, "id": document["_id"]}, SagaState)


def to_stored(document: Mapping[str, Any]) -> Stored:
    """The state in a document, with its inbox."""
    inbox = tuple(decode_signal(entry["token"], entry["body"]) for entry in document["inbox"])
    return Stored(to_state(document), inbox)


def to_due(document: Mapping[str, Any]) -> Due | None:
    """When somebody should look at the saga; None if nobody needs to."""
    times = [entry["at"] for entry in document["inbox"]]
    if "wake_at" in document:
        times.append(document["wake_at"])
    return Due(document["_id"], min(times), document["dispatches"]) if times else None


def is_at(due: Due) -> Document:
    """The filter for a saga that is due exactly as it was found."""
    return {
        "_id": due.saga_id,
        "dispatches": due.dispatches,
        # The earliest of several times is this one if one is equal, and none is earlier.
        "$or": [{"wake_at": due.wake_at}, {"inbox.at": due.wake_at}],
        "wake_at": {"$not": {"$lt": due.wake_at}},
        "inbox.at": {"$not": {"$lt": due.wake_at}},
    }


def holds(transition: Transition) -> Document:
    """The filter for a saga that still is as the transition was decided on."""
    condition: Document = {"_id": transition.before.id, "revision": transition.before.revision}
    if transition.inbox_size is not None:
        condition["inbox"] = {"$size": transition.inbox_size}
    return condition


def to_update(transition: Transition) -> Document:
    """The update that makes the transition, and touches only what it changes.

    Raises:
        PayloadError, ConfigurationError: the new state holds what cannot be stored.
    """
    before, after = transition.before, transition.after
    changes: Document = {}
    _compare(_head(before), _head(after), "", changes)
    for name, step in after.steps.items():
        old = before.steps.get(name)
        if old is None:
            check_step_names((name,))
            changes[f"steps.{name}"] = msgspec.to_builtins(step)
        elif old != step:
            _compare(msgspec.to_builtins(old), msgspec.to_builtins(step), f"steps.{name}.", changes)
    for name in before.steps.keys() - after.steps.keys():
        changes[f"steps.{name}"] = None
    changes["wake_at"] = transition.wake_at
    if before.owners != after.owners:
        changes["owners"] = list(after.owners) or None
    as_text(changes)
    gone = {path: "" for path, value in changes.items() if value is None}
    update: Document = {"$set": {**_present(changes), "dispatches": 0}}
    if gone:
        update["$unset"] = gone
    if transition.consumed:
        update["$pull"] = {"inbox": {"token": {"$in": list(transition.consumed)}}}
    return update


def _head(state: SagaState) -> Document:
    head: Document = msgspec.to_builtins(replace(state, steps={}))
    del head["id"], head["steps"]
    return head


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], path: str, changes: Document) -> None:
    """Add what differs to ``changes``: a path and its new value, None where there is none any more."""
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            changes[path + key] = after.get(key)


def _present(document: Mapping[str, Any]) -> Document:
    return {key: value for key, value in document.items() if value is not None}
