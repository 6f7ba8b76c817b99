"""The API starts, shows, lists and answers sagas, and says what is wrong and what to write instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sagaflow import Engine, SagaRecord
from tests.web.conftest import NewClient
from tests.web.sagas import Book, Letter, Order, Payment, Post, Sell, Trip

ADA = {"customer": "ada", "cents": 9_900}
DEEP = b'{"saga":"Sell","context":' + b"[" * 500 + b"]" * 500 + b"}"
WHO: dict[str, Any] = {"by": "grace", "reason": "the customer has called"}


async def until(engine: Engine, saga_id: str, holds: Callable[[SagaRecord[Any]], bool]) -> SagaRecord[Any]:
    """The first state of the saga of which this holds."""
    async for record in engine.watch(saga_id):
        if holds(record):
            return record
    raise AssertionError(f"saga {saga_id} has ended before")


def waits(record: SagaRecord[Any]) -> bool:
    return bool(record.waits_for)


async def test_a_saga_is_started_with_its_context_and_can_be_looked_at(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    made = await client.post("/api/sagas", json={"saga": "Sell", "context": ADA, "id": "o/1 ä"})
    assert made.status_code == 201
    assert made.json() == {"id": "o/1 ä"}
    record = await until(engine, "o/1 ä", waits)
    assert record.context == Order("ada", 9_900)
    shown = (await client.get("/api/saga", params={"id": "o/1 ä"})).json()
    assert shown["saga"]["summary"]["status"] == "started"
    assert shown["saga"]["context"] == {**ADA, "card": ""}
    assert [step["name"] for step in shown["saga"]["steps"]] == ["reserve", "pay", "send"]
    assert any("waits for an answer from outside" in wait["text"] for wait in shown["waits"])
    assert shown["is_known"] is True
    assert "compensate" in shown["accepts"]


async def test_starting_twice_is_as_once_and_another_context_is_refused(client: httpx.AsyncClient) -> None:
    order = {"saga": "Sell", "context": ADA, "id": "o-1"}
    assert (await client.post("/api/sagas", json=order)).status_code == 201
    assert (await client.post("/api/sagas", json=order)).status_code == 201
    other = await client.post("/api/sagas", json={**order, "context": {"customer": "bob"}})
    assert other.status_code == 409
    assert other.json()["type"] == "urn:sagaflow:problem:saga-exists"


async def test_a_saga_is_started_with_tags_and_found_by_them(client: httpx.AsyncClient, engine: Engine) -> None:
    for saga_id, tags in {"o-1": ["vip", "channel:web", "vip"], "o-2": ["vip"], "o-3": []}.items():
        order = {"saga": "Sell", "context": ADA, "id": saga_id, "tags": tags}
        assert (await client.post("/api/sagas", json=order)).status_code == 201
        await until(engine, saga_id, waits)

    async def found(**filters: Any) -> list[str]:
        return [saga["id"] for saga in (await client.get("/api/sagas", params=filters)).json()["sagas"]]

    assert await found(tag="vip") == ["o-2", "o-1"]
    assert await found(tag=["channel:web", "vip"]) == ["o-1"]
    assert await found(tag="vip", status="completed") == []
    assert await found(tag="vip", search="o-") == ["o-1", "o-2"]
    shown = (await client.get("/api/saga", params={"id": "o-1"})).json()
    assert shown["saga"]["summary"]["tags"] == ["vip", "channel:web"]


async def test_what_can_be_no_tag_is_refused_with_the_rule(client: httpx.AsyncClient) -> None:
    order = {"saga": "Sell", "context": ADA, "tags": ["very important"]}
    for said in (await client.post("/api/sagas", json=order), await client.get("/api/sagas", params={"tag": "a,b"})):
        assert (said.status_code, said.json()["type"]) == (422, "urn:sagaflow:problem:arguments")
        assert (
            "is no tag: write a printable str of 1 to 64 characters without spaces and commas" in said.json()["detail"]
        )


async def test_a_saga_can_begin_later(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/sagas", json={"saga": "Sell", "context": ADA, "delay": 3_600})
    shown = (await client.get("/api/saga", params=made.json())).json()
    assert shown["saga"]["summary"]["status"] == "scheduled"


async def test_contexts_of_dataclasses_and_attrs_are_made_of_json(client: httpx.AsyncClient, engine: Engine) -> None:
    for saga, context, made in (
        ("Post", {"to": "Rome"}, Post.__name__),
        ("Book", {"place": "Rome", "nights": [1, 2]}, Book.__name__),
    ):
        started = await client.post("/api/sagas", json={"saga": saga, "context": context, "id": made})
        assert started.status_code == 201
    record = await engine.handle(Book, "Book").result()
    assert record.context == Trip("Rome", [1, 2])
    assert record.output(Book.room) == ["Rome 1", "Rome 2"]


async def test_a_step_that_waits_is_answered_exactly(client: httpx.AsyncClient, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    body = '{"step":"pay","output":{"reference":"tx","amount":"10.10"},"token":"hook-1"}'
    said = await client.post("/api/saga/complete-step", params={"id": "o-1"}, content=body)
    assert said.status_code == 202
    assert said.json()["verdict"] == "accepted"
    again = await client.post("/api/saga/complete-step", params={"id": "o-1"}, content=body)
    assert again.status_code in (200, 202)
    record = await engine.handle(Sell, "o-1").result()
    assert record.output(Sell.send) == "ada paid 10.10"


async def test_a_signal_and_a_refusal_reach_the_step(client: httpx.AsyncClient, engine: Engine) -> None:
    for saga_id in "o-1", "o-2":
        await engine.start(Sell, Order("ada"), id=saga_id)
        await until(engine, saga_id, waits)
    signal = {"signal": "pay", "output": {"reference": "tx", "amount": "5"}}
    assert (await client.post("/api/saga/signal", params={"id": "o-1"}, json=signal)).status_code == 202
    refusal = {"step": "pay", "error": "the card was stolen"}
    assert (await client.post("/api/saga/fail-step", params={"id": "o-2"}, json=refusal)).status_code == 202
    assert (await engine.handle(Sell, "o-1").wait()).output(Sell.pay) == Payment("tx", Decimal(5))
    assert (await engine.handle(Sell, "o-2").wait()).is_compensated


async def test_an_act_is_in_the_record_with_who_when_and_why(client: httpx.AsyncClient, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    await until(engine, "o-1", waits)
    plan = (await client.get("/api/saga/plan", params={"id": "o-1", "act": "cancel"})).json()
    assert plan["verdict"] == "accepted"
    assert [[undo["step"] for undo in wave] for wave in plan["waves"]] == [["pay"], ["reserve"]]
    said = await client.post("/api/saga/cancel", params={"id": "o-1"}, json=WHO)
    assert said.status_code == 202
    record = await engine.handle(Sell, "o-1").wait()
    assert record.is_compensated
    (act,) = record.acts
    assert (act.what, act.by, act.reason) == ("cancel", "grace", "the customer has called")
    shown = (await client.get("/api/saga", params={"id": "o-1"})).json()
    assert shown["saga"]["acts"][0]["by"] == "grace"
    again = await client.post("/api/saga/cancel", params={"id": "o-1"}, json=WHO)
    assert (again.status_code, again.json()["verdict"]) == (200, "already")


async def test_a_failed_saga_is_brought_to_its_end_by_the_acts_of_an_operator(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    async def act(name: str, **more: object) -> httpx.Response:
        return await client.post(f"/api/saga/{name}", params={"id": "p-1"}, json={**WHO, **more})

    handle = await engine.start(Post, Letter("Rome"), id="p-1")
    assert (await handle.wait()).is_failed
    refused = await act("compensate")
    assert refused.status_code == 409
    assert refused.json()["verdict"] == "refused"
    assert refused.json()["saga_status"] == "failed"
    assert (await act("retry", step="stamp")).status_code == 202
    assert (await handle.wait()).is_failed
    assert (await act("mark-compensated", step="stamp")).status_code == 202
    record = await handle.wait()
    assert record.is_compensated
    assert {act.by for act in record.acts} == {"grace"}


async def test_a_saga_is_paused_and_resumed_and_a_step_left_out(client: httpx.AsyncClient, engine: Engine) -> None:
    async def act(name: str, **more: object) -> httpx.Response:
        return await client.post(f"/api/saga/{name}", params={"id": "o-1"}, json={**WHO, **more})

    handle = await engine.start(Sell, Order("ada"), id="o-1")
    await until(engine, "o-1", waits)
    assert (await act("pause")).status_code == 202
    await until(engine, "o-1", lambda record: record.is_paused)
    assert (await act("skip", step="pay")).status_code == 422  # a later step takes its output
    assert (await act("skip", step="send", output="by hand")).status_code == 202
    assert (await act("resume")).status_code == 202
    await engine.complete_step("o-1", Sell.pay, Payment("cash", Decimal(1)))
    record = await handle.result()
    assert (record.steps["send"].status, record.output(Sell.send)) == ("skipped", "by hand")


async def test_what_became_of_a_step_is_told(client: httpx.AsyncClient, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    await until(engine, "o-1", waits)
    wrong = {**WHO, "step": "pay", "happened": False, "output": {}}
    said = await client.post("/api/saga/resolve", params={"id": "o-1"}, json=wrong)
    assert (said.status_code, said.json()["detail"]) == (422, "what has not happened has no output")
    said = await client.post(
        "/api/saga/resolve",
        params={"id": "o-1"},
        json={**WHO, "step": "pay", "happened": True, "output": {"reference": "x", "amount": "1"}},
    )
    assert said.status_code == 409
    assert "nothing to resolve" in said.json()["detail"]
    said = await client.post("/api/saga/skip-compensation", params={"id": "o-1"}, json={**WHO, "step": "reserve"})
    assert said.status_code == 409


async def test_sagas_are_listed_by_filters_a_page_at_a_time(client: httpx.AsyncClient, engine: Engine) -> None:
    for number in range(7):
        await engine.start(Book, Trip("Rome"), id=f"trip-{number}")
        await engine.handle(Book, f"trip-{number}").wait()
    await engine.start(Sell, Order("ada"), id="o-1")

    async def ids(**filters: Any) -> list[str]:
        return [saga["id"] for saga in (await client.get("/api/sagas", params=filters)).json()["sagas"]]

    assert await ids(saga="Sell") == ["o-1"]
    assert len(await ids(status="completed")) == 7
    assert len(await ids(status=["completed", "started"], saga=["Sell", "Book"])) == 8
    assert await ids(search="trip-3") == ["trip-3"]
    assert sorted(await ids(search="trip-")) == [f"trip-{number}" for number in range(7)]
    assert await ids(search="trip-", status="failed") == []
    assert await ids(older_than=3_600) == []
    found: list[str] = []
    wanted: dict[str, str | int] | None = {"saga": "Book", "limit": 3}
    while wanted is not None:
        page = (await client.get("/api/sagas", params=wanted)).json()
        found += [saga["id"] for saga in page["sagas"]]
        wanted = {**wanted, "cursor": page["cursor"]} if page["cursor"] is not None else None
    assert found == [f"trip-{number}" for number in reversed(range(7))]


async def test_the_overview_counts_and_shows_what_needs_somebody(client: httpx.AsyncClient, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="waits")
    await until(engine, "waits", waits)
    await (await engine.start(Book, Trip("Rome"), id="done")).wait()
    await (await engine.start(Post, Letter("Rome"), id="stuck")).wait()
    shown = (await client.get("/api/overview", params={"span": "day"})).json()
    totals = {status: count for status, count in shown["totals"].items() if count}
    assert totals == {"started": 1, "completed": 1, "failed": 1}
    assert {"saga": "Book", "statuses": {"completed": 1}} in shown["sagas"]
    assert sum(shown["chart"]["ends"]["completed"]) == 1
    assert sum(shown["chart"]["ends"]["failed"]) == 1
    assert [one["saga"]["id"] for one in shown["oldest"]] == ["waits"]
    assert [one["saga"]["id"] for one in shown["failed"]] == ["stuck"]
    assert "somebody must look at it" in shown["failed"][0]["next"]


async def test_whoever_waits_for_news_hears_of_the_next_change(client: httpx.AsyncClient, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    record = await until(engine, "o-1", waits)
    now: dict[str, Any] = {"id": "o-1", "after": record.revision}
    assert (await client.get("/api/saga", params={**now, "wait": 0.05})).status_code == 204
    news = asyncio.create_task(client.get("/api/saga", params=now))
    await asyncio.sleep(0)
    await engine.pause("o-1", by="grace", reason="stock-taking")
    assert (await news).json()["saga"]["summary"]["is_paused"] is True


async def test_a_saga_is_drawn(client: httpx.AsyncClient, engine: Engine) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    await until(engine, "o-1", waits)
    drawn = await client.get("/api/saga/graph", params={"id": "o-1"})
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert 'data-step="reserve" data-status="completed"' in drawn.text


async def test_health_and_readiness_tell_whether_and_nothing_more(engine: Engine, new_client: NewClient) -> None:
    stranger = new_client(base="http://pod-7.cluster.example", peer="10.0.0.7", headers={})
    for path in "/health", "/ready":
        said = await stranger.get(path)
        assert (said.status_code, said.json()) == (200, {"ok": True})
    await engine.close()
    assert (await stranger.get("/ready")).status_code == 503
    assert (await stranger.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind", "says"),
    [
        ("GET", "/api/saga?id=none", None, 404, "no-such-saga", "There is no saga 'none'"),
        ("GET", "/api/saga?id=", None, 422, "arguments", "is no id of a saga"),
        ("GET", "/api/saga", None, 400, "request", "id"),
        ("GET", "/api/nothing", None, 404, "no-such-page", "nothing here"),
        ("DELETE", "/api/sagas", None, 405, "method", "by this method"),
        ("GET", "/api/sagas?status=wrong", None, 422, "arguments", "wrong"),
        ("GET", "/api/sagas?limit=1000", None, 422, "arguments", "limit"),
        ("GET", "/api/sagas?cursor=x", None, 422, "arguments", "cursor"),
        ("POST", "/api/sagas", b"{", 400, "no-json", "no JSON"),
        ("POST", "/api/sagas", b'{"saga":"Sell","context":' + b"[" * 100_000, 400, "no-json", "no JSON"),
        ("POST", "/api/sagas", DEEP, 422, "payload", "nested more than"),
        ("POST", "/api/sagas", b'{"saga":"Sel","context":{}}', 422, "no-such-class", "'Sel'"),
        ("POST", "/api/sagas", b'{"saga":"Sell","context":{"customer":1}}', 422, "payload", "$.customer"),
        ("POST", "/api/sagas", b'{"saga":"Sell","context":{},"idd":"x"}', 422, "body", "idd"),
        ("POST", "/api/sagas", b'{"saga":"Sell","context":{"customer":"a"},"id":""}', 422, "arguments", "no id"),
        ("POST", "/api/sagas", b'{"saga":"Sell","context":{"customer":"a"},"delay":1e300}', 422, "arguments", ""),
        ("POST", "/api/saga/pause?id=none", b'{"by":"a","reason":"b"}', 404, "no-such-saga", "'none'"),
        ("POST", "/api/saga/pause?id=o-1", b'{"reason":"b"}', 422, "by", "'by' is empty"),
        ("POST", "/api/saga/pause?id=o-1", b'{"by":"a","reason":" "}', 422, "no-reason", "'reason' is empty"),
        ("POST", "/api/saga/skip?id=o-1", b'{"by":"a","reason":"b","step":"x"}', 422, "arguments", "no step 'x'"),
        ("POST", "/api/saga/complete-step?id=o-1", b'{"step":"pay","output":1}', 422, "payload", "Payment"),
        ("POST", "/api/saga/complete-step?id=o-1", b'{"step":"send","output":1}', 422, "", "str"),
        ("POST", "/api/saga/signal?id=o-1", b'{"signal":"pai","output":1}', 422, "arguments", "'pay'"),
    ],
)
async def test_what_is_wrong_is_said_as_problem_details(
    client: httpx.AsyncClient,
    engine: Engine,
    method: str,
    path: str,
    body: bytes | None,
    status: int,
    kind: str,
    says: str,
) -> None:
    await engine.start(Sell, Order("ada"), id="o-1")
    answer = await client.request(method, path, content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith(f"urn:sagaflow:problem:{kind}")
    assert says in problem["detail"] + problem.get("remedy", "")


async def test_a_fault_of_the_program_is_not_shown_to_clients(
    client: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> Awaitable[None]:
        raise RuntimeError("the password is 4711")

    monkeypatch.setattr(engine, "tally", broken)
    answer = await client.get("/api/overview")
    assert answer.status_code == 500
    assert "4711" not in answer.text
    assert "/api/overview failed" in caplog.text
    monkeypatch.undo()
    assert (await client.get("/api/overview")).status_code == 200


async def test_the_description_of_the_api_has_the_types_of_the_sagas(client: httpx.AsyncClient) -> None:
    described = (await client.get("/api/openapi.json")).json()
    schemas = described["components"]["schemas"]
    start = described["paths"]["/api/sagas"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {one["$ref"] for one in start["oneOf"]} == {
        f"#/components/schemas/Start.{name}" for name in ("Sell", "Post", "Book")
    }
    assert schemas["Start.Sell"]["properties"]["context"] == {"$ref": "#/components/schemas/Sell.Order"}
    assert schemas["Sell.Order"]["properties"]["customer"] == {"type": "string"}
    assert schemas["Post.Letter"]["required"] == ["to"]
    assert schemas["Book.Trip"]["properties"]["nights"]["type"] == "array"
    retry = described["paths"]["/api/saga/retry"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schemas[retry["$ref"].rpartition("/")[2]]["properties"]) == {"reason", "by", "step", "new_key"}
    problem = described["paths"]["/api/saga"]["get"]["responses"]["default"]["content"]["application/problem+json"]
    assert problem["schema"] == {"$ref": "#/components/schemas/ProblemData"}
    refs = set(_refs(described))
    assert refs <= {f"#/components/schemas/{name}" for name in schemas}


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for one in value.values() for ref in _refs(one)]
    return [ref for one in value for ref in _refs(one)] if isinstance(value, list) else []


async def test_the_classes_that_can_be_started_come_with_an_example(client: httpx.AsyncClient) -> None:
    types = {one["name"]: one for one in (await client.get("/api/types")).json()}
    assert types["Sell"]["doc"].startswith("Sell one order.")
    assert types["Sell"]["example"] == {"customer": ""}
    assert types["Sell"]["signals"] == ["pay"]
    assert types["Book"]["steps"] == ["room"]
