"""Who is measured: a script, the workloads that it is put to, and the settings that are stated beside its figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from benchmarks.task import WORKLOADS

BARE: Final = "bare scripts"
SAGAFLOW: Final = "SagaFlow"
PEERS: Final = "peers"
SCALING: Final = "scaling"
KINDS: Final = (BARE, SAGAFLOW, PEERS, SCALING)

ONCE: Final = ("once",)
"""The workload of a script that has only one."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One who is measured.

    Attributes:
        name: as in ``python -m benchmarks NAME``.
        kind: one of ``KINDS``.
        what: what it does for a saga.
        settings: durability, confirms, concurrency: what its figures depend on.
        module: the script.
        options: what the script wants to know besides.
        workloads: what it is put to.
        in_flight: how many sagas are under way at once, under load.
        servers: how many members the MongoDB has that it is given, beside a RabbitMQ; 0 if it needs none.
        environment: the packages that it needs, in a virtual environment that is named by the first; none of its own
            if there are none.
        full: whether it is left out of the quick run.
        drawn: whether it is in the picture, where all others would be slivers beside one that is far beyond them.
        patience: seconds after which it is given up.
    """

    name: str
    kind: str
    what: str
    settings: str
    module: str
    options: dict[str, str] = field(default_factory=dict[str, str])
    workloads: tuple[str, ...] = WORKLOADS
    in_flight: int = 100
    servers: int = 1
    environment: tuple[str, ...] = ()
    full: bool = False
    drawn: bool = True
    patience: float = 120.0
