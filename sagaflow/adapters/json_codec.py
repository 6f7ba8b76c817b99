"""Payloads as JSON text, by msgspec: readable in any shell, and never a value that would come back as another.

msgspec writes more than it can read back: NaN becomes ``null``, the fields that a subclass adds are dropped, a tuple
comes back as a list where nothing says otherwise. So whatever is written is read again at once and compared. That
costs about as much as the writing itself, and a lost cent costs more.

No error text shows a value: payloads are customers' data, and errors end up in logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..core.annotations import show
from ..core.payloads import is_plain, why_not_storable
from ..errors import PayloadError, PayloadTooLarge
from .json_difference import difference

MAX_SIZE: Final = 16 * 1024 * 1024
"""In characters: MongoDB takes no larger document, whatever the engine's own limits are set to."""

MAX_DEPTH: Final = 64
"""Lists in objects in lists: far more than data has, far less than Python's stack bears."""

_STRINGS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_UNSTRUCTURED: Final = bytes(set(range(256)) - set(b'[]{}"\\'))


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is kept ready for one type."""

    decode: Callable[[bytes], Any]
    is_plain: bool


class JsonCodec:
    """The codec that engines use if they are given no other. It has no state that matters: share it, or do not.

    Args:
        max_size: the longest text, in characters (in bytes of its UTF-8 form, to be exact).
        max_depth: how deep lists and objects may be nested.

    Example:
        >>> JsonCodec().encode(["a", 1], list[str | int])
        '["a",1]'
        >>> JsonCodec().decode('["a",1]', list[str | int])
        ['a', 1]
    """

    def __init__(self, *, max_size: int = MAX_SIZE, max_depth: int = MAX_DEPTH) -> None:
        self._max_size = max_size
        self._max_depth = max_depth
        self._encoder = msgspec.json.Encoder()
        self._kinds: dict[Any, _Kind] = {}

    def encode(self, value: object, kind: Any) -> str:
        """The value as JSON.

        Raises:
            PayloadError: it is no ``kind``, or would not come back as it is.
            PayloadTooLarge: it is larger than ``max_size``.
        """
        known = self._kind(kind)
        problem: str | None
        try:
            data = self._encoder.encode(value)
        except Exception as error:
            problem = _why_not_written(error)
        else:
            problem = _compare(value, self._read(data, known, kind), known.is_plain)
            if problem is None:
                return data.decode()
        raise PayloadError(f"A {_type(value)} cannot be stored as {show(kind)}: {problem}.")

    def decode(self, text: str, kind: Any) -> Any:
        """The value of which ``encode`` wrote this text; what ``kind`` does not tell is plain JSON values.

        Raises:
            PayloadError: it is no JSON, or no ``kind``.
            PayloadTooLarge: it is larger than ``max_size``.
        """
        known = self._kind(kind)
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = None
        if data is None:
            raise PayloadError(f"What is stored cannot be read as {show(kind)}: it has lone surrogates.")
        return self._read(data, known, kind)

    def _read(self, data: bytes, known: _Kind, kind: Any) -> Any:
        if len(data) > self._max_size:
            raise PayloadTooLarge(f"A {show(kind)}", len(data), self._max_size)
        if self._is_too_deep(data):
            problem = f"it is nested more than {self._max_depth} deep"
        else:
            try:
                return known.decode(data)
            except Exception as error:  # classes of the user's own are made here, and raise what they like
                problem = _why_not_read(error)
        raise PayloadError(f"This is no {show(kind)}: {problem}.")

    def _is_too_deep(self, data: bytes) -> bool:
        if data.count(b"[") + data.count(b"{") <= self._max_depth:
            return False
        brackets = data.translate(_ONE_KIND, _UNSTRUCTURED)
        if b"\\" not in brackets:
            brackets = brackets.replace(b'""', b"")  # most strings, and much faster than the regular expression
        if b'"' in brackets:
            brackets = _STRINGS.sub(b"", brackets).translate(None, b'"\\')
        for _ in range(self._max_depth):
            if not brackets:
                break
            brackets = brackets.replace(b"[]", b"")  # takes the innermost level away
        return bool(brackets)

    def _kind(self, kind: Any) -> _Kind:
        try:
            known = self._kinds.get(kind)
        except TypeError:  # metadata in an annotation need not be hashable
            return _prepare(kind)
        if known is None:
            known = self._kinds[kind] = _prepare(kind)
        return known


def _prepare(kind: Any) -> _Kind:
    if reason := why_not_storable(kind):
        raise PayloadError(f"{show(kind)} cannot be stored: {reason}.")
    return _Kind(msgspec.json.Decoder(kind).decode, is_plain(kind))


def _compare(value: Any, back: Any, plain: bool) -> str | None:
    """What would be lost; None if nothing is."""
    try:
        if plain and value == back:
            return None
        return difference(value, back)
    except Exception as error:  # an equality of the user's own
        return f"comparing it raises {type(error).__name__}"


# ---------------------------------------------------------------------------------------- error texts

_UNSUPPORTED: Final = re.compile(r"Encoding objects of type [\w.]+ is unsupported")

_SAFE: Final = re.compile(r"(Expected `|Object missing required field `)")
"""The beginnings of msgspec's messages that speak of types only; others quote the value."""

_PATH: Final = re.compile(r" - at (?:`key` in )?`[^`]*`$")


def _why_not_written(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it contains itself, or is nested too deep"
    if isinstance(error, UnicodeEncodeError):
        return "it has text with lone surrogates"
    if found := _UNSUPPORTED.search(str(error)):
        return found[0]
    return f"writing it raises {type(error).__name__}"


def _why_not_read(error: Exception) -> str:
    """What is wrong with a text, without what it says."""
    text = str(error)
    path = _PATH.search(text)
    where = path[0] if path else ""
    if isinstance(error, msgspec.ValidationError) and error.__cause__ is None:
        return text if _SAFE.match(text) else f"a value is not what the type allows{where}"
    if error.__cause__ is not None:
        return f"making it raises {type(error.__cause__).__name__}{where}"
    if isinstance(error, msgspec.DecodeError):
        return "it is no JSON"
    return f"reading it raises {type(error).__name__}"


def _type(value: object) -> str:
    return type(value).__name__
