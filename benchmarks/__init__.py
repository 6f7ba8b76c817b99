"""Measurements of SagaFlow beside bare scripts and other engines: ``python -m benchmarks``; see docs/benchmarks.md."""
