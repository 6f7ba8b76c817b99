"""How values of the user become text in the store, and back."""

from __future__ import annotations

from typing import Any, Protocol


class Codec(Protocol):
    """Payloads: contexts, outputs, errors. What it writes, it must read for as long as sagas live.

    A codec of one's own can encrypt or compress; the text it returns goes to the store as it is, never to a broker
    or a log.
    """

    def encode(self, value: object, kind: Any) -> str:
        """The value as text. ``kind`` is its declared type.

        Raises:
            PayloadError: the value cannot be written without loss (NaN, a cycle, an unknown type, not of ``kind``).
        """
        ...

    def decode(self, text: str, kind: Any) -> Any:
        """The value that ``encode`` was given, of the declared type ``kind``; ``Any`` gives plain builtins.

        Raises:
            PayloadError: the text is not what this codec writes, or not a ``kind``.
        """
        ...
