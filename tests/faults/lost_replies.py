"""A proxy to MongoDB that swallows the replies to writes which took effect."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import bson

from .proxy import Line, Proxy

_HEADER = struct.Struct("<iiii")  # length with this header, id, id of the request that is answered, kind of message
_MESSAGE = 2013  # OP_MSG, the one kind there is: flags, then sections, of which that of kind 0 is the command
_WRITES = ("findAndModify", "update", "insert", "delete")

How = Literal["cut", "silence"]
"""Whether a client finds its connection ended, or waits for a reply that never comes."""

WriteId = tuple[bytes, int]
"""A session and a number in it: the driver's repetition of a write has those of the write."""


@dataclass
class Frames:
    """Whole messages out of what comes in pieces."""

    _held: bytes = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that are complete now, with their headers."""
        self._held += data
        while len(self._held) >= _HEADER.size:
            length = _HEADER.unpack_from(self._held)[0]
            if len(self._held) < length:
                return
            message, self._held = self._held[:length], self._held[length:]
            yield message


@dataclass
class Ears:
    """What is known of one connection: the writes that were sent on it, by the ids of their requests."""

    requests: Frames = field(default_factory=Frames)
    replies: Frames = field(default_factory=Frames)
    writes: dict[int, WriteId] = field(default_factory=dict[int, WriteId])


@dataclass(eq=False)
class LostReplies(Proxy):
    """Of every so many writes to one collection that took effect, the replies to one are lost.

    Args:
        every: one write in so many; 0 for none any more.
        times: how many replies to such a write are lost, one to each time that it is sent.
        how: what the client sees of it.
        collection: whose writes these are.

    Attributes:
        took_effect: writes that took effect, each counted once however often it was sent.
        changes: what these did: one of them may be a batch, and change many sagas.
        lost: replies that were swallowed.
        sent_again: writes that the driver sent again after a lost reply.
        answered: writes whose repetition was replied to in the end.
    """

    every: int = 5
    times: int = 1
    how: How = "cut"
    collection: str = "sagaflow_sagas"
    took_effect: int = 0
    changes: int = 0
    lost: int = 0
    sent_again: int = 0
    answered: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ears: dict[Line, Ears] = {}
        self._chosen: Counter[WriteId] = Counter()
        self._seen: set[WriteId] = set()

    @property
    def chosen(self) -> int:
        """How many writes have lost a reply."""
        return len(self._chosen)

    @property
    def unsettled(self) -> int:
        """How many of them the driver has never learnt of: whoever asked for those must find out by other means."""
        return self.chosen - self.answered

    def on_request(self, line: Line, data: bytes) -> bytes:
        """See ``Proxy``."""
        ears = self._ears.setdefault(line, Ears())
        for message in ears.requests.feed(data):
            command = _command(message)
            if any(command.get(name) == self.collection for name in _WRITES) and "txnNumber" in command:
                write = bytes(command["lsid"]["id"]), int(command["txnNumber"])
                ears.writes[_HEADER.unpack_from(message)[1]] = write
                self.sent_again += self._chosen[write] == 1
        return data

    def on_reply(self, line: Line, data: bytes) -> bytes:
        """See ``Proxy``."""
        ears = self._ears.setdefault(line, Ears())
        return b"".join(message for message in ears.replies.feed(data) if not self._swallow(line, ears, message))

    def _swallow(self, line: Line, ears: Ears, message: bytes) -> bool:
        write = ears.writes.pop(_HEADER.unpack_from(message)[2], None)
        changes = 0 if write is None else _changes(_command(message))
        if write is None or not changes:
            return False
        if write not in self._seen:
            self._seen.add(write)
            self.took_effect += 1
            self.changes += changes
            if self.every and self.took_effect % self.every == 0:
                self._chosen[write] = 0
        if write not in self._chosen:
            return False
        if self._chosen[write] == self.times:
            self.answered += 1
            return False
        self._chosen[write] += 1
        self.lost += 1
        if self.how == "cut":
            line.cut()
        return True


def _command(message: bytes) -> dict[str, Any]:
    """The document of a message's command or reply; empty if it is a message of another kind."""
    if _HEADER.unpack_from(message)[3] != _MESSAGE:
        return {}
    place = _HEADER.size + 4
    while place < len(message):
        kind, length = struct.unpack_from("<Bi", message, place)
        if kind == 0:
            return bson.decode(message[place + 1 : place + 1 + length])
        place += 1 + length
    return {}


def _changes(reply: dict[str, Any]) -> int:
    """How many documents a write has changed; 0 if it has not taken effect."""
    if not reply.get("ok") or reply.get("writeErrors") or reply.get("writeConcernError"):
        return 0
    return int(reply.get("lastErrorObject", reply).get("n", 0))
