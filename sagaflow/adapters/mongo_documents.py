"""How a saga is a MongoDB document, and which change of the document a change of the saga is.

One document a saga. What SagaFlow itself writes is native BSON; payloads are opaque text. A step is a subdocument of
``steps`` by its name, and holds only what differs from the defaults, as the saga does with what is None or empty. So
the keys are SagaFlow's own and names that were checked; text of a user is never a key, and never an expression:
``locks`` and ``signals`` are arrays of ``[key, value]``.

Beside the fields of ``SagaState`` a document has ``wake_at`` and ``dispatches``, ``accepts`` (unless version 1 wrote
it), ``owners`` while somebody holds a claim, and always ``inbox``, with an entry ``{token, at, body}`` for each
request: ``at`` is when ``due`` finds it. ``expires`` is a date from which on the server may delete the document; a
saga with requests has none, for they were accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from ..core.state import SCHEMA, SagaState, StepState
from ..ports import Due, Stored, Transition
from .store_rules import as_committed, as_text, check_ids, check_schema, check_step_names, decode_signal

Document = dict[str, Any]

# Their keys are text of users.
_PAIRS: Final = ("locks", "signals")

# What a document holds in another way than as the state's field of this name.
_APART: Final = frozenset({"id", "steps"})

_FIELDS: Final = tuple(name for name in SagaState.__struct_fields__ if name not in _APART)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DATE: Final = 253_402_300_799.0  # that there is, in seconds: the end of the year 9999

LISTED: Final = {"inbox": 0, "owners": 0, "wake_at": 0, "dispatches": 0, "accepts": 0, "expires": 0}
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
    fields = {name: _field(name, getattr(state, name)) for name in _FIELDS}
    engine = {
        "wake_at": wake_at,
        "accepts": list(state.accepts),
        "owners": list(state.owners) or None,
        "expires": _expires(state),
    }
    steps = {name: msgspec.to_builtins(step) for name, step in state.steps.items()}
    return {"_id": state.id, **_present(fields), **_present(engine), "steps": steps, "dispatches": 0, "inbox": []}


def to_state(document: Mapping[str, Any]) -> SagaState:
    """The state in a document.

    Raises:
        ConfigurationError: it was written by a later version of SagaFlow.
    """
    check_schema(document["schema"])
    pairs = {name: dict(document[name]) for name in _PAIRS if name in document}
    return msgspec.convert({**document, **pairs, "id": document["_id"]}, SagaState)


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
    before, after = transition.before, as_committed(transition.after)
    changes = _changed_fields(before, after)
    changed_steps = _changed_steps(before, after)
    for name, (old, new) in changed_steps.items():
        if old is not None and new is not None:
            _compare(msgspec.to_builtins(old), msgspec.to_builtins(new), f"steps.{name}.", changes)
        else:
            check_step_names((name,))
            changes[f"steps.{name}"] = None if new is None else msgspec.to_builtins(new)
    changes["wake_at"] = transition.wake_at
    if any(_claims(old) != _claims(new) for old, new in changed_steps.values()) and before.owners != after.owners:
        changes["owners"] = list(after.owners) or None
    if before.accepts != after.accepts or before.schema < SCHEMA:
        changes["accepts"] = list(after.accepts)
    as_text(changes)
    expires, is_inbox_empty = _expires(after), transition.inbox_size == len(transition.consumed)
    if expires != _expires(before) or (expires and is_inbox_empty):
        changes["expires"] = expires if is_inbox_empty else None  # ... else it is left to ``Store.expire``
    gone = {path: "" for path, value in changes.items() if value is None}
    update: Document = {"$set": {**_present(changes), "dispatches": 0}}
    if gone:
        update["$unset"] = gone
    if transition.consumed:
        update["$pull"] = {"inbox": {"token": {"$in": list(transition.consumed)}}}
    return update


def to_date(at: float) -> datetime:
    """The time as a BSON date, the last that there is for one that is later."""
    return _EPOCH + timedelta(seconds=min(max(at, 0.0), _LAST_DATE))


def _field(name: str, value: object) -> object:
    """A field of the state as the document holds it; None if it does not."""
    encoded = msgspec.to_builtins(value)
    if name in _PAIRS:
        encoded = [list(pair) for pair in encoded.items()]
    return None if encoded in ([], ()) else encoded


def _expires(state: SagaState) -> datetime | None:
    """When the server may delete the document. Of a saga that is named, a tombstone is left, which it cannot make."""
    return None if state.expire_at is None or state.named else to_date(state.expire_at)


def _changed_fields(before: SagaState, after: SagaState) -> Document:
    changes: Document = {}
    for name in _FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old is not new and old != new:
            changes[name] = _field(name, new)
    return changes


def _changed_steps(before: SagaState, after: SagaState) -> dict[str, tuple[StepState | None, StepState | None]]:
    """The steps that differ, as they were and as they are. Most are the same objects, and are not looked into."""
    if before.steps is after.steps:
        return {}
    changed: dict[str, tuple[StepState | None, StepState | None]] = {}
    for name, step in after.steps.items():
        old = before.steps.get(name)
        if old is not step and old != step:
            changed[name] = (old, step)
    for name in before.steps.keys() - after.steps.keys():
        changed[name] = (before.steps[name], None)
    return changed


def _claims(step: StepState | None) -> list[object]:
    return [] if step is None else [track.claim for track in step.tracks if track.claim is not None]


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], path: str, changes: Document) -> None:
    """Add what differs to ``changes``: a path and its new value, None where there is none any more."""
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            changes[path + key] = after.get(key)


def _present(document: Mapping[str, Any]) -> Document:
    return {key: value for key, value in document.items() if value is not None}
