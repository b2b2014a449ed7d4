"""HTTP as strangers use it: hostile input gets a clear problem, never a 500, and nothing is stored."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_bridge.serve import Served

pytestmark = pytest.mark.anyio
ROOM = "/v1/rooms/build/messages"


async def make_room(http: httpx2.AsyncClient) -> None:
    assert (await http.post("/v1/rooms", json={"room": "build"})).status_code == 201


async def head_of(http: httpx2.AsyncClient) -> int:
    return int((await http.get("/v1/rooms/build")).json()["head"])


BODIES: list[tuple[bytes, int]] = [
    (b"", 422),
    (b"{", 400),
    (b"[]", 400),
    (b"null", 400),
    (b'{"text": "a", "text": "b"}', 400),
    (b'{"text" : "a", "text" : "b"}', 400),
    (b'{"text": NaN}', 400),
    (b'{"text": "\\ud800"}', 400),
    (b'{"text": "\xff"}', 400),
    ('{"text": "x"}'.encode("utf-16"), 400),
    (b'{"text": "x", "metadata": ' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}", 400),
    (b"[" * 100_000, 400),
    (b'{"text": "x", "metadata": {"n": ' + b"9" * 5000 + b"}}", 400),
    (b'{"text": ""}', 422),
    (b'{"text": 5}', 422),
    (b'{"text": "x", "nonsense": 1}', 422),
    (b'{"text": "x", "from": "somebody"}', 422),
    (b'{"text": "x", "priority": "urgent"}', 422),
    (b'{"text": "x", "ttl_s": 0}', 422),
    (b'{"text": "x", "room": "other"}', 422),
    (b'{"text": "x", "channel": "nowhere"}', 404),
    (b'{"text": "x", "reply_to": "m99-99"}', 404),
    (b'{"text": "x", "to": ["nobody"]}', 422),
    (b'{"text": "' + b"x" * 300_000 + b'"}', 422),
    (b'{"text": "' + b"x" * 1_100_000 + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BODIES, ids=range(len(BODIES)))
async def test_a_bad_body_is_refused_with_a_reason_and_stores_nothing(
    http: httpx2.AsyncClient, body: bytes, status: int
) -> None:
    await make_room(http)
    before = await head_of(http)
    answer = await http.post(ROOM, content=body, headers={"content-type": "application/json"})
    problem = answer.json()
    assert answer.status_code == status, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["detail"]
    assert problem["code"]
    assert problem["status"] == status
    assert await head_of(http) == before


async def test_a_body_that_is_not_json_is_415(http: httpx2.AsyncClient) -> None:
    await make_room(http)
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = await http.post(ROOM, content=b'{"text":"x"}', headers={"content-type": kind})
        assert answer.status_code == 415


async def test_unknown_routes_and_methods_say_what_exists(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/nothing")).json()["code"] == "not-found"
    assert (await http.get("/elsewhere")).json()["code"] == "not-found"
    answer = await http.put(ROOM, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_a_missing_room_and_a_foreign_one_look_the_same(http: httpx2.AsyncClient, served: Served) -> None:
    await make_room(http)
    made = (await http.post("/v1/agents", json={"name": "eve"})).json()
    async with httpx2.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {made['token']}"}) as eve:
        foreign, missing = await eve.get("/v1/rooms/build"), await eve.get("/v1/rooms/biuld")
    assert (foreign.status_code, foreign.json()["detail"].replace("build", "X")) == (
        missing.status_code,
        missing.json()["detail"].replace("biuld", "X"),
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"authorization": "Bearer nonsense"}, 401),
        ({"authorization": "Basic eDp5"}, 401),
        ({"x-long": "x" * 40_000}, 400),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/v1/rooms", "/v1/stream", "/v1/ws", "/mcp", "/metrics", "/openapi.json"])
async def test_a_foreign_caller_is_refused_on_every_route(
    http: httpx2.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    method = "POST" if path == "/mcp" else "GET"
    answer = await http.request(method, path, headers=headers)
    assert answer.status_code in ({status, 404, 431} if path == "/v1/ws" else {status, 431}), answer.text


async def test_without_a_token_only_the_probes_and_the_page_answer(served: Served) -> None:
    async with httpx2.AsyncClient(base_url=served.url) as nobody:
        for path in ("/livez", "/readyz", "/startupz", "/", "/static/app.js"):
            assert (await nobody.get(path)).status_code == 200
        for path in ("/metrics", "/openapi.json", "/v1/rooms", "/v1/admin/stats", "/v1/stream"):
            answer = await nobody.get(path)
            assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True), path


async def test_the_same_key_gives_the_same_result_and_another_body_is_refused(http: httpx2.AsyncClient) -> None:
    await make_room(http)
    key = {"idempotency-key": "k-1"}
    one = await http.post(ROOM, json={"text": "x"}, headers=key)
    two = await http.post(ROOM, json={"text": "x"}, headers=key)
    assert (two.status_code, two.json()) == (201, {**one.json(), "deduplicated": True})
    other = await http.post(ROOM, json={"text": "y"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    bad = await http.post(ROOM, json={"text": "x"}, headers={"idempotency-key": "with space"})
    assert bad.status_code == 422


async def test_a_repeated_secret_is_not_told_twice(http: httpx2.AsyncClient) -> None:
    key = {"idempotency-key": "agent-1"}
    one = (await http.post("/v1/agents", json={"name": "ada"}, headers=key)).json()
    two = (await http.post("/v1/agents", json={"name": "ada"}, headers=key)).json()
    assert one["token"]
    assert two == {**one, "token": None, "deduplicated": True}


async def test_many_racing_calls_with_one_key_store_one_message(http: httpx2.AsyncClient) -> None:
    await make_room(http)
    before = await head_of(http)
    calls = [http.post(ROOM, json={"text": "x"}, headers={"idempotency-key": "race"}) for _ in range(20)]
    answers = await asyncio.gather(*calls)
    assert {a.status_code for a in answers} <= {201, 409}
    assert await head_of(http) == before + 1


async def test_a_long_poll_wakes_at_once_and_a_cursor_ahead_is_refused(http: httpx2.AsyncClient) -> None:
    await make_room(http)
    cursor = (await http.get("/v1/rooms/build")).json()["cursor"]
    waiting = asyncio.create_task(http.get("/v1/rooms/build/events", params={"cursor": cursor, "wait_s": "9"}))
    await asyncio.wait({waiting}, timeout=0.2)
    await http.post(ROOM, json={"text": "now"})
    async with asyncio.timeout(3):
        page = (await waiting).json()
    assert [e["data"]["text"] for e in page["items"]] == ["now"]
    head = page["cursor"]
    ahead = head[:-1] + "z"
    assert (await http.get("/v1/rooms/build/events", params={"cursor": ahead})).json()["code"] == "cursor-ahead"
    bad = await http.get("/v1/rooms/build/events", params={"cursor": "garbage"})
    assert bad.json()["code"] == "cursor-invalid"


async def test_wrong_tokens_are_slowed_down_but_a_valid_one_still_passes(served: Served) -> None:
    async with httpx2.AsyncClient(base_url=served.url) as nobody:
        statuses = [
            (await nobody.get("/v1/rooms", headers={"authorization": f"Bearer mab_1_{i:043d}"})).status_code
            for i in range(60)
        ]
        assert 429 in statuses
        good = await nobody.get("/v1/rooms", headers={"authorization": f"Bearer {served.token}"})
    assert good.status_code == 200


async def test_openapi_lists_every_operation_with_its_schemas(http: httpx2.AsyncClient, served: Served) -> None:
    document: dict[str, Any] = (await http.get("/openapi.json")).json()
    listed = {o["operationId"] for path in document["paths"].values() for o in path.values()}
    assert listed == {*served.hub.dispatch.registry.by_name, "batch", "files.content", "files.thumbnail"}
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    for reference in text.split('"$ref": "#/components/schemas/')[1:]:
        assert reference.split('"')[0] in names


async def test_metrics_and_stats_show_operations_and_percentiles(http: httpx2.AsyncClient) -> None:
    await make_room(http)
    metrics = (await http.get("/metrics")).text
    assert 'bridge_operations_total{operation="rooms.create",outcome="ok"} 1.0' in metrics
    stats = (await http.get("/v1/admin/stats")).json()
    assert {"p50_ms", "p90_ms", "p95_ms", "p99_ms"} <= set(stats["operations"]["rooms.create"])


async def test_a_login_code_works_once(http: httpx2.AsyncClient, served: Served) -> None:
    code = (await http.post("/v1/login-codes")).json()["code"]
    async with httpx2.AsyncClient(base_url=served.url) as page:
        first = await page.post("/v1/login", json={"code": code})
        assert first.status_code == 201
        mine = await page.get("/v1/agents/me", headers={"authorization": f"Bearer {first.json()['token']}"})
        assert mine.json()["name"] == "local"
        assert (await page.post("/v1/login", json={"code": code})).status_code == 401


async def test_a_revoked_token_ends_at_once(http: httpx2.AsyncClient, served: Served) -> None:
    made = (await http.post("/v1/agents", json={"name": "ada"})).json()
    headers = {"authorization": f"Bearer {made['token']}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers) as ada:
        assert (await ada.get("/v1/agents/me")).status_code == 200
        rotated = (await ada.post(f"/v1/tokens/{made['token_id']}/rotate")).json()
        assert rotated["token"] != made["token"]
        assert (await ada.get("/v1/agents/me")).status_code == 200, "the old one overlaps for 24 h"
        assert (await http.delete(f"/v1/tokens/{made['token_id']}")).status_code == 200
        assert (await ada.get("/v1/agents/me")).status_code == 401


async def test_nothing_but_hashes_of_tokens_is_on_disk(http: httpx2.AsyncClient, served: Served) -> None:
    token = (await http.post("/v1/agents", json={"name": "ada"})).json()["token"].split("_", 2)[2].encode()
    for file in filter(Path.is_file, served.hub.settings.home.rglob("*")):
        assert token not in file.read_bytes(), file.name


async def test_the_data_directory_is_private(served: Served) -> None:
    home = served.hub.settings.home
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "token").stat().st_mode & 0o077 == 0
