"""What every call to MongoDB has in common: a bound to its time, and a translation of its errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from ..errors import ConfigurationError, StoreUnavailable
from .mongo_documents import Document

MAJORITY_READS: Final = ReadConcern("majority")
MAJORITY_WRITES: Final = WriteConcern("majority", wtimeout=10_000)
PLAIN: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True)
"""Documents are plain dicts, whatever the client that we were given makes of them."""

# Seconds after which a call is given up though the driver, which has a bound of its own, is still at it.
_GRACE: Final = 2.0

# By the server's error codes: Unauthorized, AuthenticationFailed, and the like of a hosted service.
_FORBIDDEN: Final = frozenset({13, 18, 8000})
_TOO_LARGE: Final = frozenset({10334, 17419, 17420})


@asynccontextmanager
async def answering(what: str, seconds: float) -> AsyncGenerator[None, None]:
    """Within, MongoDB has that many seconds; ``what`` completes "MongoDB could not ...".

    Raises:
        StoreUnavailable: it does not answer, or not in time, or refuses.
        ConfigurationError: it does not let this user do it.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        async with asyncio.timeout(seconds + _GRACE):
            # The driver's own bound is passed on to the server, and tries again while there is time.
            with pymongo.timeout(seconds):
                yield
    except (PyMongoError, BSONError, TimeoutError) as error:
        raise _translated(what, error) from error
    except asyncio.CancelledError as error:
        # A driver whose connection breaks may cancel what waits for it. That is no wish of ours to end.
        if task is None or task.cancelling() > asked:
            raise
        raise StoreUnavailable(f"MongoDB could not {what}: the connection was lost") from error


@contextmanager
def answering_now(what: str, seconds: float) -> Generator[None, None, None]:
    """As ``answering``, for a synchronous client."""
    try:
        with pymongo.timeout(seconds):
            yield
    except (PyMongoError, BSONError) as error:
        raise _translated(what, error) from error


def is_too_large(error: BaseException | None) -> bool:
    """Whether a document was refused, by the driver or the server, because it is larger than MongoDB takes."""
    return isinstance(error, DocumentTooLarge) or (isinstance(error, OperationFailure) and error.code in _TOO_LARGE)


def _translated(what: str, error: Exception) -> Exception:
    if isinstance(error, DuplicateKeyError):
        return error  # an answer, and not a failure: whoever inserts looks for it
    if isinstance(error, OperationFailure) and error.code in _FORBIDDEN:
        return ConfigurationError(
            f"MongoDB does not let this user {what}: {error}. Are the user, the password and authSource of the URL "
            f"right, and has the user the role readWrite on the database?"
        )
    return StoreUnavailable(f"MongoDB could not {what}: {type(error).__name__}: {error}")
