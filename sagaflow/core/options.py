"""The options of a step and the keywords of a class: which there are, and which values they take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from .declaration import Declaration
from .retry import Retry

NAME_LIMIT: Final = 100
"""The longest name of a saga or a queue, in characters; RabbitMQ and MongoDB have room for it and a prefix."""

_QUEUE = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_LIMIT}}}")

Problem = tuple[str, str]
"""A rule that is broken, and its remedy."""

Check = Callable[[str, Any], Iterable[Problem]]
"""From an option and its value to what is wrong with it: nothing, if nothing is."""


def _retry(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, Retry):
        return
    attempts = value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 5
    yield f"{option}={value!r} is no Retry", f"Write {option}=Retry(attempts={attempts})."


def _duration(option: str, value: Any) -> Iterable[Problem]:
    if value is None:
        return
    if not isinstance(value, timedelta):
        seconds = value if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else 30
        yield f"{option}={value!r} is no timedelta", f"Write {option}=timedelta(seconds={seconds})."
    elif value <= timedelta(0):
        yield (
            f"{option}={value!r} leaves no time at all",
            f"Write a time above zero, or leave {option}= out for no limit.",
        )


def _exceptions(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, type):
        yield f"{option}={value.__name__} is no tuple", f"Write {option}=({value.__name__},)."
    elif not _is(value, tuple):
        yield f"{option}={value!r} is no tuple", f"Write {option}=(CardDeclined,)."
    else:
        for kind in value:
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                # CancelledError and its like say nothing about what the step did: they must never count as "nothing".
                shown = kind.__name__ if isinstance(kind, type) else repr(kind)
                yield (
                    f"{option}= holds {shown}, which is no subclass of Exception",
                    "Name exception types only.",
                )


def _queue(option: str, value: Any) -> Iterable[Problem]:
    if not isinstance(value, str) or not _QUEUE.fullmatch(value):
        yield (
            f"{option}={value!r} is no name of a queue",
            f"Write 1 to {NAME_LIMIT} letters, digits, '_', '.' or '-': {option}='payments'.",
        )


def _word(option: str, value: Any) -> Iterable[Problem]:
    if not isinstance(value, str) or not value or not value.isprintable() or len(value) > NAME_LIMIT:
        yield (
            f"{option}={value!r} is no name",
            f"Write a str of 1 to {NAME_LIMIT} printable characters.",
        )


def _flag(option: str, value: Any) -> Iterable[Problem]:
    if not isinstance(value, bool):
        yield f"{option}={value!r} is neither True nor False", f"Write {option}=True, or leave it out."


def _compensate(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, Declaration):
        yield (
            f"{option}={value.name} is itself a step",
            "Name a method without @step: a step is done, a compensation undoes it.",
        )
    elif isinstance(value, staticmethod | classmethod):
        yield f"{option}= is a static or class method", "Name an async method of the class."
    elif inspect.isfunction(value) and value.__name__ == "<lambda>":
        yield f"{option}= is a lambda, which has no name to find it by", "Name an async method of the class."
    elif not (value is None or isinstance(value, str) or inspect.isfunction(value)):
        yield (
            f"{option}={value!r} is neither a method nor a method's name",
            "Name an async method of the class.",
        )


def _after(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, str | Declaration):
        return
    if not _is(value, list, tuple):
        yield (
            f"{option}={_shown(value)} is neither a step nor a step's name",
            "Write after=reserve, or after=[a, b].",
        )
        return
    for one in value:
        if not isinstance(one, str | Declaration):
            yield (
                f"{option}= holds {_shown(one)}, which is neither a step nor a step's name",
                "Name steps only.",
            )


def _is(value: Any, *kinds: type) -> bool:
    return isinstance(value, kinds)


def _shown(value: Any) -> str:
    return f"the method {value.__name__!r}" if inspect.isfunction(value) else repr(value)


STEP_OPTIONS: Final[Mapping[str, Check]] = {
    "compensate": _compensate,
    "after": _after,
    "parallel": _word,
    "retry": _retry,
    "compensation_retry": _retry,
    "timeout": _duration,
    "abort_on": _exceptions,
    "queue": _queue,
}

SAGA_KEYWORDS: Final[Mapping[str, Check]] = {
    "name": _word,
    "abstract": _flag,
    "retry": _retry,
    "compensation_retry": _retry,
    "deadline": _duration,
    "queue": _queue,
}


def after_names(value: Any) -> list[str]:
    """The steps that a valid ``after=`` names."""
    many = [value] if isinstance(value, str | Declaration) else list(value)
    return [one.name if isinstance(one, Declaration) else one for one in many]
