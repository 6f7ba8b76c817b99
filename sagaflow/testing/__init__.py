"""For tests of sagas, and of stores and brokers of one's own.

``executing`` needs nothing but SagaFlow; the contract suites (``store_contract``, ``broker_contract``) need pytest, and
the strategies (``strategies``, ``definitions``) Hypothesis, so they are imported from their own modules.
"""

from .unit import executing

__all__ = ["executing"]
