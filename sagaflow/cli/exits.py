"""How a command ends: its exit code, and one line on the error output that says why."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    BrokerUnavailable,
    ConfigurationError,
    DefinitionError,
    InboxFull,
    NoEngine,
    PayloadError,
    SagaFlowError,
    SagaNotFound,
    StoreUnavailable,
)


class Exit(IntEnum):
    """What a script can tell a command's end by."""

    OK = 0
    """It is done, or was so already."""
    FAILED = 1
    """It was refused, something wrong was found, or the saga did not complete."""
    USAGE = 2
    """What it was given cannot be meant, or a setting is wrong."""
    NOT_FOUND = 3
    """There is no such saga, or no such thing."""
    UNAVAILABLE = 4
    """The store or the broker does not answer."""
    INTERRUPTED = 130
    """It was told to end by Ctrl-C."""


class Failure(Exception):
    """A command cannot go on; the text is for the person who gave it."""

    def __init__(self, text: str, code: Exit = Exit.USAGE) -> None:
        self.code = code
        super().__init__(text)


def code_of(error: Exception) -> Exit | None:
    """The exit code for an error; None if it is one that nobody expects: its traceback should be seen."""
    match error:
        case Failure():
            return error.code
        case SagaNotFound():
            return Exit.NOT_FOUND
        case StoreUnavailable() | BrokerUnavailable() | InboxFull():
            return Exit.UNAVAILABLE
        case ConfigurationError() | DefinitionError() | PayloadError() | NoEngine():
            return Exit.USAGE
        case SagaFlowError():
            return Exit.FAILED
        case _:
            return None
