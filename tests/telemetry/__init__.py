"""Observers, metrics and traces."""
