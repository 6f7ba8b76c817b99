"""The options of a step and the keywords of a class: which there are, and which values they take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, NewType, get_origin

from .annotations import show
from .declaration import Declaration
from .fields import why_no_template
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


def _wait(option: str, value: Any) -> Iterable[Problem]:
    if value is None:
        yield f"{option}=None is no timedelta", f"Leave {option}= out for no wait."
    elif not isinstance(value, timedelta):
        yield from _duration(option, value)
    elif value < timedelta(0):
        yield f"{option}={value!r} is negative", f"Write a time of at least zero, or leave {option}= out."


def _count(option: str, value: Any) -> Iterable[Problem]:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        yield f"{option}={value!r} is no number of at least 1", f"Write {option}=10, or leave it out for no bound."


def _method(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, Declaration):
        yield f"{option}={value.name} is itself a step", _BESIDE[option]
    elif isinstance(value, staticmethod | classmethod):
        yield f"{option}= is a static or class method", "Name an async method of the class."
    elif inspect.isfunction(value) and value.__name__ == "<lambda>":
        yield f"{option}= is a lambda, which has no name to find it by", "Name an async method of the class."
    elif not (value is None or isinstance(value, str) or inspect.isfunction(value)):
        yield (
            f"{option}={value!r} is neither a method nor a method's name",
            "Name an async method of the class.",
        )


_BESIDE: Final[Mapping[str, str]] = {
    "compensate": "Name a method without @step: a step is done, a compensation undoes it.",
    "probe": "Name a method without @step: a step is done, a probe finds out whether it was.",
    "when": "Name a plain method that takes the step's output and says yes or no.",
}


def beside(option: str) -> str:
    """What to write where an option names a step, but wants a method that stands beside the step."""
    return _BESIDE[option]


def _decides(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, Declaration):
        yield f"{option}={value.name} is itself a step", _BESIDE[option]
    elif not (isinstance(value, str) or callable(value)):
        yield (
            f"{option}={_shown(value)} is neither a method's name nor a function of the context",
            f"Write {option}='a_method', or {option}=lambda context: ....",
        )


def _list(option: str, value: Any) -> Iterable[Problem]:
    if not (isinstance(value, str | Declaration) or callable(value)):
        yield (
            f"{option}={_shown(value)} is neither a step, nor a field of the context, nor a function of it",
            f"Write {option}='items', or {option}=lambda context: ....",
        )


def _saga(option: str, value: Any) -> Iterable[Problem]:
    if not isinstance(value, type) or not hasattr(value, "__saga_compiled__"):
        yield f"{option}={_shown(value)} is no saga class", f"Write {option}=ShippingSaga, a subclass of Saga."
    elif getattr(value, "__saga_compiled__", None) is None:
        yield f"{option}={value.__name__} is abstract", "Name a concrete subclass of it."


def _type(option: str, value: Any) -> Iterable[Problem]:
    is_type = isinstance(value, type | NewType) or get_origin(value) is not None or hasattr(value, "__value__")
    if hasattr(value, "__saga_compiled__"):
        yield (
            f"{option}={show(value)} is a saga",
            f"Write saga={show(value)}: then this saga starts it, and waits for it.",
        )
    elif not (is_type or value in (Any, None)):
        yield f"{option}={_shown(value)} is no type", f"Write {option}=Payment, the type of the answer."


def _names(option: str, value: Any) -> Iterable[Problem]:
    if not isinstance(value, str) and not _is(value, list, tuple):
        yield (
            f"{option}={value!r} is neither a name nor several",
            f"Write {option}='charge', or {option}=['charge', 'pay'].",
        )
        return
    for one in formerly_names(value):
        yield from _word(option, one)


def _lock(option: str, value: Any) -> Iterable[Problem]:
    if isinstance(value, str) and value:
        for rule, remedy in why_no_template(value):
            yield f"{option}={value!r} {rule}", remedy
    elif not callable(value):
        yield (
            f"{option}={_shown(value)} is neither a template nor a function of the context",
            f"Write {option}='order:{{order_id}}', or {option}=lambda context: ....",
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
    "compensate": _method,
    "after": _after,
    "parallel": _word,
    "when": _decides,
    "retry": _retry,
    "compensation_retry": _retry,
    "timeout": _duration,
    "heartbeat_timeout": _duration,
    "delay": _wait,
    "abort_on": _exceptions,
    "pivot": _flag,
    "probe": _method,
    "lock": _lock,
    "queue": _queue,
    "formerly": _names,
    "each": _list,
    "at_once": _count,
    "saga": _saga,
    "waits_for": _type,
    "signal": _word,
    "deadline": _duration,
}

SAGA_KEYWORDS: Final[Mapping[str, Check]] = {
    "name": _word,
    "abstract": _flag,
    "retry": _retry,
    "compensation_retry": _retry,
    "deadline": _duration,
    "compensation_deadline": _duration,
    "lock": _lock,
    "cancel_siblings": _flag,
    "queue": _queue,
}


def after_names(value: Any) -> list[str]:
    """The steps that a valid ``after=`` names."""
    many = [value] if isinstance(value, str | Declaration) else list(value)
    return [one.name if isinstance(one, Declaration) else one for one in many]


def formerly_names(value: Any) -> tuple[Any, ...]:
    """The names that a ``formerly=`` gives."""
    return (value,) if isinstance(value, str) else tuple(value)
