"""Connections to PostgreSQL: how they are made, how long they may take, and what their errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg.exceptions import InternalClientError, TargetServerAttributeNotMatched

from sagaflow.errors import ConfigurationError, PayloadError, StoreUnavailable

T = TypeVar("T")

TIMEOUT: Final = 5.0
"""Seconds for one call."""

_FORM: Final = "postgresql://user:password@host/database"

# What the operator must mend; everything else may pass by itself.
_FORBIDDEN: Final = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidAuthorizationSpecificationError,  # a wrong password too
    asyncpg.InvalidCatalogNameError,
)

# The server has looked at what it was given, and will never take it.
_UNSTORABLE: Final = (asyncpg.ProgramLimitExceededError, asyncpg.DataError)


def check_url(url: str) -> None:
    """Refuse what is no URL of a database.

    Raises:
        ConfigurationError: it is none; the error does not show it, because of the password.
    """
    parts = urlsplit(url)
    # A password with a slash, a question mark or a hash ends the host, and stands in what follows.
    is_whole = not parts.fragment and "@" not in parts.path + parts.query and parts.path.count("/") == 1
    if parts.scheme not in {"postgresql", "postgres"} or not is_whole or parts.path == "/":
        raise _no_url()


def without_password(url: str) -> str:
    """What of the URL may be shown: hosts and database."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def options(timeout: float) -> dict[str, Any]:
    """How every connection of the store is made, for asyncpg."""
    return {
        "timeout": timeout,
        # Of several hosts in the URL the one that takes writes, also after another has taken over.
        "target_session_attrs": "primary",
        "server_settings": {
            "application_name": "sagaflow",
            # Statements test their conditions again on rows that others have changed; a stricter level would fail.
            "default_transaction_isolation": "read committed",
            # A call that we have given up ends on the server too.
            "statement_timeout": f"{timeout * 1_000:.0f}",
        },
    }


@asynccontextmanager
async def answering(what: str, seconds: float) -> AsyncGenerator[None, None]:
    """Within, PostgreSQL has that many seconds; ``what`` completes "PostgreSQL could not ...".

    Raises:
        StoreUnavailable: it does not answer, or not in time, or fails.
        ConfigurationError: it does not let this user do it, or the URL is none.
        PayloadError: it will never take what it was given.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except _FORBIDDEN as error:
        raise ConfigurationError(
            f"PostgreSQL does not let this user {what}: {_said(error)}. Are the user, the password and the database "
            f"of the URL right, and may the user SELECT, INSERT, UPDATE and DELETE on the tables sagaflow_…?"
        ) from error
    except _UNSTORABLE as error:
        raise PayloadError(f"PostgreSQL could not {what}: {_said(error)}") from error
    except TargetServerAttributeNotMatched as error:
        raise StoreUnavailable(
            f"PostgreSQL could not {what}: no host of the URL takes writes. Name the primary too, or wait until a "
            f"standby has taken over."
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, InternalClientError) as error:
        if isinstance(error, ValueError):  # the driver's own; it quotes the value, which may be a customer's
            raise PayloadError(f"PostgreSQL could not {what}: a value is out of its range") from None
        raise StoreUnavailable(f"PostgreSQL could not {what}: {type(error).__name__}: {_said(error)}") from error
    except TimeoutError as error:
        raise StoreUnavailable(f"PostgreSQL could not {what} within {seconds:g} s") from error
    except OSError as error:
        raise StoreUnavailable(f"PostgreSQL could not {what}: {error}") from error


async def connected(making: Awaitable[T]) -> T:
    """What a function of asyncpg makes that was given the URL.

    Raises:
        ConfigurationError: it could not read the URL; the error does not show it, because of the password.
    """
    try:
        return await making
    except ValueError:
        raise _no_url() from None


def _no_url() -> ConfigurationError:
    return ConfigurationError(
        f"The URL of a PostgreSQL store is written {_FORM}, and this one is not. What is special in a URL is "
        f"percent-encoded in the password, as urllib.parse.quote(password, safe='') does it."
    )


def _said(error: Exception) -> str:
    """The server's words without their details, which quote values."""
    return str(error.args[0] if isinstance(error, asyncpg.PostgresError) else error)
