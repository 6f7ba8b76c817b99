"""The collections of a MongoDB store, their guarantees and their indexes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from pymongo import ASCENDING, DESCENDING, IndexModel, MongoClient, ReadPreference
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from ..errors import ConfigurationError
from .mongo_calls import MAJORITY_READS, MAJORITY_WRITES, PLAIN
from .mongo_documents import Document

if TYPE_CHECKING:
    from .mongo_clients import AsyncClient

SAGAS: Final = "sagas"
WORKERS: Final = "workers"
LOCKS: Final = "locks"
GRAPHS: Final = "graphs"

_PREFIX: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")

SAGA_INDEXES: Final = (
    # Only active sagas have these fields, so the first three indexes stay small whatever the archive holds.
    IndexModel(
        [("wake_at", ASCENDING), ("_id", ASCENDING), ("fingerprint", ASCENDING)],
        name="wake_at",
        partialFilterExpression={"wake_at": {"$exists": True}},
    ),
    IndexModel(
        [("inbox.at", ASCENDING), ("fingerprint", ASCENDING)],
        name="inbox",
        partialFilterExpression={"inbox.at": {"$exists": True}},
    ),
    IndexModel([("owners", ASCENDING)], name="owners", partialFilterExpression={"owners": {"$exists": True}}),
    IndexModel([("created_at", DESCENDING), ("_id", DESCENDING)], name="created"),
    IndexModel([("status", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="status"),
    IndexModel([("saga", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="saga"),
    # Sagas without tags have no entry in it.
    IndexModel(
        [("tags", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)],
        name="tags",
        partialFilterExpression={"tags": {"$exists": True}},
    ),
    # What an overview counts. A tombstone has no status.
    IndexModel(
        [("saga", ASCENDING), ("status", ASCENDING)],
        name="tally",
        partialFilterExpression={"status": {"$exists": True}},
    ),
    IndexModel(
        [("status", ASCENDING), ("completed_at", ASCENDING)],
        name="ended",
        partialFilterExpression={"completed_at": {"$exists": True}},
    ),
    IndexModel([("expire_at", ASCENDING)], name="expire_at", partialFilterExpression={"expire_at": {"$exists": True}}),
    IndexModel(
        [("tombstone.until", ASCENDING)],
        name="tombstone",
        partialFilterExpression={"tombstone.until": {"$exists": True}},
    ),
    # By this one the server deletes documents by itself, within a minute or so of the date in them.
    IndexModel(
        [("expires", ASCENDING)],
        name="expires",
        expireAfterSeconds=0,
        partialFilterExpression={"expires": {"$exists": True}},
    ),
)
GRAPH_INDEXES: Final = (IndexModel([("saga", ASCENDING)], name="saga"),)
WORKER_INDEXES: Final = (IndexModel([("state", ASCENDING), ("dead_at", ASCENDING)], name="state"),)

# By the server's error codes: an index of this name, or of these fields, exists with other options.
_OTHER_INDEX: Final = frozenset({85, 86})


def check_prefix(prefix: str) -> str:
    """The prefix, if collections can be named with it.

    Raises:
        ConfigurationError: they cannot.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            f"MongoStore(prefix={prefix!r}): the names of collections begin with a letter or an underscore, and have "
            f"letters, digits, '_', '-' and '.'"
        )
    return prefix


def collection(client: AsyncClient, database: str, name: str) -> AsyncCollection[Document]:
    """The collection with the guarantees that a store gives, whatever the client or its URL says.

    Motor's collections have the methods of PyMongo's own, as far as they are used here, so they pass for those.
    """
    found = client.get_database(database).get_collection(
        name,
        codec_options=PLAIN,
        read_preference=ReadPreference.PRIMARY,
        write_concern=MAJORITY_WRITES,
        read_concern=MAJORITY_READS,
    )
    return cast("AsyncCollection[Document]", found)


def blocking_collection(client: MongoClient[Any], database: str, name: str) -> Collection[Document]:
    """As ``collection``, of a synchronous client."""
    return client.get_database(database).get_collection(
        name,
        codec_options=PLAIN,
        read_preference=ReadPreference.PRIMARY,
        write_concern=MAJORITY_WRITES,
        read_concern=MAJORITY_READS,
    )


async def check_server(client: AsyncClient, *, allow_standalone: bool) -> bool:
    """Refuse a server that cannot keep what it has confirmed; whether it has others to keep it with.

    Raises:
        ConfigurationError: it is a standalone one, and that was not allowed.
    """
    hello = await cast("AsyncDatabase[Document]", client.get_database("admin")).command("hello")
    is_replicated = bool(hello.get("setName")) or hello.get("msg") == "isdbgrid"  # ... a router's answer
    if not (is_replicated or allow_standalone):
        raise ConfigurationError(
            "This MongoDB is a standalone server: it knows neither majority writes nor retryable ones, so a crash "
            "can take back what it has confirmed. Start it with --replSet and run rs.initiate() once (a set of one "
            "member will do for development), or allow it by name: MongoStore(..., allow_standalone=True)."
        )
    return is_replicated


async def create_indexes(
    sagas: AsyncCollection[Document],
    workers: AsyncCollection[Document],
    graphs: AsyncCollection[Document],
    *,
    is_replicated: bool,
) -> None:
    """Create what is missing; safe to do from many processes at once.

    Raises:
        ConfigurationError: an index has the name of one of ours and is another.
    """
    # By default MongoDB waits for every member, also for one that is down.
    options: dict[str, Any] = {"commitQuorum": "majority"} if is_replicated else {}
    for of, indexes in ((sagas, SAGA_INDEXES), (workers, WORKER_INDEXES), (graphs, GRAPH_INDEXES)):
        try:
            await of.create_indexes(list(indexes), **options)
        except OperationFailure as error:
            if error.code not in _OTHER_INDEX:
                raise
            raise ConfigurationError(
                f"The collection {of.full_name} has an index that SagaFlow needs, with other options: {error}. Drop "
                f"that index, or choose another prefix: MongoStore(..., prefix='orders_')."
            ) from error
