"""What an act on a saga did."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..core.state import SagaStatus


class Verdict(StrEnum):
    """Whether a request was taken."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        verdict: ``accepted``: it is recorded, and will be done; ``already``: it is so, or on its way; ``refused``.
        status: the saga's status at that moment.
        why: in words.
    """

    verdict: Verdict
    status: SagaStatus
    why: str

    @property
    def is_accepted(self) -> bool:
        """Whether it will be done."""
        return self.verdict is Verdict.ACCEPTED

    def __str__(self) -> str:
        return f"{self.verdict}: {self.why}"


def answer(act: str, accepted: bool, status: SagaStatus, *, committed: bool = False) -> Answer:
    """In words, what ``compensate`` or ``cancel`` did to a saga that was in ``status``, its pivot begun or not."""
    if accepted:
        return Answer(Verdict.ACCEPTED, status, f"the saga was {status} and will be compensated")
    if status in (SagaStatus.COMPENSATING, SagaStatus.COMPENSATED):
        return Answer(Verdict.ALREADY, status, f"the saga is {status} already")
    is_completed = status is SagaStatus.COMPLETED
    if status in (SagaStatus.SCHEDULED, SagaStatus.STARTED) or (is_completed and (committed or act == "compensate")):
        why = "the pivot of the saga has begun: there is no way back"
    elif status is SagaStatus.FAILED:
        why = "the saga has failed, with something left undone: a person must look at it"
    else:
        why = f"the saga is {status}: {act} has nothing to stop; to undo it, use compensate"
    return Answer(Verdict.REFUSED, status, why)
