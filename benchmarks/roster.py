"""All contestants, and the settings that their figures depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.contestant import BARE, ONCE, PEERS, SAGAFLOW, SCALING, Contestant
from benchmarks.task import SEQUENCE

_SERVERS: Final = (
    "MongoDB: one member, majority writes; RabbitMQ: one node, quorum queue, persistent messages, confirms, "
    "acknowledged when stored"
)
_BARE: Final = f"{_SERVERS}; one process; 100 sagas in flight; the documents are there beforehand"
_SQLITE: Final = "SQLite: WAL, synchronous=FULL"
_DEFAULT: Final = "default settings (100 handlers at once)"
_MANY: Final = 500

CLAIMS: Final = Contestant(
    name="bare-claims",
    kind=BARE,
    what="a message, a claim and a completion per step",
    settings=_BARE,
    module="benchmarks.bare.claims",
)
UPDATES: Final = replace(
    CLAIMS, name="bare-updates", what="a message and one update per step", module="benchmarks.bare.updates"
)
IN_PLACE: Final = replace(
    CLAIMS,
    name="bare-in-place",
    what="one message a saga, one update per step",
    module="benchmarks.bare.in_place",
)
COALESCED: Final = replace(
    CLAIMS,
    name="bare-coalesced",
    what="the same, updates coalesced into one bulk_write",
    settings=_BARE.replace("100 sagas", f"{_MANY} sagas"),
    module="benchmarks.bare.coalesced",
    in_flight=_MANY,
)
COALESCED_INSERT: Final = replace(
    COALESCED,
    name="bare-coalesced-insert",
    what="the same, with the insertion of the saga",
    settings=COALESCED.settings.replace("the documents are there beforehand", "insertions are coalesced too"),
    options={"insert": "yes"},
    workloads=(SEQUENCE,),
)


def _bare_sqlite(together: int, how: str) -> Contestant:
    return Contestant(
        name=f"bare-sqlite-{together}",
        kind=BARE,
        what=f"an insertion and three updates, {how}",
        settings=f"{_SQLITE}; one process",
        module="benchmarks.bare.sqlite",
        options={"together": str(together)},
        workloads=(SEQUENCE,),
        servers=0,
        drawn=together == 1,
    )


SQLITE_1: Final = _bare_sqlite(1, "a transaction each")
SQLITE_10: Final = _bare_sqlite(10, "ten a transaction")
SQLITE_100: Final = _bare_sqlite(100, "a hundred a transaction")

ENGINE: Final = Contestant(
    name="sagaflow",
    kind=SAGAFLOW,
    what="on RabbitMQ and MongoDB, one worker process, a starter process",
    settings=f"{_SERVERS}; {_DEFAULT}; {_MANY} sagas in flight",
    module="benchmarks.engine.apart",
    in_flight=_MANY,
)
TOGETHER: Final = Contestant(
    name="sagaflow-one-process",
    kind=SAGAFLOW,
    what="the same, one process starts and works",
    settings=f"{_SERVERS}; {_DEFAULT}; {_MANY} sagas in flight",
    module="benchmarks.engine.together",
    in_flight=_MANY,
)
SQLITE: Final = Contestant(
    name="sagaflow-sqlite",
    kind=SAGAFLOW,
    what="embedded, on a SQLite file",
    settings=f"{_SQLITE}; {_DEFAULT}; 100 sagas in flight",
    module="benchmarks.engine.together",
    options={"store": "sqlite"},
    servers=0,
)
MEMORY: Final = replace(
    SQLITE,
    name="sagaflow-memory",
    what="embedded, in memory",
    settings=f"nothing is durable; {_DEFAULT}; 100 sagas in flight",
    options={"store": "memory"},
)
QUEUES: Final = Contestant(
    name="sagaflow-queues",
    kind=SAGAFLOW,
    what="steps on two queues by turns, a worker process for each, a starter process",
    settings=f"{_SERVERS}; {_DEFAULT}; 100 sagas in flight",
    module="benchmarks.engine.apart",
    options={"queues": "a b"},
    workloads=("hops",),
)

CELERY: Final = Contestant(
    name="celery",
    kind=PEERS,
    what="chain and chord on RabbitMQ, results in MongoDB; a worker with two processes, a starter process",
    settings=(
        "RabbitMQ: quorum queue, persistent messages, confirms, late acknowledgement, prefetch multiplier 64; MongoDB: "
        "one member, majority writes; prefork, 2 processes; 100 sagas in flight"
    ),
    module="benchmarks.peers.celery_contestant",
    environment=("celery[mongodb]==5.7.*",),
)
DBOS: Final = Contestant(
    name="dbos",
    kind=PEERS,
    what="workflows of steps on a SQLite file, one process",
    settings="SQLite as DBOS opens it (its defaults); asynchronous workflows and steps; 100 workflows in flight",
    module="benchmarks.peers.dbos_contestant",
    servers=0,
    environment=("dbos==3.*",),
)

_THREE: Final = "three members"


def _on_three_members(contestant: Contestant) -> Contestant:
    return replace(
        contestant,
        name=f"{contestant.name}-three",
        what=f"{contestant.what}; MongoDB of three members",
        settings=contestant.settings.replace("one member", _THREE),
        workloads=(SEQUENCE,),
        servers=3,
        full=True,
    )


def _scaling(name: str, what: str, *, servers: int = 1, full: bool = True, patience: float = 300.0) -> Contestant:
    return Contestant(
        name=name,
        kind=SCALING,
        what=what,
        settings=f"{_SERVERS}; a starter process and worker processes" if servers else "one process, no servers",
        module=f"benchmarks.scaling.{name}",
        workloads=ONCE,
        servers=servers,
        full=full,
        patience=patience,
    )


WAITING: Final = _scaling("waiting", "three handlers of 500 ms each: 100, 300, 1,000 in flight; two workers of 300")
ELEMENTS: Final = _scaling("elements", "a fan-out of 100 elements of 50 ms, ten at once in a worker: one, four workers")
LENGTH: Final = _scaling("length", "3, 10 and 50 steps in a row: what one transition costs")
ARCHIVE: Final = _scaling(
    "archive", "a store with finished and live sagas: rate, and how long looks take", patience=3_600
)
FOOTPRINT: Final = _scaling("footprint", "an import: time, memory, drivers", servers=0, full=False)
CORE: Final = _scaling("core", "decide, compile, encode: microseconds of one call", servers=0, full=False)
PAGE: Final = _scaling("page", "the page on a store with 100,000 sagas, in a browser", servers=0)
PROFILE: Final = _scaling("profile", "where a worker's time goes, by cProfile")

ROSTER: Final = (
    *(CLAIMS, UPDATES, IN_PLACE, COALESCED, COALESCED_INSERT, SQLITE_1, SQLITE_10, SQLITE_100),
    *(ENGINE, TOGETHER, QUEUES, SQLITE, MEMORY),
    *(CELERY, DBOS),
    *map(_on_three_members, (CLAIMS, COALESCED, ENGINE)),
    # The archive comes last, for it leaves a full server behind.
    *(FOOTPRINT, CORE, PAGE, WAITING, ELEMENTS, LENGTH, PROFILE, ARCHIVE),
)
