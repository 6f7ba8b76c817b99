"""Metrics by OpenTelemetry: the same as for Prometheus, and of the same names where they are exported there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from opentelemetry.metrics import Meter, MeterProvider, get_meter

from ..figures import METRICS, Figures, Kind, Metric

_Take = Callable[[float, dict[str, str]], None]


class OtelMetrics(Figures):
    """Records the metrics of one process: ``Engine(observers=[OtelMetrics()])``.

    Args:
        provider: whose meter is used; by default the global one.
        sample_every: how often this process asks the store what waits; None leaves that to another one.

    Raises:
        ConfigurationError: the pause is not longer than nothing.
    """

    def __init__(self, provider: MeterProvider | None = None, *, sample_every: timedelta | None = None) -> None:
        super().__init__(sample_every)
        meter = get_meter("sagaflow", meter_provider=provider)
        self._takes = {metric.name: _take(metric, meter) for metric in METRICS}
        self.begin()

    def change(self, metric: Metric, value: float, *labels: str) -> None:
        self._takes[metric.name](value, dict(zip(metric.labels, map(str, labels), strict=True)))


def _take(metric: Metric, meter: Meter) -> _Take:
    """What takes values of a metric in."""
    match metric.kind:
        case Kind.COUNTER:
            return meter.create_counter(metric.name, metric.unit, metric.help).add
        case Kind.LEVEL:
            return meter.create_up_down_counter(metric.name, metric.unit, metric.help).add
        case Kind.GAUGE:
            return meter.create_gauge(metric.name, metric.unit, metric.help).set
        case Kind.HISTOGRAM:
            histogram = meter.create_histogram(
                metric.name, metric.unit, metric.help, explicit_bucket_boundaries_advisory=metric.buckets
            )
            return histogram.record
