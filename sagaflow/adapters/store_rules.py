"""What every store does alike: which texts it takes, how it writes a state as text, and the cursors of its listings."""

from __future__ import annotations

import base64
import logging
import re
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from ..core.events import Request
from ..core.state import SCHEMA, SagaState, SagaStatus
from ..errors import ConfigurationError, PayloadError
from ..ports import Graph, Query, Signal, Ticket

logger: logging.Logger = logging.getLogger("sagaflow.store")

DAY: Final = 86_400.0
"""Seconds for which a dead worker is remembered at least: longer than any write of its can be under way."""

LINE_SHOWN: Final = 100
"""How much of the line for a lock is read at least."""

# What a step's name may not hold: a store may write it as a part of a path.
_IN_PATHS: Final = re.compile(r"[.$\0]")

_states: Final = msgspec.json.Decoder(SagaState)
_requests: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_cursors: Final = msgspec.json.Decoder(tuple[float, str])

_BY_STATUS: Final = {
    status: SagaState(
        id="",
        saga="",
        fingerprint="",
        status=status,
        revision=0,
        context="",
        steps={},
        created_at=0.0,
        updated_at=0.0,
    ).accepts
    for status in SagaStatus
}


class _Versioned(msgspec.Struct, frozen=True):
    """The part of a stored state that every version has."""

    schema: int


def accepted_by_status(status: SagaStatus) -> tuple[str, ...]:
    """The kinds of requests that a saga accepts of which no more is known than this: it was kept by version 1."""
    return _BY_STATUS[status]


def check_ids(saga_ids: Iterable[object]) -> None:
    """Refuse what is no text, before a driver can read it as an operator.

    Raises:
        TypeError: an id is not a string.
        PayloadError: an id is a string that is no text.
    """
    for saga_id in saga_ids:
        _check_text(saga_id, "A saga's id")


def check_place(key: object, ticket: Ticket | None = None) -> None:
    """As ``check_ids``, for a place in the line for a lock."""
    _check_text(key, "The key of a lock")
    if ticket is not None:
        check_ids((ticket.saga_id, ticket.root))


def check_graph(graph: Graph) -> None:
    """As ``check_ids``, for all that a graph consists of."""
    for text in (graph.fingerprint, graph.saga, graph.body):
        _check_text(text, "A part of a graph")


def check_names(sagas: Iterable[object]) -> None:
    """As ``check_ids``, for the names of sagas."""
    for saga in sagas:
        _check_text(saga, "The name of a saga")


def check_tags(tags: Iterable[object]) -> None:
    """As ``check_ids``, for the tags that sagas are found by."""
    for tag in tags:
        _check_text(tag, "A tag")


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} is a string; {value!r} is a {type(value).__name__}. Write str(...).")
    if not value.isascii():
        as_text(value)


def check_step_names(names: Iterable[str]) -> None:
    """Refuse names that could be read as a path.

    Raises:
        ConfigurationError: a name is empty, or holds a dot, a dollar sign or NUL.
    """
    names = tuple(names)
    if "" not in names and not _IN_PATHS.search("".join(names)):
        return
    for name in names:
        if not name or _IN_PATHS.search(name):
            raise ConfigurationError(f"{name!r} cannot be kept as the name of a step; write a Python identifier.")


def as_text(value: object) -> str:
    """The value as JSON.

    Raises:
        PayloadError: a string in it has lone surrogates, which no store can keep.
    """
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        # What it is stands in no error: it may be a customer's, and errors are logged.
        raise PayloadError(
            "A text has a surrogate that stands alone, so it is no text and cannot be stored. Decode the bytes that "
            "it came from with errors='replace', or encode them with base64."
        ) from None


def encode_state(state: SagaState) -> str:
    """The state as JSON that people can read.

    Raises:
        PayloadError, ConfigurationError, TypeError: it holds what cannot be stored.
    """
    check_ids((state.id,))
    check_step_names(state.steps)
    return as_text(state)


def as_committed(state: SagaState) -> SagaState:
    """The state as a commit writes it: in today's form, also if it was read in an earlier one."""
    return state if state.schema == SCHEMA else replace(state, schema=SCHEMA)


def encode_after(state: SagaState) -> str | None:
    """As ``encode_state``, for a commit: None if the state cannot be stored, which the log says.

    An exception would keep the other sagas of the batch from being committed.
    """
    try:
        return encode_state(as_committed(state))
    except (PayloadError, ConfigurationError) as error:
        log_unstorable(state.id, error)
        return None


def log_unstorable(saga_id: str, error: Exception) -> None:
    """Say that a saga cannot go on, because what it should become cannot be stored."""
    logger.error("saga %s cannot go on, its state cannot be stored: %s", saga_id, error)


def decode_state(body: str) -> SagaState:
    """The state that ``encode_state`` was given.

    Raises:
        ConfigurationError: it was written by a later version of SagaFlow.
    """
    try:
        state = _states.decode(body)
    except msgspec.ValidationError:
        # A later form may lack what this one requires: then its version says more than the fault does.
        check_schema(msgspec.json.decode(body, type=_Versioned).schema)
        raise
    check_schema(state.schema)
    return state


def check_schema(schema: int) -> None:
    """Refuse a stored form that this version does not know.

    Raises:
        ConfigurationError: it was written by a later version of SagaFlow.
    """
    if schema > SCHEMA:
        raise ConfigurationError(
            f"The store holds a saga in form {schema}, and this version of SagaFlow reads forms up to {SCHEMA}. "
            f"Update SagaFlow here before, or together with, the workers that write to this store."
        )


def encode_request(signal: Signal) -> str:
    """The request in a signal as JSON.

    Raises:
        PayloadError: it holds what cannot be stored.
    """
    as_text(signal.token)
    return as_text(signal.request)


def decode_signal(token: str, body: str) -> Signal:
    """The signal whose request ``encode_request`` was given."""
    return Signal(token, _requests.decode(body))


def check_query(query: Query) -> tuple[float, str] | None:
    """Where the page begins: after the saga that was created then and has this id; None for the first page.

    Raises:
        ValueError: the limit is below 1, the name of a saga or a tag is no text, or the cursor is none of a ``Page``.
        TypeError: the name of a saga or a tag is no string.
    """
    if query.limit < 1:
        raise ValueError(f"Query(limit={query.limit}): a page has at least 1 saga")
    check_names(query.sagas)
    check_tags(query.tags)
    if query.cursor is None:
        return None
    try:
        return _cursors.decode(base64.b64decode(query.cursor, altchars=b"-_", validate=True))
    except (Base64Error, UnicodeError, ValueError, TypeError):
        raise ValueError(
            f"Query(cursor={query.cursor!r}): this is no cursor; give the one that Page.cursor holds, or None"
        ) from None


def cursor_after(state: SagaState) -> str:
    """What ``Page.cursor`` holds if this saga is the last of its page, and there are more."""
    return base64.urlsafe_b64encode(msgspec.json.encode((state.created_at, state.id))).decode()
