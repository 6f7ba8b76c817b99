"""Whole sagas, from start to end, on every kind of store and broker."""
