"""Observers are told what a process has done: each fact once, after its commit, and without harm to any saga."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from sagaflow import ConfigurationError, Engine, Saga, SagaStatus, StepStatus, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.core.decide import decide, new_saga
from sagaflow.core.events import Claimed, Ended, Fate, Succeeded, WorkerLost
from sagaflow.core.state import Direction, SagaState, StepState
from sagaflow.engine.committer import Committer
from sagaflow.engine.observing import Observers, ended_attempts
from sagaflow.engine.sampler import LIMIT
from sagaflow.errors import BrokerUnavailable, StoreUnavailable
from sagaflow.ports import Attempt, AttemptEnd, Hint, Lane, Observer, Outcome, Sample
from sagaflow.testing.store_states import change
from sagaflow.testing.store_states import new_saga as new_state
from tests.polling import until
from tests.telemetry.sagas import SECRET, Trip, engine_with

Told = tuple[Any, ...]


@dataclass(eq=False)
class Notebook(Observer):
    """Writes down what it is told."""

    told: list[Told] = field(default_factory=list)

    def of(self, what: str) -> list[list[Any]]:
        return [rest for first, *rest in self.told if first == what]

    def saga_started(self, saga: SagaState) -> None:
        self.told.append(("started", saga.saga, saga.id))

    def saga_ended(self, saga: SagaState) -> None:
        self.told.append(("ended", saga.saga, saga.status))

    def step_ended(self, saga: SagaState, step: str, since: float) -> None:
        assert since <= saga.updated_at
        self.told.append(("step", step, saga.steps[step].status))

    def attempt_began(self, attempt: Attempt) -> None:
        assert attempt.waited is not None
        self.told.append(("began", attempt.step, attempt.direction, attempt.number))

    def attempt_ended(self, attempt: Attempt, end: AttemptEnd, seconds: float) -> None:
        assert seconds >= 0
        self.told.append(("attempt", attempt.step, attempt.direction, attempt.number, end))

    def committed(self, changes: int, conflicts: int, unsure: int) -> None:
        self.told.append(("committed", changes, conflicts, unsure))

    def swept(self, due: int, orphans: int) -> None:
        self.told.append(("swept", due, orphans))

    def hints_lost(self, hints: int) -> None:
        self.told.append(("lost", hints))

    def dead_lettered(self) -> None:
        self.told.append(("dead letter",))

    def sampled(self, sample: Sample) -> None:
        self.told.append(("sample", sample))


async def run(engine: Engine, how: str) -> SagaStatus:
    async with engine:
        handle = await engine.start(Trip, how, id="t-1")
        return (await handle.wait()).status


async def test_of_a_saga_that_goes_well_each_fact_is_told_once_and_in_order() -> None:
    notebook = Notebook()
    assert await run(engine_with(notebook), "well") is SagaStatus.COMPLETED
    assert [told for told in notebook.told if told[0] not in ("committed", "swept")] == [
        ("started", "trip", "t-1"),
        ("began", "flight", Direction.FORWARD, 1),
        ("attempt", "flight", Direction.FORWARD, 1, AttemptEnd.SUCCEEDED),
        ("step", "flight", StepStatus.COMPLETED),
        ("began", "hotel", Direction.FORWARD, 1),
        ("attempt", "hotel", Direction.FORWARD, 1, AttemptEnd.SUCCEEDED),
        ("step", "hotel", StepStatus.COMPLETED),
        ("ended", "trip", SagaStatus.COMPLETED),
    ]
    assert {tuple(told) for told in notebook.of("committed")} == {(1, 0, 0)}


async def test_attempts_that_fail_and_compensations_are_told_with_how_they_ended() -> None:
    notebook = Notebook()
    assert await run(engine_with(notebook), "flaky") is SagaStatus.COMPLETED
    assert notebook.of("attempt")[1:] == [
        ["hotel", Direction.FORWARD, 1, AttemptEnd.RETRYABLE],
        ["hotel", Direction.FORWARD, 2, AttemptEnd.SUCCEEDED],
    ]
    notebook = Notebook()
    assert await run(engine_with(notebook), "declined") is SagaStatus.COMPENSATED
    assert notebook.of("attempt")[1:] == [
        ["hotel", Direction.FORWARD, 1, AttemptEnd.ABORTED],
        ["flight", Direction.UNDO, 1, AttemptEnd.SUCCEEDED],
    ]
    assert notebook.of("step")[1:] == [["hotel", StepStatus.FAILED], ["flight", StepStatus.COMPENSATED]]
    assert notebook.of("ended") == [["trip", SagaStatus.COMPENSATED]]


async def test_a_saga_that_is_started_twice_is_told_once() -> None:
    notebook = Notebook()
    async with engine_with(notebook) as engine:
        for _ in range(2):
            await (await engine.start(Trip, "well", id="t-1")).result()
    assert notebook.of("started") == [["trip", "t-1"]]


async def test_nothing_is_told_before_it_is_stored() -> None:
    class Doubter(Observer):
        def saga_started(self, saga: SagaState) -> None:
            seen.append(saga)

        def step_ended(self, saga: SagaState, step: str, since: float) -> None:
            seen.append(saga)

        def saga_ended(self, saga: SagaState) -> None:
            seen.append(saga)

    seen: list[SagaState] = []

    class Checked(MemoryStore):
        async def commit(self, transitions: Sequence[Any]) -> list[Any]:
            assert all(transition.after not in seen for transition in transitions)
            return await super().commit(transitions)

    assert await run(engine_with(Doubter(), store=Checked()), "declined") is SagaStatus.COMPENSATED
    assert [saga.status for saga in seen][-1] is SagaStatus.COMPENSATED


class Rude(Observer):
    """Raises whenever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or name == "sample_every":
            return super().__getattribute__(name)
        raise ValueError(SECRET)


