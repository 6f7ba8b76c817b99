"""What users write is a value to MongoDB, never a path, an operator or an expression: by every public way in."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from sagaflow import (
    DefinitionError,
    Engine,
    Happened,
    Saga,
    SagaNotFound,
    SagaStatus,
    StepSpec,
    Verdict,
    step,
)
from sagaflow.adapters.mongo import MongoStore
from tests.e2e.diaries import SOON
from tests.e2e.stacks import QUICK
from tests.polling import until

pytestmark = pytest.mark.mongodb

# Each means something to MongoDB where it is not a value: an operator, a path, a field, a variable, a prototype.
MEANINGFUL = ["$ne", "$status", "a.b", "$$NOW", "$where", '{"$ne": null}', "inbox.0.token", "_id", "__proto__", "steps"]
NO_TEXTS: list[Any] = [{"$ne": None}, {"$gt": ""}, ["$ne"], 7, b"o-1", "", "\0", "a\0b", "\ud800", "tab\t", "x" * 201]

Ask = Callable[[Any], Awaitable[object]]

HOSTILE: dict[str, Any] = {"$ne": None, "a.b": "$status", "$where": "sleep(1000)", "": ["$$ROOT"], "$set": {"x.y": 1}}


class Plain(Saga[dict[str, Any]], name="$ne", lock="{key}"):
    """Waits for a signal and hands everything on."""

    @step(waits_for=dict[str, Any], signal="$status.a")
    async def wait(self, context: dict[str, Any]) -> None: ...

    @step
    async def end(self, context: dict[str, Any], wait: dict[str, Any]) -> list[dict[str, Any]]:
        return [context, wait]


class Decoy(Saga[str]):
    """Matches whatever an operator would match; nothing may touch it."""

    @step(waits_for=str)
    async def wait(self, context: str) -> None: ...


class Actions(Saga[str], abstract=True):
    async def nothing(self, context: str) -> None: ...


@pytest.fixture
async def store(mongo_url: str) -> AsyncIterator[MongoStore]:
    store = MongoStore.from_url(mongo_url)
    yield store
    await store.close()


@pytest.fixture
async def engine(store: MongoStore) -> AsyncIterator[Engine]:
    """An engine with a decoy, of which nothing has changed at the end."""
    async with Engine([Plain, Decoy], actions=[Actions], store=store, broker="memory://", settings=QUICK) as engine:
        await engine.start(Decoy, "decoy", id="decoy")
        yield engine
        record = await engine.get("decoy")
        assert (record.status, record.acts) == (SagaStatus.STARTED, ())


def context(key: str) -> dict[str, Any]:
    return {**HOSTILE, "key": key}


@pytest.mark.parametrize("text", MEANINGFUL)
async def test_ids_keys_tokens_and_payloads_are_kept_as_they_are(engine: Engine, store: MongoStore, text: str) -> None:
    handle = await engine.start(Plain, context(text), id=text)
    assert (await engine.start(Plain, context(text), id=text)).id == text
    holder = await engine.start(Plain, context(text), id=f"{text} waits")
    assert (await engine.get(text)).context == context(text)
    paused = await engine.pause(text, by=text, reason=text)
    resumed = await engine.resume(text, by=text, reason=text)
    first = await engine.signal(text, "$status.a", HOSTILE, token=text)
    again = await engine.signal(text, "$status.a", HOSTILE, token=text)
    assert [answer.verdict for answer in (paused, resumed, first, again)] == [
        *(3 * [Verdict.ACCEPTED]),
        Verdict.ALREADY,
    ]
    record = await handle.result(timeout=SOON)
    assert record.output(Plain.end) == [context(text), HOSTILE]
    assert [(act.by, act.reason) for act in record.acts] == 2 * [(text, text)]
    assert [saga.id for saga in (await engine.list(saga="$ne")).sagas] == [f"{text} waits", text]
    await holder.cancel(reason=text)
    assert (await holder.wait(timeout=SOON)).status is SagaStatus.COMPENSATED

    async def is_free() -> bool:
        return await store.queue(text) == ()

    await until(is_free)


async def test_an_id_that_nobody_has_finds_nobody(engine: Engine) -> None:
    for value in MEANINGFUL:
        asked: list[Ask] = [
            engine.get,
            engine.cancel,
            engine.compensate,
            lambda value: engine.complete_step(value, "wait", "x"),
            lambda value: engine.signal(value, "wait", "x"),
            lambda value: engine.pause(value, by="ops", reason="why"),
        ]
        for ask in asked:
            with pytest.raises(SagaNotFound):
                await ask(value)


async def test_what_is_no_id_is_refused_by_every_method(engine: Engine) -> None:
    for value in NO_TEXTS:
        asked: list[Ask] = [
            lambda value: engine.start(Decoy, "x", id=value),
            lambda value: engine.start_steps("made", [StepSpec(name="one", action="nothing")], "x", id=value),
            engine.get,
            engine.cancel,
            engine.compensate,
            lambda value: engine.complete_step(value, "wait", "x"),
            lambda value: engine.fail_step(value, "wait", "x"),
            lambda value: engine.signal(value, "wait", "x"),
            lambda value: engine.retry(value, by="ops", reason="why"),
            lambda value: engine.skip(value, "wait", by="ops", reason="why"),
            lambda value: engine.skip_compensation(value, "wait", by="ops", reason="why"),
            lambda value: engine.resolve(value, "wait", Happened("x"), by="ops", reason="why"),
            lambda value: engine.mark_compensated(value, "wait", by="ops", reason="why"),
            lambda value: engine.pause(value, by="ops", reason="why"),
            lambda value: engine.resume(value, by="ops", reason="why"),
        ]
        for ask in asked:
            with pytest.raises(ValueError, match="is no id of a saga"):
                await ask(value)
        with pytest.raises(ValueError, match="is no id of a saga"):
            engine.handle(Decoy, value)


async def test_tokens_and_names_of_people_are_texts(engine: Engine) -> None:
    for value in NO_TEXTS:
        asked: list[Ask] = [
            lambda value: engine.complete_step("decoy", "wait", "x", token=value),
            lambda value: engine.fail_step("decoy", "wait", "x", token=value),
            lambda value: engine.signal("decoy", "wait", "x", token=value),
            lambda value: engine.pause("decoy", by=value, reason="why"),
        ]
        if value != "":
            asked += [
                lambda value: engine.cancel("decoy", by=value),
                lambda value: engine.compensate("decoy", by=value),
            ]
        for ask in asked:
            with pytest.raises(ValueError, match="write a printable str"):
                await ask(value)


async def test_a_reason_is_a_text(engine: Engine) -> None:
    values: list[Any] = [{"$ne": None}, ["$ne"], 7, None, "\ud800"]
    for value in values:
        asked: list[Ask] = [
            lambda value: engine.cancel("decoy", reason=value),
            lambda value: engine.compensate("decoy", reason=value),
            lambda value: engine.pause("decoy", by="ops", reason=value),
        ]
        for ask in asked:
            with pytest.raises(ValueError, match=r"a reason is a str|surrogate"):
                await ask(value)


async def test_a_signal_or_a_step_that_nobody_declared_is_refused(engine: Engine) -> None:
    values: list[Any] = [*MEANINGFUL, {"$ne": None}, ["$ne"], 7]
    for value in values:
        with pytest.raises((ValueError, TypeError)):
            await engine.signal("decoy", value, "x")
        with pytest.raises((ValueError, TypeError, AttributeError)):
            await engine.complete_step("decoy", value, "x")


async def test_what_is_no_key_of_a_lock_is_refused(engine: Engine) -> None:
    for key in ["\ud800", "", "x" * 501]:
        with pytest.raises(ValueError, match=r"lock=|surrogate"):
            await engine.start(Plain, {"key": key})


async def test_the_name_of_a_step_made_of_data_is_no_path_and_no_operator(engine: Engine) -> None:
    for name in [*MEANINGFUL, "\0", "a\0b", "\ud800", ""]:
        steps = [StepSpec(name=name, action="nothing")]
        if name == "steps":
            record = await (await engine.start_steps("made", steps, "x")).result(timeout=SOON)
            assert list(record.steps) == [name]
        else:
            with pytest.raises((DefinitionError, ValueError)):
                await engine.start_steps("made", steps, "x")


async def test_a_saga_made_of_data_is_found_by_its_name_alone(engine: Engine) -> None:
    for name in MEANINGFUL:
        handle = await engine.start_steps(name, [StepSpec(name="one", action="nothing")], "x", id=f"is {name}")
        assert (await handle.result(timeout=SOON)).name == name
        assert [saga.id for saga in (await engine.list(saga=name)).sagas] == [handle.id]


async def test_a_saga_made_of_data_has_a_text_for_its_name(engine: Engine) -> None:
    for value in NO_TEXTS:
        with pytest.raises(ValueError, match="name="):
            await engine.start_steps(value, [StepSpec(name="one", action="nothing")], "x")


LISTINGS: list[dict[str, Any]] = [
    {"saga": {"$ne": None}},
    {"saga": ["$ne"]},
    {"saga": "\ud800"},
    {"statuses": [{"$ne": None}]},
    {"statuses": ["$ne"]},
    {"limit": {"$gt": 0}},
    {"limit": 0},
    {"cursor": {"$gt": ""}},
    {"cursor": "$ne"},
    {"cursor": "\ud800"},
    {"cursor": base64.b64encode(msgspec.json.encode([{"$gt": 0}, {"$gt": ""}])).decode()},
    {"cursor": base64.b64encode(b'[0, {"$gt": ""}]').decode()},
    {"cursor": base64.b64encode(b'[0, "\\ud800"]').decode()},
]


async def test_a_listing_takes_no_operators(engine: Engine) -> None:
    for filters in LISTINGS:
        with pytest.raises((ValueError, TypeError, AttributeError)):
            await engine.list(**filters)


async def test_a_listing_by_a_name_that_no_saga_has_is_empty(engine: Engine) -> None:
    for name in [*MEANINGFUL, "decoy", "\0"]:
        assert (await engine.list(saga=name)).sagas == ()
