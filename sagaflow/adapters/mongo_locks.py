"""The lines for locks, in MongoDB: one document a key, with the line as an array.

Every act is one change of one document, so all agree on one order. A key is text of a user: it is the document's id,
and never a path. A ticket is the same whenever its values are, so nothing that is repeated has an effect twice.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from ..ports import Ticket
from .mongo_documents import Document
from .store_rules import LINE_SHOWN

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection

# How often the first ticket of a line is tried while others try to be it too.
_TRIES: Final = 5

_SHOWN: Final = {"line": {"$slice": LINE_SHOWN}}


async def queue_up(lines: AsyncCollection[Document], key: str, ticket: Ticket) -> tuple[Ticket, ...]:
    """Stand at the end of the line, or keep the place; the whole line."""
    for _ in range(_TRIES - 1):
        with suppress(DuplicateKeyError):  # another one made the document at the same moment, so it is there now
            return await _append(lines, key, ticket)
    return await _append(lines, key, ticket)


async def _append(lines: AsyncCollection[Document], key: str, ticket: Ticket) -> tuple[Ticket, ...]:
    entry: Document = {"$literal": _entry(ticket)}
    line: Document = {"$ifNull": ["$line", []]}
    with_entry: Document = {"$cond": [{"$in": [entry, line]}, line, {"$concatArrays": [line, [entry]]}]}
    found = await lines.find_one_and_update(
        {"_id": key}, [{"$set": {"line": with_entry}}], upsert=True, return_document=ReturnDocument.AFTER
    )
    return _tickets(found)


async def leave(lines: AsyncCollection[Document], key: str, ticket: Ticket) -> tuple[Ticket, ...]:
    """Leave the line; the beginning of what is left of it."""
    entry = _entry(ticket)
    if await lines.find_one_and_delete({"_id": key, "line": [entry]}, projection={"_id": 1}) is not None:
        return ()  # nobody else stood there, which is most often so
    found = await lines.find_one_and_update(
        {"_id": key}, {"$pull": {"line": entry}}, projection=_SHOWN, return_document=ReturnDocument.AFTER
    )
    if found is not None and not found["line"]:
        await lines.find_one_and_delete({"_id": key, "line": []}, projection={"_id": 1})
    return _tickets(found)


async def line_of(lines: AsyncCollection[Document], key: str) -> tuple[Ticket, ...]:
    """The beginning of the line."""
    return _tickets(await lines.find_one({"_id": key}, _SHOWN))


def _entry(ticket: Ticket) -> Document:
    # Documents are compared with the order of their fields.
    return {"saga_id": ticket.saga_id, "root": ticket.root, "term": ticket.term}


def _tickets(document: Document | None) -> tuple[Ticket, ...]:
    if document is None:
        return ()
    return tuple(Ticket(entry["saga_id"], entry["root"], entry["term"]) for entry in document["line"])
