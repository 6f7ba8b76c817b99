"""Payloads encrypted at rest, by ``cryptography``; install ``sagaflow[encryption]``.

What another codec writes is kept as a Fernet token: AES-128 in CBC mode from a random start, and an HMAC over it all,
so that nobody without a key reads it, and nobody changes it unseen. Equal values have different tokens: compare what is
decoded, never the texts.

A token tells how long its payload is, to about sixteen characters, and the second in which it was written. It is not
bound to its saga: whoever writes to the store can put one saga's token in the place of another's.

No error text shows a value, a token or a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ..core.annotations import show
from ..errors import ConfigurationError, PayloadError

try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError as _missing:
    raise ImportError("EncryptedCodec needs the package cryptography: pip install 'sagaflow[encryption]'") from _missing

if TYPE_CHECKING:
    from ..ports import Codec

_TOKEN: Final = "gAAAA"
"""How every token begins: its version, and a time before the year 2106. No JSON does."""


class EncryptedCodec:
    """A ``Codec`` that encrypts what another one writes: contexts, inputs, outputs, and the errors of steps.

    Args:
        inner: what writes values as text; ``JsonCodec()`` is what engines use by default.
        keys: as ``EncryptedCodec.new_key()`` makes them. The first one writes, all of them read. A new key is added at
            the end in every process, then moved to the front; an old one is dropped when no saga is kept any more
            that it wrote.
        accept_plain: read also what ``inner`` wrote without encryption, for as long as such sagas are kept. Whoever
            can write to the store can then forge payloads, as without encryption.

    Raises:
        ConfigurationError: there is no key, or one of them is none.

    Example:
        >>> from sagaflow.adapters.json_codec import JsonCodec
        >>> codec = EncryptedCodec(JsonCodec(), [EncryptedCodec.new_key()])
        >>> codec.decode(codec.encode(["a", 1], list[str | int]), list[str | int])
        ['a', 1]
    """

    def __init__(self, inner: Codec, keys: Iterable[str], *, accept_plain: bool = False) -> None:
        self._inner = inner
        self._cipher = _cipher_of(keys)
        self._accept_plain = accept_plain

    @staticmethod
    def new_key() -> str:
        """A key, random: 44 characters, to be kept as the secret that it is."""
        return Fernet.generate_key().decode()

    def encode(self, value: object, kind: Any) -> str:
        """The value as a token, about a third longer than what ``inner`` writes.

        Raises:
            PayloadError: ``inner`` cannot write it.
        """
        return self._cipher.encrypt(self._inner.encode(value, kind).encode()).decode()

    def decode(self, text: str, kind: Any) -> Any:
        """The value of which ``encode`` wrote this token.

        Raises:
            PayloadError: none of the keys wrote it, it was changed, or it is no ``kind``.
        """
        plain = self._decrypted(text)
        if plain is None:
            raise PayloadError(
                f"What is stored as {show(kind)} cannot be decrypted: it was written with another key or without "
                f"encryption, or was changed since. Give EncryptedCodec(..., keys) every key that sagas in the store "
                f"were written with, or accept_plain=True if some were written without."
            )
        return self._inner.decode(plain, kind)

    def _decrypted(self, text: str) -> str | None:
        try:
            return self._cipher.decrypt(text.encode()).decode()
        except (InvalidToken, UnicodeError):
            return text if self._accept_plain and not text.startswith(_TOKEN) else None


def _cipher_of(keys: Iterable[str]) -> MultiFernet:
    # A text is an Iterable[str] to type checkers, and a key given alone would be read letter by letter.
    given = [] if isinstance(keys, str | bytes) else list(keys)
    if not given:
        raise ConfigurationError(
            "EncryptedCodec(inner, keys): write a list with at least one key, as EncryptedCodec.new_key() makes them"
        )
    return MultiFernet([_key(text, f"{number} of {len(given)}") for number, text in enumerate(given, 1)])


def _key(text: str, which: str) -> Fernet:
    try:
        return Fernet(text)
    except (TypeError, ValueError):
        # Without the cause, which may speak of the key's letters.
        raise ConfigurationError(
            f"EncryptedCodec(inner, keys): key {which} is none; it takes 32 bytes in URL-safe base64, as "
            f"EncryptedCodec.new_key() makes them"
        ) from None
