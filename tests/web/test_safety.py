"""Nobody comes in, looks or acts who may not; and no page of somebody else's acts for those who may."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from sagaflow import ConfigurationError, Engine
from sagaflow.web import app, serve
from sagaflow.web.access import COOKIE, Access, Connection
from tests.web.conftest import TOKEN, NewClient
from tests.web.sagas import Letter, Order, Post, Sell

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAUSE = {"by": "grace", "reason": "stock-taking"}
STATIC = Path(__file__).parents[2] / "sagaflow" / "web" / "static"


async def pause(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await client.post("/api/saga/pause", params={"id": "o-1"}, json=PAUSE, headers=headers)


def routes_of(engine: Engine) -> list[HTTPRoute]:
    return [route for route in cast("Litestar", app(engine)).routes if isinstance(route, HTTPRoute)]


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


@pytest.fixture(autouse=True)
async def order(engine: Engine) -> None:
    await engine.start(Sell, Order("ada", 9_900, "4111"), id="o-1")


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("path", ["/", "/api/me", "/api/sagas", "/api/saga?id=o-1", "/static/app.js"])
async def test_without_a_token_only_this_machine_may_ask(new_client: NewClient, path: str) -> None:
    assert (await new_client().get(path)).status_code == 200
    for other in (
        new_client(peer="10.0.0.7"),
        new_client(headers={"X-Forwarded-For": "10.0.0.7"}),
        new_client(headers={"Forwarded": "for=10.0.0.7"}),
    ):
        answer = await other.get(path)
        assert (answer.status_code, kind(answer)) == (403, "loopback-only")
        assert "token=" in answer.json()["remedy"]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "["])
async def test_a_name_that_was_let_point_to_this_machine_gets_nothing(new_client: NewClient, host: str) -> None:
    for path in "/", "/api/sagas":
        answer = await new_client(headers={"Host": host}).get(path)
        assert (answer.status_code, kind(answer)) == (421, "host")


@pytest.mark.parametrize("host", ["localhost:8400", "127.0.0.1", "[::1]:8400", "LOCALHOST"])
async def test_this_machine_is_known_by_its_own_names(new_client: NewClient, host: str) -> None:
    assert (await new_client(headers={"Host": host}).get("/api/sagas")).status_code == 200


async def test_with_a_token_whoever_has_it_may_come_in_from_anywhere_and_nobody_else(new_client: NewClient) -> None:
    client = new_client(token=TOKEN, peer="10.0.0.7", base="https://ops.example")
    assert (await client.get("/api/sagas", headers=BEARER)).status_code == 200
    assert (await client.get("/")).status_code == 200  # the page holds no data, and asks for the token
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"{COOKIE}=x"},
    ):
        answer = await client.get("/api/sagas", headers=headers)
        assert (answer.status_code, kind(answer)) == (401, "sign-in")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["way_in"] == "token"


async def test_the_token_is_exchanged_for_a_cookie_that_no_script_reads_and_no_other_site_sends(
    new_client: NewClient,
) -> None:
    client = new_client(token=TOKEN, peer="10.0.0.7", base="https://ops.example")
    wrong = await client.post("/api/sign-in", json={"token": "something-else-as-long"})
    assert (wrong.status_code, kind(wrong)) == (401, "wrong-token")
    assert "set-cookie" not in wrong.headers
    answer = await client.post("/api/sign-in", json={"token": TOKEN})
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(re.split("; ", cookie))
    assert (await client.get("/api/me")).json()["way_in"] == "token"
    assert (await pause(client)).status_code == 202
    await client.post("/api/sign-out")
    assert (await client.get("/api/me")).status_code == 401


async def test_a_session_ends_and_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(TOKEN)
    session = access.new_session()
    until, _, signature = session.partition(".")
    assert access._is_session(session)
    assert not access._is_session(f"{int(until, 16) + 1:x}.{signature}")
    assert not Access(TOKEN + "x")._is_session(session)
    assert not access._is_session("")
    later = datetime.now(UTC) + timedelta(hours=13)
    monkeypatch.setattr("time.time", later.timestamp)
    assert not access._is_session(session)


async def test_a_function_of_ones_own_says_who_it_is_and_nobody_acts_under_another_name(
    new_client: NewClient, engine: Engine
) -> None:
    async def who(connection: Connection) -> str | None:
        return connection.headers.get("x-user")

    client = new_client(authenticate=who, peer="10.0.0.7", base="https://ops.example")
    assert (await client.get("/api/sagas")).status_code == 401
    assert (await client.get("/api/me", headers={"X-User": "ada"})).json()["name"] == "ada"
    wrong = await pause(client, **{"X-User": "ada"})
    assert (wrong.status_code, kind(wrong)) == (422, "by")
    answer = await client.post(
        "/api/saga/pause", params={"id": "o-1"}, json={"reason": "stock-taking"}, headers={"X-User": "ada"}
    )
    assert answer.status_code == 202
    async for record in engine.watch("o-1"):
        if record.acts:
            assert (record.acts[0].by, record.acts[0].reason) == ("ada", "stock-taking")
            break


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"token": "short"}, "can be guessed"),
        ({"token": TOKEN, "authenticate": lambda _: None}, "two ways in"),
    ],
)
def test_a_way_in_that_is_none_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        app(Engine(sagas=[Sell], store="memory://", broker="memory://"), **settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
async def test_nothing_but_this_machine_is_served_without_a_way_to_tell_who_comes(
    host: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAGAFLOW_WEB_TOKEN", raising=False)
    with pytest.raises(ConfigurationError, match=r"others than this machine could come in.*token="):
        await serve(engine, host=host)


# ---------------------------------------------------------------- pages of somebody else's


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:3000"},  # another program of this machine
        {"Origin": "http://localhost"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_no_page_elsewhere_can_act(new_client: NewClient, engine: Engine, headers: dict[str, str]) -> None:
    for client in new_client(), new_client(token=TOKEN, headers={**BEARER, "X-Requested-With": "x"}):
        answer = await pause(client, **headers)
        assert (answer.status_code, kind(answer)) == (403, "cross-site")
    assert not (await engine.get("o-1")).is_paused


async def test_a_form_elsewhere_cannot_act_even_for_a_browser_that_says_nothing_of_its_origin(
    new_client: NewClient,
) -> None:
    client = new_client(headers={"Content-Type": "text/plain"})
    answer = await pause(client)
    assert (answer.status_code, kind(answer)) == (403, "header")
    assert "X-Requested-With" in answer.json()["remedy"]


async def test_no_browser_is_told_that_other_origins_may_ask(client: httpx.AsyncClient) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = await client.options("/api/saga/pause", headers=asked)
    assert not any(name.startswith("access-control") for name in answer.headers)


async def test_the_own_page_and_programs_with_the_token_can_act(new_client: NewClient) -> None:
    page = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert (await pause(new_client(), **page)).status_code == 202
    assert (await pause(new_client(token=TOKEN, headers=BEARER))).status_code in (200, 202)
    behind = new_client(token=TOKEN, headers={**BEARER, "Host": "ops.example"}, hosts=["ops.example"])
    assert (await pause(behind, Origin="https://ops.example")).status_code in (200, 202)


async def test_nothing_changes_anything_by_being_looked_at(engine: Engine, client: httpx.AsyncClient) -> None:
    for route in routes_of(engine):
        for handler in route.route_handlers:
            acts = "body" in handler.opt or route.path == "/api/sign-out"
            if methods := handler.http_methods - {"OPTIONS"}:
                assert methods == ({"POST"} if acts else {"GET"}), route.path
    answer = await client.get("/api/saga/pause", params={"id": "o-1", **PAUSE})
    assert answer.status_code == 405


# ---------------------------------------------------------------- what is allowed and shown


async def test_a_service_that_is_read_only_shows_everything_and_changes_nothing(
    new_client: NewClient, engine: Engine
) -> None:
    client = new_client(read_only=True)
    assert (await client.get("/api/me")).json()["read_only"] is True
    assert (await client.get("/api/saga", params={"id": "o-1"})).status_code == 200
    posts = [route.path for route in routes_of(engine) if "POST" in route.methods]
    for path in {*posts} - {"/api/sign-in", "/api/sign-out"}:
        answer = await client.post(path, params={"id": "o-1"}, json=PAUSE)
        assert (answer.status_code, kind(answer)) == (403, "read-only"), path


async def test_covered_fields_are_shown_nowhere(new_client: NewClient, engine: Engine) -> None:
    await (await engine.start(Post, Letter("4111 Elm Street"), id="p-1")).wait()
    client = new_client(redact=["card", "to", "error.message", "error.traceback"])
    for path in (
        "/api/saga?id=o-1",
        "/api/saga?id=p-1",
        "/api/saga/graph?id=p-1",
        "/api/saga/plan?id=o-1",
        "/api/sagas",
        "/api/overview",
    ):
        answer = await client.get(path)
        assert answer.status_code == 200
        assert "4111" not in answer.text, path
    assert "[redacted]" in (await client.get("/api/saga?id=o-1")).text


async def test_a_body_that_is_too_large_is_not_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/sagas", content=b" " * 3_000_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/sagas", "/api/nothing", "/api/saga?id=none"])
async def test_every_response_lets_nothing_from_elsewhere_in(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_what_is_about_sagas_is_kept_by_no_cache(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/sagas")).headers["cache-control"] == "no-store"
    page = await client.get("/static/app.js")
    assert page.headers["cache-control"] == "no-cache"
    again = await client.get("/static/app.js", headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("name", ["../application.py", "..%2fapplication.py", "none.js", "application.py", ""])
async def test_no_file_but_those_of_the_page_is_given_out(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/static/{name}")).status_code == 404


def test_the_page_needs_nothing_from_elsewhere_and_holds_no_code_in_line() -> None:
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"\son\w+=|<script>|<style|style=|javascript:", html)
    for file in STATIC.iterdir():
        text = file.read_text().replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|document\.write", text), file
    scripts = "".join(file.read_text() for file in STATIC.glob("*.js"))
    named = {*re.findall(r"static/([\w.]+)", html), *re.findall(r'"\./([\w.]+)"', scripts)} - {"page.css"}
    assert named == {file.name for file in STATIC.iterdir() if file.suffix != ".css"} - {"index.html"}


async def test_the_description_that_litestar_would_give_by_itself_is_not_public(new_client: NewClient) -> None:
    client = new_client(token=TOKEN)
    for path in "/schema", "/api/schema", "/api/schema/openapi.json", "/api/openapi.json":
        assert (await client.get(path)).status_code in (401, 404), path
