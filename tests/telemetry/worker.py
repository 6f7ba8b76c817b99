"""Another process: works on one saga to its end, and prints the spans that it has made of it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sagaflow.adapters.sqlite import SQLiteStore
from sagaflow.telemetry.otel import OtelTraces
from tests.telemetry.sagas import Trip, engine_with


async def main(path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with engine_with(OtelTraces(provider), store=SQLiteStore(path)) as engine:
        await engine.handle(Trip, "t-1").wait()
    spans = [
        {
            "name": span.name,
            "trace": format(span.parent.trace_id, "032x"),
            "parent": format(span.parent.span_id, "016x"),
        }
        for span in exporter.get_finished_spans()
        if span.parent is not None
    ]
    assert len(spans) == len(exporter.get_finished_spans())
    sys.stdout.write(json.dumps(spans))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
