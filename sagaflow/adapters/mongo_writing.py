"""How a MongoDB store keeps new sagas, and changes of sagas: many in one call, and exact about each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from ..batching import Batches
from ..core.state import SagaState
from ..errors import ConfigurationError, PayloadError, PayloadTooLarge, StoreUnavailable
from ..ports import Outcome, Transition
from .mongo_calls import is_too_large, unbroken
from .mongo_documents import Document, holds, to_document, to_update
from .mongo_survey import MongoSurvey
from .store_rules import log_unstorable

_CALL: Final = "call"
"""The field of a document that names the call which made its latest change, if that made several."""

_LARGEST: Final = 16 * 2**20  # bytes of one document
_TAKEN: Final = 11_000  # what the server says of a key that is there already


@dataclass(frozen=True)
class _Change:
    transition: Transition
    update: Document

    @property
    def saga_id(self) -> str:
        return self.transition.before.id


class MongoWriting(MongoSurvey):
    """The part of a ``MongoStore`` that keeps sagas, and changes them by compare-and-set."""

    def __init__(self) -> None:
        self._inserts: Batches[Document, bool] = Batches(self._insert_all, "new sagas for MongoDB")

    async def insert(self, state: SagaState, wake_at: float | None) -> bool:
        try:
            return await self._inserts.submit(to_document(state, wake_at))
        except StoreUnavailable as error:
            if is_too_large(error.__cause__):
                raise PayloadTooLarge(f"The saga {state.id!r}", state.payload_size, _LARGEST) from error
            raise

    async def commit(self, transitions: Sequence[Transition]) -> list[Outcome]:
        changes: list[_Change] = []
        for transition in transitions:
            try:
                changes.append(_Change(transition, to_update(transition)))
            except (PayloadError, ConfigurationError) as error:
                log_unstorable(transition.before.id, error)
        made: dict[str, Outcome] = {}
        if changes:
            try:
                made = await self._commit_all(changes)
            except StoreUnavailable:
                made = {change.saga_id: Outcome.UNSURE for change in changes}
        return [made.get(transition.before.id, Outcome.CONFLICT) for transition in transitions]

    # ------------------------------------------------------------------ new sagas

    @unbroken
    async def _insert_all(self, documents: Sequence[Document]) -> list[bool | Exception]:
        if len(documents) == 1:
            return [await self._insert(documents[0])]
        refused: Mapping[int, int] = {}
        try:
            async with self._answering("insert sagas"):
                await self._sagas.insert_many(documents, ordered=False)
        except StoreUnavailable as error:
            if is_too_large(error.__cause__):
                refused = dict.fromkeys(range(len(documents)), 0)  # the driver refuses one, and with it the others
            elif (bulk := _of_single_writes(error)) is not None:
                refused = _refused(bulk)
            else:
                raise
        return [
            True if index not in refused else False if refused[index] == _TAKEN else await self._insert(document)
            for index, document in enumerate(documents)
        ]

    async def _insert(self, document: Document) -> bool | Exception:
        try:
            async with self._answering("insert a saga"):
                await self._sagas.insert_one(document)
        except DuplicateKeyError:
            return False
        except (StoreUnavailable, ConfigurationError) as error:
            return error
        return True

    # ------------------------------------------------------------------ changes

    @unbroken
    async def _commit_all(self, changes: Sequence[_Change]) -> dict[str, Outcome]:
        if len(changes) == 1:
            return {changes[0].saga_id: await self._commit(changes[0])}
        made, alone = await self._commit_together(changes)
        for change in alone:
            made[change.saga_id] = await self._commit(change)
        return made

    async def _commit(self, change: _Change) -> Outcome:
        try:
            async with self._answering("commit"):
                found = await self._sagas.find_one_and_update(
                    holds(change.transition), change.update, projection={"_id": 1}
                )
        except (StoreUnavailable, ConfigurationError) as error:
            if not is_too_large(error.__cause__):
                return Outcome.UNSURE
            log_unstorable(change.saga_id, error)
            return Outcome.CONFLICT
        return Outcome.CONFLICT if found is None else Outcome.COMMITTED

    async def _commit_together(self, changes: Sequence[_Change]) -> tuple[dict[str, Outcome], list[_Change]]:
        """What became of each, but for those that certainly were not made, and that are to be tried alone.

        The server only counts how many found their saga as they were decided on. If not all did, the sagas are looked
        at: they carry the name of the call that changed them.
        """
        call = ObjectId()
        try:
            async with self._answering("commit"):
                matched = (
                    await self._sagas.bulk_write([_named(change, call) for change in changes], ordered=False)
                ).matched_count
            refused: Mapping[int, int] = {}
        except (StoreUnavailable, ConfigurationError) as error:
            if is_too_large(error.__cause__):  # the driver refuses one; what it has sent of the others is seen
                made = await self._settled(changes, call)
                return made, [change for change in changes if made[change.saga_id] is Outcome.CONFLICT]
            bulk = _of_single_writes(error)
            if bulk is None:
                return {change.saga_id: Outcome.UNSURE for change in changes}, []
            matched, refused = bulk.details["nMatched"], _refused(bulk)
        rest = [change for index, change in enumerate(changes) if index not in refused]
        alone = [changes[index] for index in refused]
        if matched == len(rest):
            return {change.saga_id: Outcome.COMMITTED for change in rest}, alone
        return await self._settled(rest, call), alone

    async def _settled(self, changes: Sequence[_Change], call: ObjectId) -> dict[str, Outcome]:
        """Which of these changes this call has made, now that the server has done with all of them."""
        ids = [change.saga_id for change in changes]
        try:
            async with self._answering("see what was committed"):
                found = await self._sagas.find({"_id": {"$in": ids}}, {"revision": 1, _CALL: 1}).to_list(None)
        except (StoreUnavailable, ConfigurationError):
            return dict.fromkeys(ids, Outcome.UNSURE)
        latest = {document["_id"]: document for document in found}
        return {change.saga_id: _outcome(change.transition, latest.get(change.saga_id), call) for change in changes}


def _named(change: _Change, call: ObjectId) -> UpdateOne:
    return UpdateOne(holds(change.transition), {**change.update, "$set": {**change.update["$set"], _CALL: call}})


def _outcome(transition: Transition, document: Document | None, call: ObjectId) -> Outcome:
    if document is None:
        return Outcome.CONFLICT
    if document.get(_CALL) == call:
        return Outcome.COMMITTED
    # Where somebody has gone on since, that may have been on top of this change.
    return Outcome.UNSURE if document.get("revision", 0) > transition.after.revision else Outcome.CONFLICT


def _of_single_writes(error: Exception) -> BulkWriteError | None:
    """The server's answer, if it says of each write whether it was made."""
    cause = error.__cause__
    return cause if isinstance(cause, BulkWriteError) and not cause.details["writeConcernErrors"] else None


def _refused(error: BulkWriteError) -> dict[int, int]:
    """Which writes were not made, by their places, and why, by the server's codes."""
    failed: list[dict[str, Any]] = error.details["writeErrors"]
    return {one["index"]: one["code"] for one in failed}
