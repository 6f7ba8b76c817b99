"""Engines as the contestants have them, each on the servers or the file of its task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.engine.sagas import Calls, factory_of
from benchmarks.task import Task
from sagaflow import Engine, Settings
from sagaflow.adapters.rabbitmq_topology import Topology
from sagaflow.engine.arguments import Work
from sagaflow.ports import Broker


class Made(NamedTuple):
    """An engine that is not open yet, the class of its sagas, and what its handlers count."""

    engine: Engine
    saga: Any
    calls: Calls


def make(task: Task, *, work: Work = "all", queues: Sequence[str] | None = None) -> Made:
    """The engine for a task: on RabbitMQ and MongoDB, unless its option ``store`` says otherwise."""
    calls = Calls()
    saga, factory = factory_of(task.workload, calls)
    store, broker = stack(task)
    settings = Settings(concurrency=int(task.options.get("concurrency", "100")))
    engine = Engine([factory], store=store, broker=broker, work=work, queues=queues, settings=settings)
    return Made(engine, saga, calls)


def stack(task: Task) -> tuple[str, str | Broker]:
    """The store and the broker of a task."""
    match task.options.get("store", "servers"):
        case "memory":
            return "memory://", "memory://"
        case "sqlite":
            return f"sqlite:///{Path(task.folder, 'sagas.db')}", "memory://"
        case _:
            # Imported when it is wanted, as the library does, so that memory and time are those of what is used.
            from sagaflow.adapters.rabbitmq import RabbitBroker  # noqa: PLC0415

            return task.mongo, RabbitBroker(task.amqp, topology=Topology(exchange=task.namespace))
