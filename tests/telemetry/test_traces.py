"""All that happens to one saga is one trace, which belongs to who started it."""

from __future__ import annotations

import json
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from sagaflow import Saga, step
from sagaflow.adapters.memory_broker import MemoryBroker
from sagaflow.adapters.memory_store import MemoryStore
from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.ports import Hint
from sagaflow.telemetry.otel import OtelTraces
from tests.telemetry.sagas import SECRET, Trip, engine_with

ROOT = Path(__file__).parents[2]

EXPORTER = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
TRACER = PROVIDER.get_tracer("user code")


@pytest.fixture(autouse=True)
def exporter() -> InMemorySpanExporter:
    EXPORTER.clear()
    return EXPORTER


def by_name(spans: Iterable[ReadableSpan]) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans}


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


async def traced(how: str) -> list[ReadableSpan]:
    async with engine_with(OtelTraces(PROVIDER)) as engine:
        with TRACER.start_as_current_span("checkout"):
            handle = await engine.start(Trip, how, id="t-1")
        await handle.wait()
    return list(EXPORTER.get_finished_spans())


async def test_a_saga_with_its_steps_attempts_and_compensations_is_one_trace_of_its_caller() -> None:
    spans = await traced("declined")
    assert {ids(span)[0] for span in spans} == {ids(by_name(spans)["checkout"])[0]}
    assert {span.name for span in spans} == {
        "checkout",
        "start trip",
        *("run flight", "step flight", "run hotel", "step hotel"),
        *("undo flight", "compensation flight", "saga trip"),
    }
    named = by_name(spans)
    assert parent_of(named["start trip"]) == ids(named["checkout"])[1]
    others = [span for span in spans if span.name not in ("checkout", "start trip")]
    assert {parent_of(span) for span in others} == {ids(named["start trip"])[1]}


async def test_every_attempt_has_a_span_of_its_own_within_that_of_its_step() -> None:
    spans = await traced("flaky")
    first, second = (span for span in spans if span.name == "run hotel")
    whole = by_name(spans)["step hotel"]
    assert [span.attributes and span.attributes["sagaflow.attempt"] for span in (first, second)] == [1, 2]
    assert [span.status.status_code for span in (first, second)] == [StatusCode.ERROR, StatusCode.UNSET]
    assert first.attributes is not None
    assert first.attributes["error.type"] == "OSError"
    assert whole.attributes is not None
    assert (whole.attributes["sagaflow.attempts"], whole.attributes["sagaflow.status"]) == (2, "completed")
    assert whole.start_time is not None
    assert first.start_time is not None
    assert whole.start_time <= first.start_time


async def test_a_saga_that_nobody_traces_begins_a_trace_of_its_own() -> None:
    async with engine_with(OtelTraces(PROVIDER)) as engine:
        for _ in range(2):
            await (await engine.start(Trip, "well")).wait()
    spans = EXPORTER.get_finished_spans()
    assert len({ids(span)[0] for span in spans}) == 2
    assert {span.name for span in spans if span.parent is None} == {"start trip"}


async def test_no_span_says_what_an_exception_or_a_context_says() -> None:
    for how in ("flaky", "declined"):
        assert SECRET not in "".join(span.to_json() for span in await traced(how))


async def test_spans_of_user_code_are_children_of_the_attempt_and_the_context_is_as_it_was_afterwards() -> None:
    seen: list[str] = []

    class Handmade(Saga[str]):
        @step
        async def one(self, how: str) -> None:
            with TRACER.start_as_current_span("by hand"):
                seen.append(format(get_current_span().get_span_context().trace_id, "032x"))

        @step
        async def other(self, how: str) -> None:
            with TRACER.start_as_current_span("by hand too"):
                pass

    before = get_current()
    async with engine_with(OtelTraces(PROVIDER), sagas=[Handmade]) as engine:
        await (await engine.start(Handmade, "well")).wait()
    named = by_name(EXPORTER.get_finished_spans())
    assert parent_of(named["by hand"]) == ids(named["run one"])[1]
    assert parent_of(named["by hand too"]) == ids(named["run other"])[1]
    assert seen == [format(ids(named["start Handmade"])[0], "032x")]
    assert get_current() == before


async def test_hints_and_the_document_carry_the_trace() -> None:
    class Heard(MemoryBroker):
        async def publish(self, hints: Sequence[Hint]) -> None:
            heard.extend(hints)

    heard: list[Hint] = []
    store = MemoryStore()
    async with engine_with(OtelTraces(PROVIDER), store=store, broker=Heard(), work="none") as engine:
        await engine.start(Trip, "well", id="t-1")
        state = (await store.load(["t-1"]))["t-1"].state
    trace, span = ids(by_name(EXPORTER.get_finished_spans())["start trip"])
    assert state.trace is not None
    assert state.trace.startswith(f"00-{trace:032x}-{span:016x}-")
    assert [hint.trace for hint in heard] == [state.trace]


async def test_a_saga_of_before_there_were_traces_is_worked_on_in_a_new_one() -> None:
    store = MemoryStore()
    async with engine_with(store=store, work="none") as engine:
        await engine.start(Trip, "well", id="t-1")
    async with engine_with(OtelTraces(PROVIDER), store=store) as engine:
        await engine.handle(Trip, "t-1").wait()
    assert {span.name for span in EXPORTER.get_finished_spans() if span.parent is None} >= {"run flight", "run hotel"}


async def test_one_trace_goes_through_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "sagas.db"
    async with engine_with(OtelTraces(PROVIDER), store=SQLiteStore(path), work="none") as engine:
        with TRACER.start_as_current_span("checkout"):
            await engine.start(Trip, "declined", id="t-1")
    here = by_name(EXPORTER.get_finished_spans())
    worker = await _worked_on(path)
    trace = format(ids(here["checkout"])[0], "032x")
    assert {span["trace"] for span in worker} == {trace}
    assert {span["parent"] for span in worker} == {format(ids(here["start trip"])[1], "016x")}
    assert {span["name"] for span in worker} >= {"run flight", "undo flight", "compensation flight", "saga trip"}


async def _worked_on(path: Path) -> list[dict[str, str]]:
    """The spans of another process, which works on the saga to its end."""
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "tests.telemetry.worker", str(path)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    spans: list[dict[str, str]] = json.loads(said)
    return spans
