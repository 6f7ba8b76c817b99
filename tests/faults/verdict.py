"""Every saga against the ledger: what must not be found after any fault, and the figures of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sagaflow import SagaStatus, StepStatus
from sagaflow.core.attempts import LOSS_BUDGET
from sagaflow.core.state import SagaState

from .ledger import Attempt, Effect, Ledger

_SHOWN = 10  # violations that are printed
_UNLUCKY = 0.005  # of all sagas, at most


@dataclass(frozen=True)
class Figures:
    """What a run came to. Figures of several runs can be added up.

    Attributes:
        sagas: that were started, and have ended.
        faults: that were made.
        repeated: attempts of a call beyond its first.
        interrupted: attempts that were cut off, or whose process was harmed before it knew of the record of their end.
        seconds: that the run took.
        violations: what should not be, one line each.
        words: what else a scenario has measured.
    """

    sagas: int = 0
    faults: int = 0
    repeated: int = 0
    interrupted: int = 0
    seconds: float = 0.0
    violations: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=())

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.sagas + other.sagas,
            self.faults + other.faults,
            self.repeated + other.repeated,
            self.interrupted + other.interrupted,
            self.seconds + other.seconds,
            self.violations + other.violations,
            self.words + other.words,
        )

    def __str__(self) -> str:
        told = [
            f"{self.sagas:,} sagas",
            f"{self.faults:,} faults",
            f"{self.repeated:,} repeated of {self.interrupted:,} interrupted attempts",
            f"{self.seconds:.1f} s",
            *self.words,
        ]
        shown = "".join(f"\n    {line}" for line in self.violations[:_SHOWN])
        return f"{', '.join(told)}: {f'{len(self.violations)} VIOLATIONS{shown}' if self.violations else 'ok'}"


@dataclass(frozen=True)
class Evidence:
    """What a verdict is given on.

    Attributes:
        expected: how each saga must end.
        states: the sagas as the store has them.
        hits: the times at which each process was harmed.
        excused: how many attempts more than the interrupted ones a scenario may have caused to be repeated.
    """

    expected: Mapping[str, SagaStatus]
    states: Mapping[str, SagaState]
    attempts: Sequence[Attempt]
    effects: Mapping[str, Effect]
    hits: Mapping[int, Sequence[float]]
    excused: int = 0

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        expected: Mapping[str, SagaStatus],
        states: Mapping[str, SagaState],
        hits: Mapping[int, Sequence[float]],
        *,
        excused: int = 0,
    ) -> Evidence:
        """With the ledger as it is now."""
        return cls(expected, states, ledger.attempts(), ledger.effects(), hits, excused)

    def is_interrupted(self, attempt: Attempt) -> bool:
        """Whether it was cut off, or its process was harmed before it knew that the end is recorded."""
        if attempt.ended is None:
            return True
        recorded = attempt.recorded if attempt.recorded is not None else float("inf")
        return any(attempt.began <= hit <= recorded for hit in self.hits.get(attempt.pid, ()))

    def repeated(self) -> int:
        """Attempts of a call beyond its first."""
        return len(self.attempts) - len({attempt.key for attempt in self.attempts})

    def interrupted(self) -> int:
        """Attempts that were cut off, as far as anybody outside can tell."""
        return sum(map(self.is_interrupted, self.attempts))

    def unlucky(self) -> list[str]:
        """Sagas that are left failed because five workers died in one of their compensations, without its fault.

        A rule that is there for handlers which kill their process, and that chance may meet a few times at most.
        """
        found = [
            state.id
            for state in self.states.values()
            if state.status is SagaStatus.FAILED
            and self.expected.get(state.id) is not SagaStatus.FAILED
            and any(step.undo.losses >= LOSS_BUDGET for step in state.steps.values())
        ]
        return found if len(found) <= max(1, _UNLUCKY * len(self.expected)) else []

    def violations(self) -> Iterator[str]:
        """What should not be."""
        for saga_id, status in self.expected.items():
            yield from self._of_saga(saga_id, status)
        yield from self._of_repeats()
        known = {f"{state.id}/{name}" for state in self.states.values() for name in state.steps}
        yield from (f"{key}: an effect of no saga" for key in self.effects.keys() - known)

    def _of_saga(self, saga_id: str, expected: SagaStatus) -> Iterator[str]:
        state = self.states.get(saga_id)
        if state is None:
            yield f"{saga_id}: the saga is lost"
            return
        if state.status is not expected and not (state.status is SagaStatus.COMPENSATED and _is_poisoned(state)):
            yield f"{saga_id}: {state.saga} is {state.status} ({state.why}), not {expected}"
        for name, step in state.steps.items():
            effect = self.effects.get(f"{saga_id}/{name}")
            stands = effect is not None and effect.stands
            match step.status:
                case StepStatus.COMPLETED if not stands:
                    yield f"{saga_id}: step {name} is completed without its effect"
                case StepStatus.COMPENSATED if effect is None or effect.undone is None:
                    yield f"{saga_id}: the compensation of step {name} is missing"
                case StepStatus.COMPLETED | StepStatus.COMPENSATED:
                    pass
                case _ if stands:
                    yield f"{saga_id}: step {name} is {step.status}, and its effect stands"
                case _:
                    pass
            if stands and state.status is SagaStatus.COMPENSATED:
                yield f"{saga_id}: the saga is compensated, and the effect of step {name} stands"

    def _of_repeats(self) -> Iterator[str]:
        calls: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            calls[attempt.key].append(attempt)
        unexplained: dict[str, tuple[int, list[Attempt]]] = {}
        for key, attempts in calls.items():
            # Each repetition follows upon an attempt of the same call that was cut off.
            excess = len(attempts) - 1 - sum(map(self.is_interrupted, attempts))
            if excess > 0:
                unexplained[key] = excess, attempts
        if sum(excess for excess, _ in unexplained.values()) > self.excused:
            for key, (excess, attempts) in unexplained.items():
                yield f"{key}: {excess} repeated attempts that nothing explains: {self._told(attempts)}"

    def _told(self, attempts: Sequence[Attempt]) -> str:
        zero = attempts[0].began
        told: list[str] = []
        for attempt in attempts:
            end = f"{attempt.ended - zero:.2f}" if attempt.ended is not None else "never"
            kept = f"{attempt.recorded - zero:.2f}" if attempt.recorded is not None else "never"
            hits = ", ".join(f"{hit - zero:.2f}" for hit in self.hits.get(attempt.pid, ()) if hit > attempt.began)
            begin = f"process {attempt.pid} from {attempt.began - zero:.2f} to {end} s"
            told.append(f"{begin}, recorded at {kept} s, harmed at {hits or 'no'} s")
        return "; ".join(told)


def _is_poisoned(state: SagaState) -> bool:
    """Whether one of its steps has cost so many workers that it was given up, as it should be."""
    return any(step.forward.losses >= LOSS_BUDGET for step in state.steps.values())
