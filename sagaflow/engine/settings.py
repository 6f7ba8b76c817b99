"""The numbers that an operator may want to change, each with a default that fits most."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta

from ..errors import ConfigurationError

RESERVE = 64 * 1024
"""Characters of a saga that contexts and outputs may not take, so that undoing can always be recorded."""

_LARGEST = 4_000_000
"""Characters, of which UTF-8 makes up to four bytes each: MongoDB takes no document beyond 16 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an engine works.

    Args:
        concurrency: how many handlers run at once in this process.
        grace: how long ``stop`` waits for running handlers before it cancels them.
        patience: how long a hint may take before a sweeper looks for its saga.
        in_place: waits (of retries) up to this long are spent in the worker's memory; longer ones in the store.
        sweep_every: the mean pause between two looks for sagas that are due.
        poll_every: the longest pause of ``handle.wait`` between two looks at a saga that another process works on: it
            looks again whenever a third of the time that it has waited has passed, after five milliseconds at first.
        beat_every: the pause between two heartbeats.
        death_after: how long a worker's beat must stand still, seen without a gap, until it is held to be dead.
        context_limit, output_limit: the longest context and output of a step, in characters of their encoded form.
        document_limit: the most that one saga may hold in all, in characters, up to 4,000,000; 64 KiB of them are kept
            for undoing.
        elements_limit: the longest list that a step with ``each=`` is done for, and the most steps of a saga whose
            steps are data.
        keep_completed, keep_compensated, keep_failed: how long sagas are kept that ended so; None is for ever.
        keep_ids: how long an id that was given to ``start`` is remembered after its saga was forgotten.

    Raises:
        ConfigurationError: a value makes no sense.

    Example:
        >>> Settings(concurrency=500).grace
        datetime.timedelta(seconds=30)
    """

    concurrency: int = 100
    grace: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(seconds=2)
    in_place: timedelta = timedelta(seconds=5)
    sweep_every: timedelta = timedelta(milliseconds=500)
    poll_every: timedelta = timedelta(milliseconds=500)
    beat_every: timedelta = timedelta(seconds=1)
    death_after: timedelta = timedelta(seconds=5)
    context_limit: int = 256 * 1024
    output_limit: int = 256 * 1024
    document_limit: int = 1024 * 1024
    elements_limit: int = 1_000
    keep_completed: timedelta | None = None
    keep_compensated: timedelta | None = None
    keep_failed: timedelta | None = None
    keep_ids: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        for setting in fields(self):
            value: timedelta | int | None = getattr(self, setting.name)
            if value is None:
                continue
            size = value.total_seconds() if isinstance(value, timedelta) else value
            if size < 0 or (size == 0 and setting.name != "grace"):
                raise ConfigurationError(f"Settings({setting.name}={value!r}): write a value above zero")
        if self.document_limit > _LARGEST:
            raise ConfigurationError(
                f"Settings(document_limit={self.document_limit:,}): MongoDB does not take so large a document, and a "
                f"saga that reaches it could not go on; write at most {_LARGEST:,}, and keep large data elsewhere"
            )
        if self.death_after < 3 * self.beat_every:
            raise ConfigurationError(
                f"Settings(death_after={self.death_after}, beat_every={self.beat_every}): a worker that misses one "
                f"beat would be taken for dead; let death_after be at least three times beat_every"
            )
        if self.document_limit <= RESERVE:
            raise ConfigurationError(
                f"Settings(document_limit={self.document_limit:,}): {RESERVE:,} of it are kept for undoing; write more"
            )

    @property
    def payload_limit(self) -> int:
        """The most that contexts, outputs and answers of one saga may take in all, in characters."""
        return self.document_limit - RESERVE
