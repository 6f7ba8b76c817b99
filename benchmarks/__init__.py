"""Measurements, as plain scripts that print tables: ``python -m benchmarks.throughput``."""
