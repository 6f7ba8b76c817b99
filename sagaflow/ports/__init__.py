"""What the engine needs from the world, as specifications: each docstring says what an adapter guarantees."""

from .broker import Broker, Delivery, Hint, Lane, Subscription
from .codec import Codec
from .inspection import Inspected, Inspection
from .observer import Attempt, AttemptEnd, Observer, Sample
from .store import (
    INBOX_LIMIT,
    Beat,
    Due,
    Graph,
    Heart,
    Orphan,
    Outcome,
    Page,
    Posted,
    Query,
    Signal,
    Store,
    Stored,
    Summary,
    Ticket,
    Tombstone,
    Transition,
)
from .survey import Ended, Survey, Tally

__all__ = [
    "INBOX_LIMIT",
    "Attempt",
    "AttemptEnd",
    "Beat",
    "Broker",
    "Codec",
    "Delivery",
    "Due",
    "Ended",
    "Graph",
    "Heart",
    "Hint",
    "Inspected",
    "Inspection",
    "Lane",
    "Observer",
    "Orphan",
    "Outcome",
    "Page",
    "Posted",
    "Query",
    "Sample",
    "Signal",
    "Store",
    "Stored",
    "Subscription",
    "Summary",
    "Survey",
    "Tally",
    "Ticket",
    "Tombstone",
    "Transition",
]
