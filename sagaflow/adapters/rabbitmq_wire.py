"""The messages, to the byte: hints, and letters that nobody could deliver.

A hint is one JSON object of exactly ``v`` (1), ``id``, ``queue`` and ``direction``, at most 64 KiB. Whatever else comes
is garbage, named by a reason that never quotes it: it may be anything, and reasons are logged. The trace that a saga
carries stands in the header ``traceparent``, where tools that follow messages look for it; it is not read here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

import msgspec
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractIncomingMessage

from ..core.state import Direction
from ..ports.broker import Hint, Lane
from .dead_letter import DeadLetter

VERSION: Final = 1
BODY_LIMIT: Final = 64 * 1024
CONTENT_TYPE: Final = "application/json"
HINT_TYPE: Final = "sagaflow.hint"
DEAD_LETTER_TYPE: Final = "sagaflow.dead-letter"
REASON_HEADER: Final = "x-sagaflow-reason"
QUEUE_HEADER: Final = "x-sagaflow-queue"
TRACE_HEADER: Final = "traceparent"
_REASON_LIMIT: Final = 1_000

T = TypeVar("T")

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    id: _Text
    queue: _Text
    direction: Direction


class _Versioned(msgspec.Struct, frozen=True):
    v: int


class Garbage(Exception):
    """A message that is no hint; the text says why and quotes nothing of it."""


def encode(hint: Hint) -> Message:
    """The message of a hint.

    Raises:
        ValueError: it is too large, or no text that can be sent.
    """
    lane = hint.lane
    # Surrogates raise UnicodeEncodeError, which is a ValueError too.
    body = msgspec.json.encode(_Body(v=VERSION, id=hint.saga_id, queue=lane.queue, direction=lane.direction))
    if len(body) > BODY_LIMIT:
        raise ValueError(f"the hint has {len(body):,} bytes; {BODY_LIMIT:,} are allowed. Use shorter ids")
    message = _message(body, HINT_TYPE)
    if hint.trace is not None:
        message.headers[TRACE_HEADER] = hint.trace
    return message


def decode(body: bytes) -> Hint:
    """The hint of a message.

    Raises:
        Garbage: it is none.
    """
    if len(body) > BODY_LIMIT:
        raise Garbage(f"it has more than {BODY_LIMIT:,} bytes")
    try:
        version = _decoded(body, _Versioned).v
        if version != VERSION:
            raise Garbage(f"it has another version than {VERSION}: upgrade this worker, or remove the sender")
        found = _decoded(body, _Body)
    except msgspec.ValidationError:
        raise Garbage("its fields are not those of a hint") from None
    except RecursionError:
        raise Garbage("it is nested too deeply") from None
    except (msgspec.DecodeError, ValueError):
        raise Garbage("it is no JSON") from None
    return Hint(found.id, Lane(found.queue, found.direction))


def dead_letter(body: bytes, reason: str, queue: str) -> Message:
    """The message that puts another one aside, without its headers: what is not ours may not even be sendable."""
    message = _message(body, DEAD_LETTER_TYPE)
    # Lone surrogates cannot be sent, and a letter that cannot be put aside would come back for ever.
    text = reason[:_REASON_LIMIT].encode(errors="replace").decode()
    message.headers.update({REASON_HEADER: text, QUEUE_HEADER: queue})
    return message


def read_dead_letter(message: AbstractIncomingMessage) -> DeadLetter:
    """What a message of the dead-letter queue says: put there by us, or by RabbitMQ itself."""
    try:
        hint = decode(message.body)
    except Garbage:
        hint = None
    headers = message.headers
    at = message.timestamp.timestamp() if message.timestamp else None
    name = message.message_id or ""
    if REASON_HEADER in headers:
        return DeadLetter(str(headers[REASON_HEADER]), str(headers.get(QUEUE_HEADER, "")), hint, at, name)
    deaths = headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths else None
    if isinstance(death, Mapping):
        return DeadLetter(str(death.get("reason", "")), str(death.get("queue", "")), hint, at, name)
    return DeadLetter("unknown", "", hint, at, name)


def _message(body: bytes, kind: str) -> Message:
    return Message(
        body,
        content_type=CONTENT_TYPE,
        type=kind,
        delivery_mode=DeliveryMode.PERSISTENT,
        # Unique to the publish: RabbitMQ returns what is unroutable by this id, and an id that is shared would make
        # the others of that id look confirmed.
        message_id=secrets.token_hex(16),
        timestamp=time.time(),
    )


def _decoded(body: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(body, type=kind)
