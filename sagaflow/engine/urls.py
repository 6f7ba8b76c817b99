"""Stores and brokers by URL. The only place that knows which adapter stands behind which scheme."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError, near
from ..ports import Broker, Codec, Store

DEFAULT_STORE = "sqlite:///sagaflow.db"
DEFAULT_BROKER = "memory://"


def open_store(given: str | Store | None) -> Store:
    """The store that was given, or the one that the URL, ``SAGAFLOW_STORE``, or the default names.

    Raises:
        ConfigurationError: the URL names none.
    """
    if given is not None and not isinstance(given, str):
        return given
    url = given or os.environ.get("SAGAFLOW_STORE") or DEFAULT_STORE
    scheme = _scheme(url)
    match scheme:
        case "memory":
            store: Store = _adapter("memory_store:MemoryStore")()
        case "sqlite":
            store = _adapter("sqlite:SQLiteStore")(_path(url))
        case "mongodb" | "mongodb+srv":
            store = _adapter("mongo:MongoStore").from_url(url)
        case _:
            raise _unknown("store", scheme, ["memory", "sqlite", "mongodb", "mongodb+srv"])
    return store


def open_broker(given: str | Broker | None) -> Broker:
    """The broker that was given, or the one that the URL, ``SAGAFLOW_BROKER``, or the default names.

    Raises:
        ConfigurationError: the URL names none.
    """
    if given is not None and not isinstance(given, str):
        return given
    url = given or os.environ.get("SAGAFLOW_BROKER") or DEFAULT_BROKER
    scheme = _scheme(url)
    match scheme:
        case "memory":
            broker: Broker = _adapter("memory_broker:MemoryBroker")()
        case "amqp" | "amqps":
            broker = _adapter("rabbitmq:RabbitBroker")(url)
        case _:
            raise _unknown("broker", scheme, ["memory", "amqp", "amqps"])
    return broker


def default_codec() -> Codec:
    """What writes payloads when nobody says otherwise: JSON."""
    codec: Codec = _adapter("json_codec:JsonCodec")()
    return codec


def _adapter(where: str) -> Any:
    # Imported when it is wanted, so that nobody needs a driver that is not used.
    module, _, name = where.partition(":")
    return getattr(import_module(f"sagaflow.adapters.{module}"), name)


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""


def _path(url: str) -> str:
    """As SQLAlchemy writes it: ``sqlite:///relative.db``, ``sqlite:////absolute.db``."""
    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigurationError(
            "a SQLite store is written sqlite:///file.db (relative to the working directory) or sqlite:////path/file.db"
        )
    return parts.path.removeprefix("/")


def _unknown(kind: str, scheme: str, known: list[str]) -> ConfigurationError:
    # The URL itself is left out: it may hold a password.
    what = f"{scheme}://" if scheme else "a URL without a scheme"
    schemes = ", ".join(f"{one}://" for one in known)
    return ConfigurationError(f"{what} names no {kind}. {near(scheme, known, 'Nothing is near it.')} Write {schemes}")
