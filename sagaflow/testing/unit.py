"""Unit tests of steps: methods called by hand, with a known execution."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from ..core.state import Direction
from ..execution import Execution, Outcome, reattach
from ..saga import Saga, StepRef

S = TypeVar("S", bound=Saga[Any])


def executing(
    saga: S,
    *,
    saga_id: str = "test",
    step: StepRef[Any] | str = "step",
    attempt: int = 1,
    outcome: Outcome | None = None,
    deadline: datetime | None = None,
) -> S:
    """The same instance, as if an engine executed it: with known keys, and refusing to be written to.

    Args:
        saga: an instance made by hand.
        saga_id: the saga's id.
        step: the step that it does or undoes.
        attempt: counted from 1.
        outcome: makes it a compensation, of a step of which this is known.
        deadline: when the saga is compensated.

    Example:
        >>> from sagaflow.saga import Saga, step
        >>> class Greet(Saga[str]):
        ...     @step
        ...     async def greet(self, name: str) -> str:
        ...         return self.idempotency_key
        >>> executing(Greet(), saga_id="o-1", step=Greet.greet).idempotency_key
        'o-1/greet'
    """
    execution = Execution(
        saga_id=saga_id,
        step_name=step if isinstance(step, str) else step.name,
        attempt=attempt,
        direction=Direction.FORWARD if outcome is None else Direction.UNDO,
        outcome=outcome,
        deadline=deadline,
        detached=False,
    )
    return reattach(saga, execution)
