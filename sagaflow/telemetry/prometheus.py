"""Metrics for Prometheus, by ``prometheus-client``; install ``sagaflow[prometheus]``."""

from __future__ import annotations

from datetime import timedelta

from .figures import METRICS, Figures, Kind, Metric

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ImportError as _missing:
    raise ImportError(
        "PrometheusMetrics needs the package prometheus-client: pip install 'sagaflow[prometheus]'"
    ) from _missing


class PrometheusMetrics(Figures):
    """Keeps the metrics of one process, for Prometheus to fetch: ``Engine(observers=[PrometheusMetrics()])``.

    Engines of one process share one of it. To show them, give the registry to what serves it, for one
    ``prometheus_client.start_http_server(9000)``.

    Args:
        registry: where the metrics are registered; by default that of ``prometheus_client``.
        sample_every: how often this process asks the store what waits; None leaves that to another one.

    Raises:
        ConfigurationError: the pause is not longer than nothing.
        ValueError: the registry has such metrics already.

    Example:
        >>> metrics = PrometheusMetrics(CollectorRegistry(), sample_every=timedelta(seconds=15))
        >>> metrics.sample_every
        datetime.timedelta(seconds=15)
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, sample_every: timedelta | None = None) -> None:
        super().__init__(sample_every)
        registry = registry if registry is not None else REGISTRY
        # What only the process that samples knows, the others do not show: a zero of theirs would be a lie.
        shown = [metric for metric in METRICS if metric.kind is not Kind.GAUGE or sample_every is not None]
        self._metrics = {metric.name: _made(metric, registry) for metric in shown}
        self.begin()

    def change(self, metric: Metric, value: float, *labels: str) -> None:
        made = self._metrics[metric.name]
        one = made.labels(*labels) if labels else made
        match one:
            case Counter():
                one.inc(value)
            case Histogram():
                one.observe(value)
            case Gauge():
                if metric.kind is Kind.GAUGE:
                    one.set(value)
                else:
                    one.inc(value)


def _made(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match metric.kind:
        case Kind.COUNTER:
            return Counter(metric.prometheus_name, metric.help, metric.labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(
                metric.prometheus_name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
            )
        case Kind.LEVEL | Kind.GAUGE:
            return Gauge(metric.prometheus_name, metric.help, metric.labels, registry=registry)
