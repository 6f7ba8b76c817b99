"""What a worker makes of a saga in one turn, short of committing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..core.decide import decide
from ..core.events import Event, Ticked
from ..core.state import SagaState
from ..core.work import Agenda, Work, next_tick
from ..ports import Lane, Stored
from .binding import Binding
from .families import load_family
from .isolation import is_suspect
from .limits import within_limits
from .recognising import recognised
from .values import decide_step

if TYPE_CHECKING:
    from .worker import Worker


class Turns:
    """Folds what has happened, asks user code what it decides, and sees what there is to do here and elsewhere."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def fold(self, binding: Binding, stored: Stored, events: Sequence[Event], now: float) -> SagaState:
        """What becomes of the saga by all that has happened."""
        changed = stored.state
        for event in (*(signal.request for signal in stored.inbox), *events):
            seen = within_limits(self._worker, changed, recognised(binding, changed, event))
            changed = decide(binding.definition, changed, seen)
        tick = next_tick(changed)
        return decide(binding.definition, changed, Ticked(now)) if tick is not None and tick <= now else changed

    async def decide_steps(
        self, binding: Binding, state: SagaState, agenda: Agenda | None, now: float
    ) -> tuple[SagaState, Agenda]:
        """Ask user code about the steps that this worker could begin; each answer may open more.

        Args:
            agenda: that of the state, if it was read off already.
        """
        worker = self._worker
        asked: set[str] = set()
        while True:
            agenda = agenda or Agenda.of(binding.definition, state)
            ours = self.open(binding, state, agenda, now) if worker.is_accepting else ()
            works = [work for work in ours if not work.is_decided and work.step not in asked]
            if not works:
                return state, agenda
            family = await load_family(worker.store, [state], worker.record)
            plan = binding.plan(state)
            for work in works:
                asked.add(work.step)
                answer = decide_step(
                    binding,
                    state,
                    plan[work.step],
                    family,
                    now,
                    limit=worker.settings.output_limit,
                    size=worker.settings.elements_limit,
                )
                state = decide(binding.definition, state, within_limits(worker, state, answer))
            agenda = None

    def open(self, binding: Binding, state: SagaState, agenda: Agenda, now: float) -> Iterator[Work]:
        """What is due and this worker may do."""
        for work in agenda.works:
            if work.due <= now and Lane(work.queue, work.side) in self._worker.lanes and binding.can_do(state, work):
                yield work

    def hints(
        self, binding: Binding, before: Agenda, after: SagaState, agenda: Agenda, now: float, *, hinted: bool
    ) -> set[Lane]:
        """The lanes whose workers should hear of this saga: one hint each, whoever comes claims all it can.

        Args:
            before: what there was to do before the turn.
            hinted: whether a hint has led here, which is used up now.
        """
        lanes: set[Lane] = set()
        if not agenda.works:
            return lanes
        known = {(work.step, work.direction) for work in before.works}
        hinted = hinted and self._worker.is_accepting
        for work in agenda.works:
            lane = Lane(work.queue, work.side)
            is_new = (work.step, work.direction) not in known
            # What this code cannot do is not sent round: the hint would come back, and be sent again.
            is_ours = lane in self._worker.lanes and binding.can_do(after, work)
            # ... nor is what waits here to be alone: it would come back as long as it waits.
            may_return = hinted and is_ours and not is_suspect(after, work.step, work.direction)
            if work.due <= now and (is_new or may_return):
                lanes.add(lane)
        return lanes

    def next_look(self, agenda: Agenda, now: float) -> float | None:
        """When to look at the saga again, if that is so soon that this worker waits for it in memory."""
        dues = [work.due for work in agenda.works if Lane(work.queue, work.side) in self._worker.lanes]
        if agenda.tick is not None:
            dues.append(agenda.tick)
        return min((due for due in dues if now < due <= now + self._worker.in_place), default=None)
