"""Rounds: every contestant in turn, each in processes of its own, on servers that are new in each round."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from benchmarks.contestant import SCALING, Contestant
from benchmarks.figures import CPU, P50, P95, RATE
from benchmarks.processes import ContestantFailed, interpreter, measure
from benchmarks.results import Measurement, Results
from benchmarks.task import Task
from tests.servers import MongoReplicaSet, RabbitMQNode

_SHOWN: Final = (RATE, P50, P95, CPU)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: how often each contestant is measured; those of how it scales are measured once.
        seconds: how long each load lasts.
        alone: how many sagas are done one at a time.
        finished, live: how many sagas of either kind there are in the store of the archive.
    """

    rounds: int = 3
    seconds: float = 3.0
    alone: int = 100
    finished: int = 20_000
    live: int = 2_000


@dataclass
class Servers:
    """Servers of one round, started when somebody needs them; each measurement has a database of its own."""

    stack: ExitStack
    _numbers: Iterator[int] = field(default_factory=count)
    _rabbit: RabbitMQNode | None = None
    _mongos: dict[int, MongoReplicaSet] = field(default_factory=dict[int, MongoReplicaSet])

    def urls(self, members: int) -> tuple[str, str]:
        """Of a RabbitMQ and of a new database in a MongoDB of so many members; empty if there are to be none."""
        if not members:
            return "", ""
        if self._rabbit is None:
            self._rabbit = self.stack.enter_context(RabbitMQNode())
        if members not in self._mongos:
            for mongo in self._mongos.values():
                mongo.close()  # an idle replica set is not quite idle
            self._mongos = {members: self.stack.enter_context(MongoReplicaSet(members))}
        return self._rabbit.url, self._mongos[members].database_url(f"bench_{next(self._numbers)}")


def missing() -> str | None:
    """Why no servers can be started here; None if they can."""
    return "; ".join(filter(None, (RabbitMQNode.missing(), MongoReplicaSet.missing()))) or None


def run(contestants: Iterable[Contestant], plan: Plan) -> Results:
    """Measure all of them, round by round; who fails is named in the results, and the others go on."""
    results = Results()
    ready = [contestant for contestant in contestants if _is_ready(contestant, results)]
    for number in range(plan.rounds):
        with ExitStack() as stack:
            servers = Servers(stack)
            for contestant in ready:
                if contestant.kind == SCALING and number > 0:
                    continue
                for workload in contestant.workloads:
                    _measure(contestant, workload, number, plan, servers, results)
    return results


def _is_ready(contestant: Contestant, results: Results) -> bool:
    """Whether what it needs is installed; else that is a failure of its own."""
    try:
        interpreter(contestant)
    except subprocess.CalledProcessError as error:
        results.failures.append(f"{contestant.name} cannot be installed: {error}")
        print(results.failures[-1], flush=True)
        return False
    return True


def _measure(
    contestant: Contestant, workload: str, number: int, plan: Plan, servers: Servers, results: Results
) -> None:
    amqp, mongo = servers.urls(contestant.servers)
    with tempfile.TemporaryDirectory(prefix="sagaflow-bench-") as folder:
        task = Task(
            contestant=contestant.name,
            workload=workload,
            seconds=plan.seconds,
            in_flight=contestant.in_flight,
            alone=plan.alone,
            amqp=amqp,
            mongo=mongo,
            folder=folder,
            options={"finished": str(plan.finished), "live": str(plan.live), **contestant.options},
        )
        what = f"round {number + 1}  {contestant.name:<24} {workload:<9}"
        try:
            figures = measure(contestant, task)
        except ContestantFailed as error:
            results.failures.append(str(error))
            print(f"{what} FAILED: {error}", flush=True)
            return
    results.add(Measurement(contestant.name, workload, number, figures))
    shown = "  ".join(f"{name} {figures[name]:,.2f}" for name in _SHOWN if name in figures)
    print(f"{what} {shown}  (load {os.getloadavg()[0]:.1f})", flush=True)
