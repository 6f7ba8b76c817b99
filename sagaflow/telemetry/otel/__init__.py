"""Metrics and traces by OpenTelemetry; install ``sagaflow[otel]``, and give the SDK that your service uses."""

try:
    from .metrics import OtelMetrics
    from .traces import OtelTraces
except ImportError as _missing:
    raise ImportError(
        "OtelMetrics and OtelTraces need the package opentelemetry-api: pip install 'sagaflow[otel]'"
    ) from _missing

__all__ = ["OtelMetrics", "OtelTraces"]
