"""What a store or a broker can tell of its servers, for a person who asks whether they are as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, runtime_checkable

from msgspec import Struct

from .broker import Lane


class Condition(StrEnum):
    """How something is."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    """It works, and somebody should know of it."""
    BAD = "bad"


class Diagnosis(Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        what: in a word or two.
        condition: how it is.
        said: how it is, in words, without credentials.
        remedy: what to do; empty if there is nothing to be done.
    """

    what: str
    condition: Condition
    said: str
    remedy: str = ""


@runtime_checkable
class StoreDiagnosis(Protocol):
    """A store that can look at its servers. It needs not be open, changes nothing, and a store can do without it."""

    async def diagnose(self) -> list[Diagnosis]:
        """How the servers are.

        Raises:
            StoreUnavailable, ConfigurationError
        """
        ...


@runtime_checkable
class BrokerDiagnosis(Protocol):
    """A broker that can look at its servers, once it is open. It changes nothing, and a broker can do without it."""

    async def diagnose_lanes(self, lanes: Sequence[Lane]) -> list[Diagnosis]:
        """How the servers are, and what these lanes need there.

        Raises:
            BrokerUnavailable
        """
        ...
