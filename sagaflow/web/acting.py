"""The part of the API that changes something: sagas are started, answered, and told what to do. POST alone does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromQuery
from msgspec import Raw, UnsetType

from ..answer import Answer, Verdict
from ..engine.engine import Engine
from ..engine.urls import default_codec
from ..errors import PayloadError, near
from ..probing import Happened, NotHappened
from ..record import SagaRecord
from ..views import AnswerData, answer_data
from .access import Visitor
from .bodies import (
    Act,
    ResolveAct,
    RetryAct,
    SignalAnswer,
    SkipAct,
    Start,
    Started,
    StepAct,
    StepAnswer,
    StepRefusal,
    read,
)
from .problems import Problem, refused

A = TypeVar("A", bound=Act)

_JSON: Final = default_codec()
"""Reads what comes from outside, however the engine writes what it keeps."""


class Acting:
    """The handlers that act on an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handlers(self) -> list[HTTPRouteHandler]:
        """All of them."""
        return [self._start(), *self._answers(), *self._acts(), *self._acts_on_steps()]

    # ------------------------------------------------------------------ starting

    def _start(self) -> HTTPRouteHandler:
        @post("/api/sagas", summary="Start a saga", opt={"body": Start}, operation_id="start", status_code=201)
        async def start(request: Request[Any, Any, Any]) -> Response[Started]:
            """Start a saga. It has begun for certain when this returns; with an id, it can be asked for again."""
            asked = read(await request.body(), Start)
            saga = self._engine.sagas.get(asked.saga)
            if saga is None:
                hint = near(asked.saga, self._engine.sagas)
                raise Problem(422, "no-such-class", f"this engine has no saga called {asked.saga!r}", hint)
            context: Any = _JSON.decode(_text(asked.context), self._engine.types_of(saga).context)
            with _said():
                delay = timedelta(seconds=asked.delay) if asked.delay is not None else None
                handle = await self._engine.start(saga, context, id=asked.id, delay=delay, tags=asked.tags)
            return Response(Started(handle.id), status_code=201)

        return start

    # ------------------------------------------------------------------ the outside

    def _answers(self) -> list[HTTPRouteHandler]:
        engine = self._engine

        async def complete(saga_id: str, given: StepAnswer) -> Answer:
            kind = (await engine.get(saga_id)).output_type(given.step)
            return await engine.complete_step(saga_id, given.step, _output(given.output, kind), token=given.token)

        async def fail(saga_id: str, given: StepRefusal) -> Answer:
            return await engine.fail_step(saga_id, given.step, given.error, token=given.token)

        async def signal(saga_id: str, given: SignalAnswer) -> Answer:
            kind = _heard(await engine.get(saga_id), given.signal)
            return await engine.signal(saga_id, given.signal, _output(given.output, kind), token=given.token)

        return [
            _handler("complete-step", "Answer a step: what it waits for has happened", StepAnswer, complete),
            _handler("fail-step", "Answer a step: what it waits for will not happen", StepRefusal, fail),
            _handler("signal", "Answer all steps that listen to a signal", SignalAnswer, signal),
        ]

    # ------------------------------------------------------------------ operators

    def _acts(self) -> list[HTTPRouteHandler]:
        engine = self._engine

        async def cancel(saga_id: str, act: Act, by: str) -> Answer:
            return await engine.cancel(saga_id, reason=act.reason, by=by)

        async def compensate(saga_id: str, act: Act, by: str) -> Answer:
            return await engine.compensate(saga_id, reason=act.reason, by=by)

        async def pause(saga_id: str, act: Act, by: str) -> Answer:
            return await engine.pause(saga_id, reason=act.reason, by=by)

        async def resume(saga_id: str, act: Act, by: str) -> Answer:
            return await engine.resume(saga_id, reason=act.reason, by=by)

        return [
            _act("cancel", "Stop a saga that runs, and undo what it did", Act, cancel),
            _act("compensate", "Undo a saga, whether it runs or has completed", Act, compensate),
            _act("pause", "Begin nothing more of a saga", Act, pause),
            _act("resume", "Let a paused saga go on", Act, resume),
        ]

    def _acts_on_steps(self) -> list[HTTPRouteHandler]:
        engine = self._engine

        async def retry(saga_id: str, act: RetryAct, by: str) -> Answer:
            return await engine.retry(saga_id, step=act.step, new_key=act.new_key, reason=act.reason, by=by)

        async def skip(saga_id: str, act: SkipAct, by: str) -> Answer:
            given: dict[str, Any] = {}
            if not isinstance(act.output, UnsetType):
                given["output"] = _output(act.output, (await engine.get(saga_id)).output_type(act.step))
            return await engine.skip(saga_id, act.step, reason=act.reason, by=by, **given)

        async def skip_compensation(saga_id: str, act: StepAct, by: str) -> Answer:
            return await engine.skip_compensation(saga_id, act.step, reason=act.reason, by=by)

        async def mark_compensated(saga_id: str, act: StepAct, by: str) -> Answer:
            return await engine.mark_compensated(saga_id, act.step, reason=act.reason, by=by)

        async def resolve(saga_id: str, act: ResolveAct, by: str) -> Answer:
            outcome: Happened[Any] | NotHappened = NotHappened()
            if act.happened:
                raw = act.output
                kind = (await engine.get(saga_id)).output_type(act.step)
                outcome = Happened(None if isinstance(raw, UnsetType) else _output(raw, kind))
            elif not isinstance(act.output, UnsetType):
                raise Problem(422, "body", "what has not happened has no output", "Leave 'output' out.")
            return await engine.resolve(saga_id, act.step, outcome, reason=act.reason, by=by)

        return [
            _act("retry", "Let a failed saga try again", RetryAct, retry),
            _act("skip", "Leave a step out", SkipAct, skip),
            _act("skip-compensation", "Leave a compensation out", StepAct, skip_compensation),
            _act("mark-compensated", "Say that a step was undone by hand", StepAct, mark_compensated),
            _act("resolve", "Say what became of a step", ResolveAct, resolve),
        ]


