"""What an act on a saga does, in a verdict and in words: said by the engine, and by whoever plans an act."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .core.state import SagaState, SagaStatus


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


def refusal_of(act: str, state: SagaState) -> Answer | None:
    """Why ``compensate`` or ``cancel`` is not even asked of a saga that is a part of another; None if it may be."""
    if act != "compensate" or state.status is not SagaStatus.COMPLETED or state.parent is None:
        return None
    why = f"the saga is a part of saga {state.parent.saga_id!r}, which goes on with what it did: compensate that"
    return Answer(Verdict.REFUSED, state.status, why)


def answer_of(act: str, accepted: bool, status: SagaStatus, *, committed: bool = False) -> Answer:
    """In words, what ``compensate`` or ``cancel`` does to a saga in ``status``, its pivot begun or not."""
    if accepted:
        return Answer(Verdict.ACCEPTED, status, f"the saga is {status} and is to be compensated")
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
