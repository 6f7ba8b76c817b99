"""What the log says of the changes of a saga."""

from __future__ import annotations

import logging

from ..core.state import SagaState, SagaStatus

logger: logging.Logger = logging.getLogger("sagaflow.worker")


def log_change(before: SagaState, after: SagaState) -> None:
    """Say where a saga stands now, if that has changed, and that it has passed its deadline."""
    if after.status is before.status and after.overdue is before.overdue:
        return
    fields = {"saga_id": after.id, "saga": after.saga}
    if after.overdue and not before.overdue:
        what = "compensations" if after.status is not SagaStatus.STARTED else "itself, when there was no way back"
        logger.warning("saga %s %s has passed its deadline for %s", after.saga, after.id, what, extra=fields)
    if after.status is not before.status:
        level = logging.WARNING if after.status is SagaStatus.FAILED else logging.INFO
        logger.log(level, "saga %s %s is %s: %s", after.saga, after.id, after.status, after.why or "-", extra=fields)
