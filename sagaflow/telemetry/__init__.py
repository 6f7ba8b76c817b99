"""Metrics and traces, as observers of an engine. Each module needs an extra, and is imported by who uses it."""
