"""Prometheus and OpenTelemetry are given the same figures, under the same names, with few labels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sagaflow import ConfigurationError, SagaStatus
from sagaflow.core.state import Direction
from sagaflow.ports import Attempt, AttemptEnd, Sample
from sagaflow.telemetry.figures import METRICS, NAMES_LIMIT, Figures, Kind
from sagaflow.telemetry.otel import OtelMetrics
from sagaflow.telemetry.prometheus import PrometheusMetrics
from sagaflow.testing.store_states import new_saga
from tests.polling import until
from tests.telemetry.sagas import SECRET, Trip, engine_with

Series = tuple[str, tuple[str, ...]]
Read = Callable[[], Mapping[Series, float]]
EVERY = timedelta(milliseconds=20)


def prometheus() -> tuple[Figures, Read]:
    registry = CollectorRegistry()

    def read() -> dict[Series, float]:
        found: dict[Series, float] = {}
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                if not sample.name.endswith(("_bucket", "_created")):
                    found[sample.name, tuple(sample.labels[label] for label in sorted(sample.labels))] = sample.value
        return found

    return PrometheusMetrics(registry, sample_every=EVERY), read


def otel() -> tuple[Figures, Read]:
    reader = InMemoryMetricReader()
    known = {metric.name: metric.prometheus_name for metric in METRICS}

    def read() -> dict[Series, float]:
        found: dict[Series, float] = {}
        data = reader.get_metrics_data()
        assert data is not None
        for metric in data.resource_metrics[0].scope_metrics[0].metrics:
            for point in metric.data.data_points:
                attributes = point.attributes or {}
                labels = tuple(str(attributes[label]) for label in sorted(attributes))
                match point:
                    case HistogramDataPoint():
                        found[known[metric.name] + "_count", labels] = point.count
                        found[known[metric.name] + "_sum", labels] = point.sum
                    case NumberDataPoint():
                        found[known[metric.name], labels] = point.value
        return found

    return OtelMetrics(MeterProvider([reader]), sample_every=EVERY), read


@pytest.fixture(params=[prometheus, otel])
def exporter(request: pytest.FixtureRequest) -> tuple[Figures, Read]:
    made: tuple[Figures, Read] = request.param()
    return made


async def test_what_becomes_of_sagas_is_counted(exporter: tuple[Figures, Read]) -> None:
    metrics, read = exporter
    async with engine_with(metrics) as engine:
        for how in ("well", "flaky", "declined", "declined"):
            await (await engine.start(Trip, how)).wait()
        await until(lambda: ("sagaflow_due_sagas", ()) in read())
        found = read()
    assert found["sagaflow_sagas_started_total", ("trip",)] == 4
    assert found["sagaflow_sagas_ended_total", ("trip", "completed")] == 2
    assert found["sagaflow_sagas_ended_total", ("trip", "compensated")] == 2
    assert found["sagaflow_saga_duration_seconds_count", ("trip", "compensated")] == 2

    attempts = {key[1]: value for key, value in found.items() if key[0] == "sagaflow_attempt_duration_seconds_count"}
    assert attempts == {
        ("forward", "succeeded", "trip", "flight"): 4,
        ("forward", "succeeded", "trip", "hotel"): 2,
        ("forward", "retryable", "trip", "hotel"): 1,
        ("forward", "aborted", "trip", "hotel"): 2,
        ("undo", "succeeded", "trip", "flight"): 2,
    }
    assert found["sagaflow_queue_delay_seconds_count", ("forward", "trip")] == 9
    assert found["sagaflow_attempts_in_flight", ("forward", "trip")] == 0
    assert found["sagaflow_commit_batch_size_count", ()] == found["sagaflow_commit_batch_size_sum", ()]
    assert found["sagaflow_due_sagas", ()] == found["sagaflow_stale_sagas", ()] == 0
    assert not any(SECRET in label for _, labels in found for label in labels)


def test_every_metric_is_fed_by_what_an_engine_tells(exporter: tuple[Figures, Read]) -> None:
    metrics, read = exporter
    attempt = Attempt("trip", "t-1", "legs[3]", Direction.FORWARD, 1, waited=0.5)
    saga = new_saga(saga="trip", status=SagaStatus.COMPLETED, completed_at=1_002.0)
    metrics.saga_started(saga)
    metrics.saga_ended(saga)
    metrics.attempt_began(attempt)
    with metrics.running(attempt):
        assert read()["sagaflow_attempts_in_flight", ("forward", "trip")] == 1
    metrics.attempt_ended(attempt, AttemptEnd.LOST, 0.25)
    metrics.committed(10, 2, 1)
    metrics.swept(3, 4)
    metrics.hints_lost(5)
    metrics.dead_lettered()
    metrics.sampled(Sample(oldest=7.0, due=8, stale=9, is_cut=False))
    found = read()
    names = {name.removesuffix("_count").removesuffix("_sum") for name, _ in found}
    assert names == {metric.prometheus_name for metric in METRICS}
    assert found["sagaflow_attempt_duration_seconds_sum", ("forward", "lost", "trip", "legs")] == 0.25
    assert found["sagaflow_queue_delay_seconds_sum", ("forward", "trip")] == 0.5
    assert found["sagaflow_commit_batch_size_sum", ()] == 10
    assert found["sagaflow_commit_conflicts_total", ()] == 2
    assert found["sagaflow_commit_unsure_total", ()] == 1
    assert found["sagaflow_sweeper_finds_total", ("due",)] == 3
    assert found["sagaflow_sweeper_finds_total", ("orphan",)] == 4
    assert found["sagaflow_hints_lost_total", ()] == 5
    assert found["sagaflow_dead_letters_total", ()] == 1
    assert found["sagaflow_saga_duration_seconds_sum", ("trip", "completed")] == 2
    gauges = ("sagaflow_oldest_waiting_seconds", "sagaflow_due_sagas", "sagaflow_stale_sagas")
    assert [found[name, ()] for name in gauges] == [7, 8, 9]


def test_names_that_data_makes_are_bounded(exporter: tuple[Figures, Read]) -> None:
    metrics, read = exporter
    for number in range(NAMES_LIMIT + 50):
        attempt = Attempt(f"saga-{number}", "t-1", "step", Direction.FORWARD, 1)
        metrics.attempt_ended(attempt, AttemptEnd.SUCCEEDED, 0.0)
    counts = [series for series in read() if series[0] == "sagaflow_attempt_duration_seconds_count"]
    assert len(counts) == NAMES_LIMIT + 1
    assert read()["sagaflow_attempt_duration_seconds_count", ("forward", "succeeded", "other", "other")] == 50


def test_a_process_that_does_not_sample_shows_nothing_of_what_it_does_not_know() -> None:
    registry = CollectorRegistry()
    PrometheusMetrics(registry)
    shown = generate_latest(registry).decode()
    assert "sagaflow_commit_batch_size" in shown
    assert not any(metric.prometheus_name in shown for metric in METRICS if metric.kind is Kind.GAUGE)


def test_no_metric_has_an_id_among_its_labels() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    assert labels == {"saga", "step", "direction", "outcome", "status", "kind"}


@pytest.mark.parametrize("every", [timedelta(), timedelta(seconds=-1)])
def test_a_pause_between_samples_is_longer_than_nothing(every: timedelta) -> None:
    with pytest.raises(ConfigurationError, match="sample_every"):
        PrometheusMetrics(CollectorRegistry(), sample_every=every)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("sagaflow.telemetry.prometheus", "prometheus_client", "prometheus"),
        ("sagaflow.telemetry.otel", "opentelemetry", "otel"),
    ],
)
def test_nothing_but_its_own_module_needs_an_extra_and_that_says_which(module: str, package: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        f"import sagaflow, sagaflow.telemetry.figures\n"
        f"try:\n    import {module}\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"pip install 'sagaflow[{extra}]'" in done.stdout


def test_the_library_alone_imports_neither() -> None:
    program = "import sys, sagaflow; print({'prometheus_client', 'opentelemetry'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
