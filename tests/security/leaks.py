"""Finding a secret where it must not be: in what was logged, raised, shown or recorded."""

from __future__ import annotations

import logging
import traceback
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import MongoClient
from pymongo.database import Database

CANARY = "c4n4ry/p@ss:w%rd"
"""A password with characters that a URL takes for its own."""

IN_URL = quote(CANARY, safe="")

# As it was written, and as it stands in a URL.
_FORMS = (CANARY, IN_URL, "c4n4ry")


def has_leaked(text: str, secret: str | None = None) -> bool:
    """Whether the canary, or this secret, is in a text, in clear or as it is written in URLs."""
    return any(form in text for form in (_FORMS if secret is None else (secret,)))


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """All that SagaFlow's own loggers have said, with tracebacks and the fields of their records."""
    formatter = logging.Formatter()
    records = [record for record in caplog.records if record.name.partition(".")[0] == "sagaflow"]
    return "\n".join(f"{formatter.format(record)} {vars(record)!r}" for record in records)


def told(error: BaseException) -> str:
    """All that an error says: its text, its form, and the traceback with the errors that it came of."""
    return "\n".join([str(error), repr(error), *traceback.format_exception(error)])


def everything_in(url: str) -> str:
    """All documents of the database that a URL of MongoDB names."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(url) as client:
        database: Database[dict[str, Any]] = client.get_default_database()
        return repr([document for name in database.list_collection_names() for document in database[name].find()])
