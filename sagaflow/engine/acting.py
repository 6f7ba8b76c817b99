"""Asking a saga for something: to undo itself, to hear an answer from outside, to do what an operator says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, overload

from ..answer import Answer, Verdict, answer_of, refusal_of
from ..core.acts import in_words
from ..core.decide import decide, fold
from ..core.definition import SagaDefinition, StepDefinition, StepKind
from ..core.events import (
    CancellationRequested,
    CompensationRequested,
    OperatorsAct,
    PauseRequested,
    Request,
    Resolution,
    ResolutionRequested,
    ResumeRequested,
    RetryRequested,
    Signalled,
    SkipRequested,
)
from ..core.state import Direction, SagaState, SagaStatus, StepStatus
from ..errors import ConfigurationError, SagaNotFound, near
from ..ports import Signal, Stored
from ..probing import Happened, NotHappened
from ..steps import StepRef, former_names
from .arguments import check_act, check_room, checked_id, checked_name
from .base import EngineBase
from .binding import Binding, base_name
from .failures import describe, said

T = TypeVar("T")

_NOTHING: Final[Any] = object()


class Acting(EngineBase):
    """The part of an engine that asks sagas for something. Every method says what became of it: see ``Answer``.

    All of them raise ``SagaNotFound``, ``StoreUnavailable``, ``InboxFull`` (too many requests wait for the saga), and
    ValueError for a reason or a name that cannot be kept.
    """

    async def compensate(self, saga_id: str, /, *, reason: str = "compensation was requested", by: str = "") -> Answer:
        """Undo a saga, whether it runs or has completed. Steps that run are awaited; nothing more is begun.

        Args:
            reason: why; it stands in the record.
            by: who asks for it; if it is given, the act is recorded.
        """
        return await self._turn_back(saga_id, CompensationRequested(reason, self._clock.now(), by))

    async def cancel(self, saga_id: str, /, *, reason: str = "it was cancelled", by: str = "") -> Answer:
        """Stop a saga that runs and undo what it did; one that has completed stays as it is.

        Args:
            reason: why; it stands in the record.
            by: who asks for it; if it is given, the act is recorded.
        """
        return await self._turn_back(saga_id, CancellationRequested(reason, self._clock.now(), by))

    async def _turn_back(self, saga_id: str, request: CompensationRequested | CancellationRequested) -> Answer:
        check_act(request.kind, request.reason, request.by, may_be_nobody=True)
        state = (await self._load(saga_id)).state
        if (refusal := refusal_of(request.kind, state)) is not None:
            return refusal
        posted = await self._store.post(checked_id(saga_id), Signal(self._machine.new_id(), request))
        if posted.status is None:
            raise SagaNotFound(saga_id)
        if posted.accepted:
            await self._call_attention(state)
        return answer_of(request.kind, posted.accepted, posted.status, committed=state.committed)

    # ------------------------------------------------------------------ the outside

    @overload
    async def complete_step(
        self, saga_id: str, step: StepRef[T], output: T, /, *, token: str | None = None
    ) -> Answer: ...
    @overload
    async def complete_step(
        self, saga_id: str, step: str, output: object, /, *, token: str | None = None
    ) -> Answer: ...
    async def complete_step(
        self, saga_id: str, step: StepRef[Any] | str, output: object, /, *, token: str | None = None
    ) -> Answer:
        """Answer a step with ``waits_for=``: what it waits for has happened. The answer may come before the question.

        Args:
            step: the step, as ``OrderSaga.payment``, or its name.
            output: what it waits for; it is the step's output.
            token: names this answer: the same token twice is one answer. By default each call is one of its own.

        Raises:
            PayloadError: ``output`` is not of the type that the step waits for.
            ValueError: the saga has no such step, or it does not wait for the outside.
        """
        return await self._tell(saga_id, step, token, output=output)

    async def fail_step(
        self, saga_id: str, step: StepRef[Any] | str, error: BaseException | str, /, *, token: str | None = None
    ) -> Answer:
        """Answer a step with ``waits_for=``: what it waits for has not happened, and will not. The step fails.

        Args:
            step, token: as for ``complete_step``.
            error: why; it is kept with the step.

        Raises:
            ValueError: the saga has no such step, or it does not wait for the outside.
        """
        return await self._tell(saga_id, step, token, error=error)

    async def signal(self, saga_id: str, name: str, output: object, /, *, token: str | None = None) -> Answer:
        """Answer all steps that wait for a signal of this name (``@step(waits_for=..., signal="paid")``).

        Args:
            name: of the signal; a step that names none listens to its own name.
            output, token: as for ``complete_step``.

        Raises:
            PayloadError: ``output`` is not of the type that the steps wait for.
            ValueError: no step of the saga listens to it.
        """
        stored, binding = await self._bound(saga_id)
        listener = next((step for step in binding.definition if step.signal == name), None)
        if listener is None:
            names = [step.signal for step in binding.definition if step.signal is not None]
            raise ValueError(f"no step of {binding.definition.name} waits for signal {name!r}. {near(name, names)}")
        return await self._signal(stored, binding, listener, token, output, None)

    async def _tell(
        self,
        saga_id: str,
        step: StepRef[Any] | str,
        token: str | None,
        *,
        output: object = None,
        error: BaseException | str | None = None,
    ) -> Answer:
        stored, binding = await self._bound(saga_id)
        declared = _step_of(binding.definition, step)
        if declared.signal is None:
            raise ValueError(
                f"step {declared.name!r} of {binding.definition.name} does not wait for the outside; that is what "
                f"@step(waits_for=...) is for"
            )
        return await self._signal(stored, binding, declared, token, output, error)

    async def _signal(  # to whom, and what
        self,
        stored: Stored,
        binding: Binding,
        step: StepDefinition,
        token: str | None,
        output: object,
        error: BaseException | str | None,
    ) -> Answer:
        token = self._machine.new_id() if token is None else checked_name("token", token)
        payload = refusal = None
        if error is None:
            payload = binding.encode_output(step, output, self._settings.output_limit)
        else:
            what = describe(error) if isinstance(error, BaseException) else said("refused", error)
            refusal = self._codec.encode(*what)
        name = str(step.signal)
        event = Signalled(name, token, self._clock.now(), payload, refusal)
        state = _seen(binding, stored)
        known = state.signals.get(name)
        if known is not None and (known.token == token or binding.is_same_answer(step, known, payload, refusal)):
            return Answer(Verdict.ALREADY, state.status, f"{name!r} was answered so already")
        if known is not None:
            return Answer(Verdict.REFUSED, state.status, f"{name!r} was answered otherwise already")
        after = decide(binding.definition, state, event)
        if after is state:
            return Answer(Verdict.REFUSED, state.status, f"the saga is {state.status}; step {step.name!r} never asked")
        check_room(binding.definition, after, self._settings.payload_limit)
        return await self._post(state, Signal(f"{name}/{token}", event), f"{name!r} is answered")

    # ------------------------------------------------------------------ operators

    async def retry(
        self,
        saga_id: str,
        /,
        *,
        by: str,
        reason: str,
        step: StepRef[Any] | str | None = None,
        new_key: bool = False,
    ) -> Answer:
        """Let a failed saga try again from where it stopped, with fresh budgets of attempts.

        Args:
            by, reason: who, and why; both stand in the record.
            step: only this step, or element of one (``"reserve[2]"``); by default all that failed.
            new_key: under a new key, where it is certain that nothing has happened under the old one.
        """

        def act(binding: Binding, state: SagaState, at: float) -> OperatorsAct:
            name = None if step is None else _step_of(binding.plan(state), step).name
            return RetryRequested(by, reason, at, name, new_key)

        return await self._act(saga_id, by, reason, act)

    async def skip(
        self, saga_id: str, step: StepRef[T] | str, /, *, by: str, reason: str, output: T | None = _NOTHING
    ) -> Answer:
        """Leave a step out: one that has not begun, that waits, or that has failed after the pivot.

        Args:
            step: the step, or an element of one (``"reserve[2]"``).
            by, reason: who, and why; both stand in the record.
            output: what stands for its output.

        Raises:
            PayloadError: ``output`` is not of the step's type.
            ValueError: a later step takes its output, and there is none.
        """

        def act(binding: Binding, state: SagaState, at: float) -> OperatorsAct:
            declared = _step_of(binding.plan(state), step)
            takers = [other.name for other in binding.definition if base_name(declared) in other.inputs]
            if declared.kind is StepKind.CHILD and (takers or output is not _NOTHING):
                raise ValueError(
                    f"skip({declared.name!r}): its output is the record of a saga, for which nothing can stand. Skip "
                    f"the steps that take it first, or cancel this saga"
                )
            if output is _NOTHING and takers and declared.when is None:
                raise ValueError(f"skip({declared.name!r}): step {takers[0]!r} takes its output; give output=...")
            payload = None
            if output is not _NOTHING:
                payload = binding.encode_output(declared, output, self._settings.output_limit)
            return SkipRequested(by, reason, at, declared.name, Direction.FORWARD, payload)

        return await self._act(saga_id, by, reason, act)

    async def skip_compensation(self, saga_id: str, step: StepRef[Any] | str, /, *, by: str, reason: str) -> Answer:
        """Leave a compensation out: what the step did shall stay.

        Args:
            by, reason: who, and why; both stand in the record.
        """

        def act(binding: Binding, state: SagaState, at: float) -> OperatorsAct:
            return SkipRequested(by, reason, at, _step_of(binding.plan(state), step).name, Direction.UNDO)

        return await self._act(saga_id, by, reason, act)

    async def resolve(
        self,
        saga_id: str,
        step: StepRef[T] | str,
        outcome: Happened[T] | NotHappened,
        /,
        *,
        by: str,
        reason: str,
    ) -> Answer:
        """Say what became of a step whose outcome is not known.

        Args:
            outcome: ``Happened(output)`` or ``NotHappened()``, as a probe would say.
            by, reason: who, and why; both stand in the record.

        Raises:
            PayloadError: the output is not of the step's type.
        """

        def act(binding: Binding, state: SagaState, at: float) -> OperatorsAct:
            declared = _step_of(binding.plan(state), step)
            if isinstance(outcome, NotHappened):
                return ResolutionRequested(by, reason, at, declared.name, Resolution.NOT_HAPPENED)
            payload = binding.encode_output(declared, outcome.output, self._settings.output_limit)
            return ResolutionRequested(by, reason, at, declared.name, Resolution.HAPPENED, payload)

        return await self._act(saga_id, by, reason, act)

    async def mark_compensated(self, saga_id: str, step: StepRef[Any] | str, /, *, by: str, reason: str) -> Answer:
        """Say that what a step did was undone by hand.

        Args:
            by, reason: who, and why; both stand in the record.
        """

        def act(binding: Binding, state: SagaState, at: float) -> OperatorsAct:
            name = _step_of(binding.plan(state), step).name
            return ResolutionRequested(by, reason, at, name, Resolution.COMPENSATED)

        return await self._act(saga_id, by, reason, act)

    async def pause(self, saga_id: str, /, *, by: str, reason: str) -> Answer:
        """Begin nothing more of a saga until it is resumed; what runs is awaited.

        No deadline takes effect meanwhile; one that has passed does so when the saga is resumed.

        Args:
            by, reason: who, and why; both stand in the record.
        """
        return await self._act(saga_id, by, reason, lambda _, __, at: PauseRequested(by, reason, at))

    async def resume(self, saga_id: str, /, *, by: str, reason: str) -> Answer:
        """Let a paused saga go on.

        Args:
            by, reason: who, and why; both stand in the record.
        """
        return await self._act(saga_id, by, reason, lambda _, __, at: ResumeRequested(by, reason, at))

    async def _act(
        self, saga_id: str, by: str, reason: str, make: Callable[[Binding, SagaState, float], OperatorsAct]
    ) -> Answer:
        stored, binding = await self._bound(saga_id)
        state = _seen(binding, stored)
        act = make(binding, state, self._clock.now())
        check_act(act.kind, reason, by)
        after = decide(binding.definition, state, act)
        if after is state:
            verdict = Verdict.ALREADY if _is_so_already(state, act) else Verdict.REFUSED
            return Answer(verdict, state.status, _why_useless(state, act))
        if isinstance(act, SkipRequested | ResolutionRequested) and act.output is not None:
            check_room(binding.definition, after, self._settings.payload_limit)
        return await self._post(state, Signal(self._machine.new_id(), act), f"{in_words(act)} is recorded")

    # ------------------------------------------------------------------ both

    async def _bound(self, saga_id: str) -> tuple[Stored, Binding]:
        stored = await self._load(saga_id)
        binding = await self._bindings.find(stored.state, at_once=True)
        if binding is None:
            raise ConfigurationError(
                f"saga {saga_id!r} is a {stored.state.saga}, which this engine does not have; it could not tell what "
                f"this would do. Write Engine(sagas=[...]) with its class"
            )
        return stored, binding

    async def _post(self, state: SagaState, signal: Signal, done: str) -> Answer:
        posted = await self._store.post(state.id, signal)
        if posted.status is None:
            raise SagaNotFound(state.id)
        if not posted.accepted:
            return Answer(Verdict.REFUSED, posted.status, f"the saga is {posted.status} by now")
        await self._call_attention(state)
        return Answer(Verdict.ACCEPTED, posted.status, done)


def _seen(binding: Binding, stored: Stored) -> SagaState:
    """The saga as it will be when it has heard what waits for it."""
    waiting: list[Request] = [signal.request for signal in stored.inbox]
    return fold(binding.definition, stored.state, waiting)


def _step_of(definition: SagaDefinition, step: StepRef[Any] | str) -> StepDefinition:
    """The step of this graph that is meant.

    Raises:
        ValueError: there is none.
    """
    names = [step] if isinstance(step, str) else [step.name, *former_names(step)]
    for name in names:
        if name in definition:
            return definition[name]
    raise ValueError(f"{definition.name} has no step {names[0]!r}. {near(names[0], [s.name for s in definition])}")


def _is_so_already(state: SagaState, act: OperatorsAct) -> bool:
    """Whether what the act is for has been reached, by the same act or otherwise."""
    match act:
        case PauseRequested():
            return state.paused
        case ResumeRequested():
            return not state.paused
        case SkipRequested(direction=Direction.FORWARD):
            return state.steps[act.step].status is StepStatus.SKIPPED
        case SkipRequested() | ResolutionRequested(resolution=Resolution.COMPENSATED):
            return state.steps[act.step].status is StepStatus.COMPENSATED
        case _:
            return False


def _why_useless(state: SagaState, act: OperatorsAct) -> str:
    match act:
        case PauseRequested() if state.paused:
            return "the saga is paused already"
        case ResumeRequested():
            return "the saga is not paused"
        case RetryRequested() if state.status is not SagaStatus.FAILED:
            return f"the saga is {state.status}; only a failed one is retried"
        case SkipRequested() | ResolutionRequested():
            status = state.steps[act.step].status
            return f"the saga is {state.status}, and step {act.step!r} is {status}: there is nothing to {act.kind}"
        case _:
            return f"the saga is {state.status}: there is nothing to {act.kind}"
