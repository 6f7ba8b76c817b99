"""What every call to MongoDB has in common: a bound to its time, and a translation of its errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pymongo
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from ..errors import ConfigurationError, StoreUnavailable
from .mongo_documents import Document
from .mongo_primary import Primary

if TYPE_CHECKING:
    from .mongo_clients import AsyncClient

T = TypeVar("T")

MAJORITY_READS: Final = ReadConcern("majority")
MAJORITY_WRITES: Final = WriteConcern("majority", wtimeout=10_000)
PLAIN: Final[CodecOptions[Document]] = CodecOptions(tz_aware=True)
"""Documents are plain dicts, whatever the client that we were given makes of them."""

# Seconds after which a call is given up though the driver, which has a bound of its own, is still at it.
_GRACE: Final = 2.0

# By the server's error codes: Unauthorized, AuthenticationFailed, and the like of a hosted service.
_FORBIDDEN: Final = frozenset({13, 18, 8000})
_NOT_TRUSTED: Final = (
    " The server's certificate is not trusted: name the file of its authority in the URL (tlsCAFile=...), and the host "
    "as the certificate does."
)
_TOO_LARGE: Final = frozenset({10334, 17419, 17420})


class Calls:
    """Calls to the driver, each in a task of its own, which is never cancelled: whoever waits for it may be.

    Before Python 3.12 one cancellation of a task in which PyMongo looks for a server can leave the lock of the whole
    client taken for ever: ``asyncio.wait_for`` gives up waiting for a condition that has yet to take its lock again.
    """

    def __init__(self, seconds: float, client: AsyncClient) -> None:
        """``seconds``: the driver's own bound of a call."""
        self._seconds = seconds + _GRACE
        self.primary: Primary = Primary(client)
        self._tasks: set[asyncio.Task[Any]] = set()

    async def answer(self, call: Coroutine[Any, Any, T]) -> T:
        """What the call returns or raises.

        Raises:
            StoreUnavailable: the driver is still at it well after its own bound.
        """
        task = asyncio.create_task(call, name="sagaflow: a call to MongoDB")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=self._seconds)
        if not task.done():
            raise StoreUnavailable(f"MongoDB has not answered in {self._seconds:g} s")
        return task.result()

    async def ended(self) -> None:
        """Wait a moment for those that nobody waits for any more; the driver's end is theirs."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # if nobody waits for it any more, it is nobody's


Method = TypeVar("Method", bound=Callable[..., Coroutine[Any, Any, Any]])


def unbroken(method: Method) -> Method:
    """A method that is not cancelled with its caller, of whatever has ``driver_calls``."""

    @wraps(method)
    async def call(caller: Any, *args: Any, **options: Any) -> Any:
        calls: Calls = caller.driver_calls
        return await calls.answer(method(caller, *args, **options))

    return cast("Method", call)


async def all_of(*calls: Awaitable[T]) -> list[T]:
    """The answers to all calls. None goes on by itself when another has failed."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return cast("list[T]", answers)


@asynccontextmanager
async def answering(what: str, seconds: float, primary: Primary) -> AsyncGenerator[None, None]:
    """Within, MongoDB has that many seconds, and a primary; ``what`` completes "MongoDB could not ...".

    Raises:
        StoreUnavailable: it does not answer, or not in time, or refuses.
        ConfigurationError: it does not let this user do it.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task else 0
    try:
        # The driver's own bound is passed on to the server, and tries again while there is time.
        with pymongo.timeout(seconds):
            await primary.found(seconds)
            yield
    except (PyMongoError, BSONError) as error:
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
            f"MongoDB does not let this user {what}: {_said(error)}. Are the user, the password and authSource of the "
            f"URL right, and has the user the role readWrite on the database?"
        )
    hint = _NOT_TRUSTED if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
    return StoreUnavailable(f"MongoDB could not {what}: {type(error).__name__}: {_said(error)}{hint}")


def _said(error: Exception) -> str:
    """The driver's words without the server's whole answer: that of a collection's validator quotes the document."""
    return str(error).partition(", full error: ")[0]
