"""A desk at which nothing is asked for: for dry runs."""

from __future__ import annotations

from typing import Self

from ..answer import Answer, Verdict, answer_of, refusal_of
from ..core.events import CancellationRequested, CompensationRequested, Request
from ..core.state import SagaState
from ..ports import Signal
from .desk import Desk
from .loading import App


class DryDesk(Desk):
    """Judges acts as an engine does, and keeps to itself what it would have recorded."""

    requests: dict[str, Request]
    """What would have been recorded, by the ids of the sagas."""

    @classmethod
    def of(cls, app: App, store: str | None, broker: str | None) -> Self:
        """See ``Desk``."""
        desk = super().of(app, store, broker)
        desk.requests = {}
        return desk

    async def _turn_back(self, saga_id: str, request: CompensationRequested | CancellationRequested) -> Answer:
        state = (await self._load(saga_id)).state
        self.requests[saga_id] = request
        refusal = refusal_of(request.kind, state)
        accepted = request.kind in state.accepts
        return refusal or answer_of(request.kind, accepted, state.status, committed=state.committed)

    async def _post(self, state: SagaState, signal: Signal, done: str) -> Answer:
        self.requests[state.id] = signal.request
        if signal.request.kind not in state.accepts:
            return Answer(Verdict.REFUSED, state.status, f"the saga is {state.status} by now")
        return Answer(Verdict.ACCEPTED, state.status, done)
