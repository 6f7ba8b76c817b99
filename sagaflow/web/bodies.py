"""What is sent to the API, and what it says of itself; sagas are told as ``sagaflow.views`` tells them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from .problems import Problem

T = TypeVar("T", bound=Struct)


class Start(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A saga to be started.

    Attributes:
        saga: the name of its class.
        context: what it is started with, of the type of that class.
        id: names the transaction: the same id with an equal context is the same saga. By default a new one.
        delay: after how many seconds it begins.
        tags: labels that it is found by.
    """

    saga: str
    context: Raw
    id: str | None = None
    delay: float | None = None
    tags: tuple[str, ...] = ()


class Started(Struct, frozen=True):
    """A saga that was started, or had been: its id."""

    id: str


class Act(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An act on a whole saga.

    Attributes:
        reason: why; it stands in the record of the saga.
        by: who; it may be left out where signing in says who somebody is.
    """

    reason: str
    by: str = ""


class StepAct(Act, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An act on one step, or element of one (``reserve[2]``)."""

    step: str


class RetryAct(Act, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another try.

    Attributes:
        step: only this step; by default all that failed.
        new_key: under a new key, where certainly nothing has happened under the old one.
    """

    step: str | None = None
    new_key: bool = False


class SkipAct(StepAct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step to be left out; ``output`` stands for its output."""

    output: Raw | UnsetType = UNSET


class ResolveAct(StepAct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What became of a step whose outcome is not known.

    Attributes:
        happened: whether it was done.
        output: if it was, what it yielded; by default nothing.
    """

    happened: bool
    output: Raw | UnsetType = UNSET


class StepAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a step waits for has happened.

    Attributes:
        step: the step.
        output: what it waits for, of its type.
        token: names this answer: the same token twice is one answer.
    """

    step: str
    output: Raw
    token: str | None = None


class StepRefusal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a step waits for has not happened, and will not; ``error`` says why."""

    step: str
    error: str
    token: str | None = None


class SignalAnswer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all steps wait for that listen to this signal."""

    signal: str
    output: Raw
    token: str | None = None


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    """The token, in exchange for a cookie."""

    token: str


class Me(Struct, frozen=True):
    """What this service knows of whoever asks.

    Attributes:
        name: who it is; None if acts must say so.
        way_in: how somebody comes in: ``loopback``, ``token`` or ``own``.
        read_only: whether nothing can be changed here.
        title: of the page.
    """

    name: str | None
    way_in: str
    read_only: bool
    title: str


class SagaType(Struct, frozen=True):
    """A class of sagas that can be started here.

    Attributes:
        name: of its sagas.
        doc: what it says of itself.
        context: the JSON Schema of its context.
        example: a context to begin with.
        signals: what its steps wait for.
        steps: the names of its steps.
    """

    name: str
    doc: str
    context: dict[str, Any]
    example: Any
    signals: tuple[str, ...]
    steps: tuple[str, ...]


class Ok(Struct, frozen=True):
    """Whether the process is well."""

    ok: bool


def read(body: bytes, kind: type[T]) -> T:
    """What was sent.

    Raises:
        Problem: it is no JSON, or not of that kind.
    """
    fields = ", ".join(f"{one.name!r}" + (" (required)" * one.required) for one in msgspec.structs.fields(kind))
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Problem(422, "body", str(error), f"The body is a JSON object with {fields}.") from None
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise Problem(400, "no-json", "the body is no JSON", f"Send a JSON object with {fields}.") from None
