"""Celery's application and tasks, for its worker and for who starts sagas; the servers come by the environment."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("benchmarks", broker=os.environ["BENCH_AMQP"], backend=os.environ["BENCH_MONGO"])
app.conf.update(
    # As the guide to quorum queues says: they need confirms, and no global prefetch, which is found out by itself.
    task_default_queue=os.environ["BENCH_QUEUE"],
    task_default_queue_type="quorum",
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    # As the guide to optimising says for many short tasks.
    worker_prefetch_multiplier=64,
    result_expires=None,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


class Refused(Exception):
    """The third step says no."""


@app.task
def one(saga: str) -> str:
    return f"one of {saga}"


@app.task
def two(done: str, saga: str) -> str:
    return f"{done}; two of {saga}"


@app.task
def three(done: str, saga: str) -> str:
    return f"{done}; three of {saga}"


@app.task(throws=(Refused,))
def refuse(done: str, saga: str) -> str:
    raise Refused(f"three of {saga}")


@app.task
def undo(what: str) -> str:
    """With one parameter: an errback that takes more is called with the error, in the process that found it."""
    return f"undo {what}"


@app.task
def left(done: str, saga: str) -> str:
    return f"{done}; left of {saga}"


@app.task
def right(done: str, saga: str) -> str:
    return f"{done}; right of {saga}"


@app.task
def join(done: list[str], saga: str) -> str:
    return f"{' and '.join(done)}; three of {saga}"
