"""The smaller parts of the engine, each by itself."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from sagaflow import ConfigurationError, SagaStatus, Settings, Verdict
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.adapters.mongo import MongoStore
from sagaflow.adapters.rabbitmq import RabbitBroker
from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.answer import answer_of
from sagaflow.engine.liveness import Judge
from sagaflow.engine.slots import Slots
from sagaflow.engine.urls import open_broker, open_store
from sagaflow.ports import Beat
from sagaflow.throttle import Throttle


def beat(**others: int) -> Beat:
    return Beat(alive=True, now=0.0, others=others)


def test_a_worker_is_judged_dead_once_its_beat_has_stood_still_under_watch_for_long_enough() -> None:
    judge = Judge(death_after=5, longest_gap=2.5)
    assert [judge.look(beat(a=7, b=at), at, at) for at in range(5)] == [[]] * 5
    assert judge.look(beat(a=7, b=5), 5, 5) == [("a", 7)]


def test_after_an_outage_the_others_have_longer_to_come_back() -> None:
    judge = Judge(death_after=5, longest_gap=2.5)
    assert judge.look(beat(a=7), 0, 0) == []
    assert [judge.look(beat(a=7), at, at) for at in range(10, 18)] == [[]] * 8
    assert judge.look(beat(a=7), 18, 18) == [("a", 7)]


def test_the_time_that_a_store_took_to_answer_is_not_watched() -> None:
    judge = Judge(death_after=5, longest_gap=2.5)
    assert judge.look(beat(a=7), 0, 2) == []
    assert [judge.look(beat(a=7), at, at) for at in (2, 4, 6)] == [[]] * 3
    assert judge.look(beat(a=7), 7, 7) == [("a", 7)]


def test_a_judge_that_was_not_watching_begins_anew() -> None:
    judge = Judge(death_after=5, longest_gap=2.5)
    for at in range(5):
        judge.look(beat(a=7), at, at)
    # Nothing could be read for a while: the beat stood still because nobody could write it.
    assert judge.look(beat(a=7), 9, 9) == []
    assert judge.look(beat(a=7), 11, 11) == []
    assert judge.look(beat(a=8), 13, 13) == []
    assert judge.look(beat(a=8), 15, 15) == []


async def test_slots_bound_what_runs_and_can_be_overdrawn_for_what_is_ours_already() -> None:
    slots = Slots(2)
    assert slots.try_take()
    assert slots.try_take()
    assert not slots.try_take()
    slots.take()
    assert slots.free == 0
    waiter = asyncio.create_task(slots.wait())
    slots.give()
    await asyncio.sleep(0)
    assert not waiter.done()
    slots.give()
    await waiter
    assert slots.free == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"patience": timedelta(0)},
        {"grace": timedelta(seconds=-1)},
        {"beat_every": timedelta(seconds=2)},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Settings(**wrong)  # type: ignore[arg-type]  # what is wrong is the point


def test_stores_and_brokers_are_named_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_store("memory://"), MemoryStore)
    assert repr(open_store("sqlite:///here.db")) == repr(SQLiteStore("here.db"))
    assert repr(open_store("sqlite:////tmp/there.db")) == repr(SQLiteStore("/tmp/there.db"))
    assert isinstance(open_broker("memory://"), MemoryBroker)
    assert isinstance(open_broker("amqp://guest:secret@localhost/"), RabbitBroker)
    store = MemoryStore()
    assert open_store(store) is store
    broker = MemoryBroker()
    assert open_broker(broker) is broker
    monkeypatch.setenv("SAGAFLOW_STORE", "memory://")
    monkeypatch.setenv("SAGAFLOW_BROKER", "amqps://localhost/")
    assert isinstance(open_store(None), MemoryStore)
    assert isinstance(open_broker(None), RabbitBroker)
    monkeypatch.delenv("SAGAFLOW_STORE")
    monkeypatch.delenv("SAGAFLOW_BROKER")
    assert isinstance(open_store(None), SQLiteStore)
    assert isinstance(open_broker(None), MemoryBroker)


async def test_a_mongodb_store_is_named_by_url() -> None:
    store = open_store("mongodb://localhost:1/shop?replicaSet=none")
    assert isinstance(store, MongoStore)
    await store.close()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("mongo://user:secret@host/db", "Did you mean 'mongodb'"),
        ("orders.db", "a URL without a scheme"),
        ("sqlite://orders.db", "sqlite:///file.db"),
        ("sqlite:///", "sqlite:///file.db"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_remedy_and_without_its_password(url: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_store(url)
    assert hint in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_url_that_names_no_broker_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'amqp'"):
        open_broker("amq://localhost")


@pytest.mark.parametrize(
    ("act", "accepted", "status", "verdict", "why"),
    [
        ("compensate", True, SagaStatus.COMPLETED, Verdict.ACCEPTED, "is completed and is to be compensated"),
        ("compensate", False, SagaStatus.COMPENSATING, Verdict.ALREADY, "is compensating already"),
        ("compensate", False, SagaStatus.FAILED, Verdict.REFUSED, "a person must look at it"),
        ("cancel", False, SagaStatus.COMPLETED, Verdict.REFUSED, "use compensate"),
    ],
)
def test_an_answer_says_what_was_done_and_why_not(
    act: str, accepted: bool, status: SagaStatus, verdict: Verdict, why: str
) -> None:
    given = answer_of(act, accepted, status)
    assert given.verdict is verdict
    assert given.is_accepted is accepted
    assert why in str(given)


def test_logs_are_throttled_by_cause(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("sagaflow.throttle.monotonic", lambda: now)
    throttle = Throttle(logging.getLogger("sagaflow.test"))
    for _ in range(50):
        throttle.warning("a", "it is %s", "down")
    throttle.warning("b", "other")
    now += 11
    throttle.warning("a", "it is %s", "down")
    assert [record.getMessage() for record in caplog.records] == [
        "it is down",
        "other",
        "it is down (49 more like it in the last seconds)",
    ]