class RudeAround(Observer):
    """Raises when what it goes round begins, or ends."""

    def __init__(self, *, at_the_end: bool) -> None:
        self._at_the_end = at_the_end

    @contextmanager
    def running(self, attempt: Attempt) -> Generator[None]:
        if not self._at_the_end:
            raise ValueError(SECRET)
        try:
            yield
        finally:
            raise ValueError(SECRET)


@pytest.mark.parametrize("rude", [Rude(), RudeAround(at_the_end=False), RudeAround(at_the_end=True)])
@pytest.mark.parametrize(
    ("how", "status"), [("well", "completed"), ("flaky", "completed"), ("declined", "compensated")]
)
async def test_an_observer_that_raises_is_logged_and_harms_nothing(
    rude: Observer, how: str, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    notebook = Notebook()
    with caplog.at_level(logging.INFO):
        assert await run(engine_with(rude, notebook), how) == status
    assert notebook.of("ended") == [["trip", status]]
    said = [record for record in caplog.records if record.name == "sagaflow.observers"]
    assert len(said) == 1, "one line in ten seconds"
    assert "ValueError" in said[0].getMessage()
    assert SECRET not in caplog.text


seen_inside: ContextVar[str] = ContextVar("seen_inside", default="nothing")


async def test_a_handler_sees_the_context_that_is_set_around_it_and_nobody_else_does() -> None:
    seen: list[str] = []

    class Marked(Saga[str]):
        @step
        async def one(self, how: str) -> None:
            seen.append(seen_inside.get())

        @step
        async def other(self, how: str) -> None:
            seen.append(seen_inside.get())

    class Marks(Observer):
        @contextmanager
        def running(self, attempt: Attempt) -> Generator[None]:
            assert seen_inside.get() == "nothing"
            token = seen_inside.set(attempt.step)
            yield
            seen_inside.reset(token)

    async with engine_with(Marks(), sagas=[Marked]) as engine:
        await (await engine.start(Marked, "well")).result()
    assert seen == ["one", "other"]


async def test_a_child_saga_carries_what_its_parent_carries() -> None:
    class Parent(Saga[str]):
        @step(saga=Trip)
        async def trip(self, how: str) -> str:
            return how

    class Names(Notebook):
        @contextmanager
        def starting(self, saga: str, saga_id: str) -> Generator[str]:
            self.told.append(("starting", saga))
            yield "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

        def attempt_began(self, attempt: Attempt) -> None:
            self.told.append(("carries", attempt.saga, attempt.trace))

    names = Names()
    async with engine_with(names, sagas=[Parent, Trip]) as engine:
        await (await engine.start(Parent, "well")).result()
    assert names.of("starting") == [["Parent"]]
    assert [name for name, _ in names.of("started")] == ["Parent", "trip"]
    assert {saga for saga, _ in names.of("carries")} == {"Parent", "trip"}
    assert {trace for _, trace in names.of("carries")} == {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


async def test_hints_that_are_not_taken_and_what_the_sweeper_finds_instead_are_told() -> None:
    class Deaf(MemoryBroker):
        async def publish(self, hints: Sequence[Hint]) -> None:
            raise BrokerUnavailable("it is away")

    store, starter, worker = MemoryStore(), Notebook(), Notebook()
    async with engine_with(starter, store=store, broker=Deaf(), work="none") as engine:
        await engine.start(Trip, "well", id="t-1")
    assert starter.of("lost") == [[1]]
    async with engine_with(worker, store=store) as engine:
        await engine.handle(Trip, "t-1").result()
    assert worker.of("swept") == [[1, 0]]


async def test_a_hint_for_a_saga_that_is_not_there_is_told_as_a_dead_letter() -> None:
    notebook, broker = Notebook(), MemoryBroker()
    async with engine_with(notebook, broker=broker):
        await broker.publish([Hint("nobody", Lane("default", Direction.FORWARD))])
        await until(lambda: notebook.of("dead letter"))
    assert notebook.of("dead letter") == [[]]


async def test_who_wants_samples_is_told_what_waits_in_the_store() -> None:
    class Sampled(Notebook):
        sample_every = timedelta(milliseconds=20)

    store, sampled, other = MemoryStore(), Sampled(), Notebook()
    async with engine_with(sampled, other, store=store, work="none") as engine:
        await engine.start(Trip, "well")
        await until(lambda: any(sample.due for (sample,) in sampled.of("sample")))
    last = sampled.of("sample")[-1][0]
    assert (last.due, last.stale, last.is_cut) == (1, 0, False)
    assert last.oldest >= 0
    assert other.of("sample") == []


async def test_a_store_that_cannot_be_asked_for_a_sample_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Sampled(Notebook):
        sample_every = timedelta(milliseconds=20)

    class Broken(MemoryStore):
        async def due(self, now: float, limit: int, fingerprints: Sequence[str] | None = None) -> list[Any]:
            if limit != LIMIT:
                return await super().due(now, limit, fingerprints)
            raise next(errors)

    errors = chain([StoreUnavailable("it is away")], repeat(KeyError(SECRET)))
    sampled = Sampled()
    async with engine_with(sampled, store=Broken()) as engine:
        await (await engine.start(Trip, "well")).result()
        assert engine.health.ok
    assert sampled.of("sample") == []
    assert "cannot look at what waits: it is away" in caplog.text
    assert SECRET not in caplog.text


async def test_a_saga_that_is_dispatched_in_vain_is_stale() -> None:
    class Sampled(Notebook):
        sample_every = timedelta(milliseconds=20)

    store, sampled = MemoryStore(), Sampled()
    async with engine_with(sampled, store=store, work="none") as engine:
        handle = await engine.start(Trip, "well")
        for _ in range(3):
            [due] = await store.due(1e11, 10)
            assert await store.defer([due], [due.wake_at + 1]) == [True]
        await until(lambda: any(sample.stale for (sample,) in sampled.of("sample")))
        assert (await handle.status()) is SagaStatus.STARTED


@pytest.mark.parametrize("said", ["x" * 1_000_000, "00-\ud800", 7, ""])
async def test_what_is_no_traceparent_is_not_carried(said: Any) -> None:
    class Liar(Observer):
        def starting(self, saga: str, saga_id: str) -> AbstractContextManager[Any]:
            return nullcontext(said)

    store = MemoryStore()
    async with engine_with(Liar(), store=store, work="none") as engine:
        await engine.start(Trip, "well", id="t-1")
        assert (await store.load(["t-1"]))["t-1"].state.trace is None


async def test_conflicts_and_changes_whose_fate_is_not_known_are_told_with_their_batch() -> None:
    class Torn(MemoryStore):
        async def commit(self, transitions: Sequence[Any]) -> list[Outcome]:
            return outcomes

    outcomes = [Outcome.COMMITTED, Outcome.CONFLICT, Outcome.UNSURE, Outcome.UNSURE]
    notebook = Notebook()
    committer = Committer(Torn(), Observers.of([notebook]))
    changes = [change(new_state()) for _ in outcomes]
    assert await asyncio.gather(*(committer.commit(each) for each in changes)) == outcomes
    assert notebook.of("committed") == [[4, 1, 2]]


def test_what_cannot_be_told_of_a_commit_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    notebook, definition = Notebook(), Trip.definition
    before = new_saga(definition, "t-1", '"well"', 5.0)
    strange = before.with_step("of no graph", StepState(status=StepStatus.COMPLETED))
    Observers([notebook]).committed(definition, before, strange, [])
    assert notebook.told == []
    assert "cannot be told" in caplog.text


def test_without_observers_there_is_nobody_to_be_asked() -> None:
    assert Observers.of([]) is None


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [(Notebook, r"Notebook is no observer; write Notebook\(\)"), ("me", "str is no observer; write an object of")],
)
def test_what_is_no_observer_is_refused(wrong: Any, remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        Engine([Trip], store="memory://", broker="memory://", observers=[wrong])


def test_only_attempts_that_were_running_are_told_of_as_ended() -> None:
    definition = Trip.definition
    running = decide(
        definition, new_saga(definition, "t-1", '"well"', 5.0), Claimed("flight", Direction.FORWARD, "w", 6.0)
    )
    late = Ended("flight", Direction.FORWARD, 7, Fate.RETRYABLE, "{}", 8.0)
    done = Succeeded("flight", Direction.FORWARD, 1, '"LH 400"', 8.0)
    after = decide(definition, running, done)
    told = list(ended_attempts(running, after, [late, done, done]))
    assert told == [(Attempt("trip", "t-1", "flight", Direction.FORWARD, 1), AttemptEnd.SUCCEEDED, 2.0)]
    lost = decide(definition, running, WorkerLost("w", 9.0))
    assert [end for _, end, _ in ended_attempts(running, lost, [WorkerLost("w", 9.0)])] == [AttemptEnd.LOST]
    assert list(ended_attempts(running, running, [WorkerLost("somebody else", 9.0)])) == []