def _act(name: str, summary: str, kind: type[A], work: Callable[[str, A, str], Awaitable[Answer]]) -> HTTPRouteHandler:
    """The handler of an operator's act, which leaves who and why in the record."""

    async def done(saga_id: str, act: A, visitor: Visitor) -> Answer:
        if not act.reason.strip():
            raise Problem(422, "no-reason", "'reason' is empty", "Write why, for those who read the record later.")
        return await work(saga_id, act, _who(act.by, visitor))

    return _handler_for(name, summary, kind, done)


def _handler(
    name: str, summary: str, kind: type[Any], work: Callable[[str, Any], Awaitable[Answer]]
) -> HTTPRouteHandler:
    """The handler of an answer from outside."""
    return _handler_for(name, summary, kind, lambda saga_id, given, _: work(saga_id, given))


def _handler_for(
    name: str, summary: str, kind: type[Any], work: Callable[[str, Any, Visitor], Awaitable[Answer]]
) -> HTTPRouteHandler:
    @post(
        f"/api/saga/{name}",
        summary=summary,
        description="202: it is recorded, and will be done; 200: it is so already; 409: it was refused, and why.",
        opt={"body": kind},
        operation_id=name,
        status_code=202,
    )
    async def handler(request: Request[Any, Any, Any], id: FromQuery[str]) -> Response[AnswerData]:
        given = read(await request.body(), kind)
        with _said():
            answer = await work(id, given, request.scope["user"])
        if answer.verdict is Verdict.REFUSED:
            raise refused(answer)
        data = answer_data(answer.verdict, answer.status, answer.why)
        return Response(data, status_code=202 if answer.is_accepted else 200)

    return handler


def _who(by: str, visitor: Visitor) -> str:
    """Whose act it is."""
    if visitor.name is not None:
        if by not in ("", visitor.name):
            raise Problem(422, "by", f"you are signed in as {visitor.name!r}, and act as {by!r}", "Leave 'by' out.")
        return visitor.name
    if not by.strip():
        raise Problem(422, "by", "'by' is empty", "Write who you are, for those who read the record later.")
    return by


def _heard(record: SagaRecord[Any], signal: str) -> Any:
    """The type of what a signal brings."""
    steps = record.definition or ()
    return next((record.output_type(step.name) for step in steps if step.signal == signal), Any)


def _output(raw: Raw, kind: Any) -> Any:
    return _JSON.decode(_text(raw), kind)


def _text(raw: Raw) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError:
        raise PayloadError("a payload is no UTF-8") from None


@contextmanager
def _said() -> Generator[None, None, None]:
    """An argument that the engine refuses is the client's affair."""
    try:
        yield
    except PayloadError:
        raise
    except (ValueError, OverflowError) as error:
        if type(error) in (ValueError, OverflowError):
            raise Problem(422, "arguments", str(error)) from None
        raise
