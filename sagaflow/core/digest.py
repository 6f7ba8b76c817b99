"""The digest that a saga carries once it has ended, by which a change that nobody has asked for is seen.

Every change of a saga is sealed, also one after its end (its parent was told, a lock was given back), and sealing
makes the digest anew. So it is of all that the saga holds; whatever was changed past the engine does not match it.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec.structs import FieldInfo, fields

from .state import SagaState

_SIZE: Final = 16  # bytes
_APART: Final = frozenset({"digest", "schema", "trace", "tags"})

_sorted: Final = msgspec.json.Encoder(order="sorted")


def _default(field: FieldInfo) -> object:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


_DEFAULTS: Final = {field.name: _default(field) for field in fields(SagaState) if field.name not in _APART}


def digest_of(state: SagaState) -> str:
    """The digest of all that a saga holds but for its digest, in 32 hexadecimal digits.

    It is of what differs from the defaults, so that a field that is added later leaves the digests as they were. The
    version of the stored form is left out, and so are the trace and the tags: they do not say what became of the saga,
    and workers of an earlier version, which know of neither, make the same digest.
    """
    content = {name: value for name, default in _DEFAULTS.items() if (value := getattr(state, name)) != default}
    return hashlib.blake2b(_sorted.encode(content), digest_size=_SIZE).hexdigest()
