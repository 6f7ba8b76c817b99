"""The clients of a MongoDB store: those that it is given, and those that it makes from a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from motor.motor_asyncio import AsyncIOMotorClient

    AsyncClient: TypeAlias = AsyncMongoClient[Any] | AsyncIOMotorClient[Any]

# Timeouts for sockets and for finding a server are not among these: the store bounds each call as a whole, and the
# driver goes by that bound alone. By polling, the driver tries to connect to a member that is away once each four
# seconds, where streaming would try it twice as often; and one that freezes is noticed in six. Much longer would be
# dangerous: after an outage all workers must beat again before those who come back first judge the others.
_DEFAULTS: Final[dict[str, Any]] = {
    "appName": "sagaflow",
    "connectTimeoutMS": 2_000,
    "heartbeatFrequencyMS": 4_000,
    "serverMonitoringMode": "poll",
}
_HEART_DEFAULTS: Final = _DEFAULTS | {"heartbeatFrequencyMS": 30_000}  # in trouble it asks the other client


class Clients(NamedTuple):
    """What a URL makes: its options win over our defaults."""

    client: AsyncMongoClient[Any]
    heart_client: MongoClient[Any]
    database: str
    timeout: float | None
    """Seconds, by ``timeoutMS``; None if the URL does not say."""


def clients_of(url: str) -> Clients:
    """The clients of a store by its URL, not connected yet.

    Raises:
        ConfigurationError: the URL is none, or names no database.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"mongodb", "mongodb+srv"}:
            raise ValueError("another scheme")
        if "@" in parts.path:
            raise ValueError("the end of a password that has a slash would pass for the database, which is shown")
        given = {option.partition("=")[0].lower() for option in parts.query.split("&")}
        client = AsyncMongoClient[Any](url, **_without(given, _DEFAULTS))
        heart_client = MongoClient[Any](url, connect=False, **_without(given, _HEART_DEFAULTS))
    except (PyMongoError, ValueError) as error:
        # Neither the URL nor the driver's text about it is shown: parts of a password can be in both.
        raise ConfigurationError(
            f"The store's URL is no MongoDB URL ({type(error).__name__}). Write "
            f"mongodb://user:password@host:27017/database?replicaSet=name; in the user and the password, "
            f"percent-encode every character but letters and digits."
        ) from None
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        raise ConfigurationError(
            "The store's MongoDB URL names no database. Add one after the hosts: "
            "mongodb://host:27017/DATABASE?replicaSet=name"
        )
    return Clients(client, heart_client, database, heart_client.options.timeout)


def _without(given: set[str], defaults: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in defaults.items() if name.lower() not in given}


def client_within(client: AsyncClient) -> MongoClient[Any]:
    """The synchronous client that comes with an asynchronous one, for the heart.

    Raises:
        TypeError: ``client`` is no asynchronous client.
        ConfigurationError: none comes with it.
    """
    given: object = client
    if isinstance(given, AsyncMongoClient):
        raise ConfigurationError(
            "MongoStore(AsyncMongoClient(...)): heartbeats need a synchronous client beside it. Write "
            "MongoStore(client, database, heart_client=MongoClient(...)), or MongoStore.from_url(url), which "
            "makes both."
        )
    # Motor's client is a wrapper around one. PyMongo's own would take the name for a database's.
    within = None if isinstance(given, MongoClient) else getattr(given, "delegate", None)
    if not isinstance(within, MongoClient):
        raise TypeError(
            f"MongoStore() takes an AsyncMongoClient or an AsyncIOMotorClient, not a {type(given).__name__}"
        )
    return cast("MongoClient[Any]", within)  # type: ignore[redundant-cast]  # not to pyright
