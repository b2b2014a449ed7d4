"""Batches and compressed bodies on a real socket."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import httpx2
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from hub.client import HubClient
from hub.core.errors import HubError, RoomNotFound, TooLarge
from hub.features.messages.contract import PostMessage
from hub.features.queues.contract import CreateQueue, EnqueueTask
from hub.kernel.rooms.contract import CreateRoom
from hub.log.idempotency import KEPT_MS
from hub.server.encoding import choose, decode, encode
from hub.server.limits import Rate
from hub.storage.interface import Store, Tx
from mcp_bridge.serve import Served
from tests.support.hubs import TestHub

pytestmark = pytest.mark.anyio
MOST = 1024 * 1024
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "br": lambda body: bytes(brotli.compress(body)),
    "zstd": lambda body: zstandard.ZstdCompressor().compress(body),
}


async def batch(http: httpx2.AsyncClient, *operations: dict[str, Any], key: str | None = None) -> list[Any]:
    headers = {"idempotency-key": key} if key else {}
    answer = await http.post("/v1/batch", json={"operations": operations}, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def post(room: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"op": "messages.post", "room": room, "text": text, **fields}


async def texts(http: httpx2.AsyncClient, room: str) -> list[str]:
    return [m["text"] for m in (await http.get(f"/v1/rooms/{room}/messages")).json()["items"]]


async def test_a_batch_keeps_the_order_of_each_room_and_answers_each_item(http: httpx2.AsyncClient) -> None:
    results = await batch(
        http,
        {"op": "rooms.create", "room": "a"},
        post("a", "one"),
        post("nowhere", "lost"),
        {"op": "rooms.create", "room": "b"},
        post("b", "uno"),
        post("a", "two", to=["ghost"]),
        {"op": "messages.pots", "room": "a"},
        post("a", "three"),
        {"op": "messages.list", "room": "a"},
        {"op": "inbox.read", "wait_s": 5},
        {"op": "messages.post", "room": "a", "txet": "x"},
        7,  # type: ignore[arg-type]
    )
    codes = [one["problem"]["code"] if "problem" in one else "ok" for one in results]
    assert codes == [
        "ok",
        "ok",
        "room-not-found",
        "ok",
        "ok",
        "recipients-not-members",
        "operation-not-found",
        "ok",
        "ok",
        "invalid",
        "invalid",
        "invalid",
    ]
    assert "did you mean 'messages.post'" in results[6]["problem"]["detail"]
    assert [m["text"] for m in results[8]["ok"]["items"]] == ["one", "three"]
    assert (await texts(http, "a"), await texts(http, "b")) == (["one", "three"], ["uno"])


async def test_a_batch_of_one_room_is_one_transaction(
    http: httpx2.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await batch(http, {"op": "rooms.create", "room": "a"}, {"op": "rooms.create", "room": "b"})
    groups: list[int] = []
    store: Store = served.hub.store
    write = store.write

    async def counted(body: Any, *, locks: Any = ()) -> Any:
        written = await write(body, locks=locks)
        groups.append(len(written))
        return written

    monkeypatch.setattr(store, "write", counted)
    await batch(http, *[post("ab"[n % 2], f"{n}") for n in range(100)])
    assert groups == [50, 50]
    assert await texts(http, "a") == [str(n) for n in range(0, 100, 2)]


async def test_a_repeated_batch_changes_nothing_and_gives_the_same(http: httpx2.AsyncClient) -> None:
    await batch(http, {"op": "rooms.create", "room": "a"})
    first = await batch(http, post("a", "x"), post("a", "y"), key="k")
    again = await batch(http, post("a", "x"), post("a", "y"), key="k")
    assert [one["ok"]["id"] for one in again] == [one["ok"]["id"] for one in first]
    assert all(one["ok"]["deduplicated"] for one in again)
    other = await batch(http, post("a", "x"), post("a", "changed"), key="k")
    assert other[1]["problem"]["code"] == "idempotency-key-reused"
    assert await texts(http, "a") == ["x", "y"]


async def test_repeating_a_batch_tries_only_what_was_refused_however_often(
    http: httpx2.AsyncClient, served: Served
) -> None:
    """Rooms that come up between the tries change which items are one transaction."""
    operations = [{"op": "rooms.create", "room": "a"}, post("b", "1"), post("a", "2"), post("c", "3"), post("a", "4")]
    tried = []
    for room in ("", "b", "c", ""):
        if room:
            await batch(http, {"op": "rooms.create", "room": room})
        tried.append(await batch(http, *operations, key="k" * 128))
    stored = [[one["ok"].get("deduplicated", False) if "ok" in one else None for one in results] for results in tried]
    assert stored == [
        [False, None, False, None, False],
        [True, False, True, None, True],
        [True, True, True, False, True],
        [True, True, True, True, True],
    ]
    assert [one["ok"].get("id") for one in tried[3]] == [one["ok"].get("id") for one in tried[2]]
    assert [await texts(http, room) for room in "abc"] == [["2", "4"], ["1"], ["3"]]


async def test_a_batch_leaves_one_row_under_its_key(http: httpx2.AsyncClient, served: Served) -> None:
    await batch(http, {"op": "rooms.create", "room": "a"})

    def kept(tx: Tx) -> list[tuple[str, str]]:
        return [(row[0], row[1]) for row in tx.rows("select op, key from idempotency")]

    before = await served.hub.store.read(kept)
    await batch(http, *[post("a", f"{n}") for n in range(100)], key="k")
    assert (await served.hub.store.read(kept))[len(before) :] == [("batch", "k")]


async def test_an_item_is_the_same_whatever_the_order_of_its_fields(http: httpx2.AsyncClient) -> None:
    await batch(http, {"op": "rooms.create", "room": "a"})
    await batch(http, {"op": "messages.post", "room": "a", "text": "x"}, key="k")
    [again] = await batch(http, {"text": "x", "room": "a", "op": "messages.post"}, key="k")
    assert again["ok"]["deduplicated"]
    [moved] = await batch(http, {"op": "messages.direct", "agent": "eve", "text": "x"}, key="k")
    assert moved["problem"]["code"] == "idempotency-key-reused"


async def test_results_without_an_event_are_kept_whole_and_secrets_are_not(http: httpx2.AsyncClient) -> None:
    """Found by thinking: what cannot be made again from an event stands in the record itself."""
    some = [{"op": "agents.register", "name": "eve"}, {"op": "queues.create", "queue": "work"}]
    first = await batch(http, *some, key="k")
    again = await batch(http, *some, key="k")
    assert [one["ok"]["deduplicated"] for one in again] == [True, True]
    assert (first[0]["ok"]["token"] is None, again[0]["ok"]["token"]) == (False, None)
    assert again[1]["ok"]["queue"] == first[1]["ok"]["queue"]


async def test_a_batch_is_forgotten_after_a_day(hub: TestHub) -> None:
    async with hub.client(hub.local_token) as client:
        await client.call(CreateRoom(room="a"))

        async def sent() -> Any:
            [one] = await client.batch([PostMessage(room="a", text="x")], key="k")
            return one

        first, again = await sent(), await sent()
        hub.clock.advance(KEPT_MS / 1000)
        later, last = await sent(), await sent()
    assert [one.seq - first.seq for one in (again, later, last)] == [0, 1, 1]
    assert [one.deduplicated for one in (again, later, last)] == [True, False, True]


@pytest.mark.parametrize("body", [{}, {"operations": []}, {"operations": {}}, {"operations": [{}] * 101}, {"x": 1}])
async def test_what_is_no_batch_is_refused_as_a_whole(http: httpx2.AsyncClient, body: Any) -> None:
    answer = await http.post("/v1/batch", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


async def test_a_batch_counts_its_operations_and_checks_each_scope(http: httpx2.AsyncClient, served: Served) -> None:
    await batch(http, {"op": "rooms.create", "room": "a"})
    made = (await http.post("/v1/agents", json={"name": "eve", "scopes": ["room:read"]})).json()
    async with httpx2.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {made['token']}"}) as eve:
        [refused] = await batch(eve, post("a", "x"))
        assert refused["problem"]["code"] == "forbidden"
    served.hub.dispatch.limits.writes.rate = Rate(per_s=0.1, burst=250)
    answers = [await http.post("/v1/batch", json={"operations": [post("a", "x")] * 100}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].json()["code"] == "rate-limited"


async def test_the_client_and_a_websocket_send_batches_too(served: Served) -> None:
    async with HubClient(served.url, served.token) as client:
        await client.call(CreateQueue(queue="work"))
        made = await client.batch(
            [
                EnqueueTask(queue="work", body=1),
                PostMessage(room="nowhere", text="x"),
                EnqueueTask(queue="work", body=2),
            ]
        )
        assert [getattr(one, "body", type(one)) for one in made] == [1, RoomNotFound, 2]
        with pytest.raises(HubError):
            await client.batch([])
    headers = {"authorization": f"Bearer {served.token}"}
    async with connect(served.url.replace("http", "ws") + "/v1/ws", additional_headers=headers) as socket:
        frame = {"id": 1, "op": "batch", "operations": [{"op": "rooms.create", "room": "a"}, post("a", "x")]}
        await socket.send(json.dumps(frame))
        answer = json.loads(await socket.recv())
        assert [list(one) for one in answer["ok"]["results"]] == [["ok"], ["ok"]]


@pytest.mark.parametrize("coding", PACKERS)
async def test_bodies_are_read_and_large_answers_written_compressed(http: httpx2.AsyncClient, coding: str) -> None:
    await batch(http, {"op": "rooms.create", "room": "a"})
    packed = PACKERS[coding](json.dumps({"text": "päckchen " * 2000}).encode())
    headers = {"content-type": "application/json", "content-encoding": coding}
    posted = await http.post("/v1/rooms/a/messages", content=packed, headers=headers)
    assert posted.status_code == 201
    assert "content-encoding" not in posted.headers, "small answers stay as they are"
    answer = await http.get("/v1/rooms/a/messages", headers={"accept-encoding": coding})
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == (coding, "accept-encoding")
    body = answer.content if answer.content[:1] == b"{" else decode(answer.content, coding.encode(), MOST)
    assert json.loads(body)["items"][0]["text"] == "päckchen " * 2000
    plain = await http.get("/v1/rooms/a/messages", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers


@pytest.mark.parametrize("coding", PACKERS)
async def test_a_bomb_is_refused_before_it_unfolds(http: httpx2.AsyncClient, coding: str) -> None:
    packed = PACKERS[coding](b"\0" * 300_000_000)
    assert len(packed) < MOST
    tracemalloc.start()
    with pytest.raises(TooLarge):
        decode(packed, coding.encode(), MOST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MOST
    headers = {"content-type": "application/json", "content-encoding": coding}
    answer = await http.post("/v1/batch", content=packed, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


@pytest.mark.parametrize("coding", PACKERS)
async def test_broken_unknown_and_doubled_codings_are_refused(http: httpx2.AsyncClient, coding: str) -> None:
    packed = PACKERS[coding](json.dumps({"operations": [{"op": "rooms.list"}] * 50}).encode())
    headers = {"content-type": "application/json", "content-encoding": coding}
    for broken in (packed[:-3], packed[: len(packed) // 2], b"nonsense", packed[:5]):
        answer = await http.post("/v1/batch", content=broken, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), broken
    answer = await http.post("/v1/batch", content=packed, headers={**headers, "content-encoding": f"{coding}, gzip"})
    assert answer.status_code == 415
    assert "gzip" in answer.json()["detail"]
    answer = await http.post("/v1/batch", content=packed, headers={**headers, "content-encoding": "compress"})
    assert answer.status_code == 415


@given(st.binary(max_size=50_000), st.sampled_from(sorted(PACKERS)), st.integers(0, 60_000))
def test_what_was_packed_comes_back_or_is_too_large(body: bytes, coding: str, most: int) -> None:
    packed = encode(body, coding.encode())
    if len(body) <= most:
        assert decode(packed, coding.encode(), most) == body
    else:
        with pytest.raises(TooLarge):
            decode(packed, coding.encode(), most)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        (b"gzip, deflate, br, zstd", b"zstd"),
        (b"br;q=1.0, zstd;q=0.5", b"br"),
        (b"*", b"zstd"),
        (b"*;q=0, gzip", b"gzip"),
        (b"zstd;q=0, br;q=0, gzip;q=0", None),
        (b"identity", None),
        (b"gzip;q=nonsense", None),
        (b"", None),
        (None, None),
    ],
)
def test_the_coding_follows_what_the_caller_accepts(accepted: bytes | None, chosen: bytes | None) -> None:
    assert choose(accepted, 10_000) == chosen
    assert choose(accepted, 100) is None


def test_a_gzip_body_made_in_pieces_is_read() -> None:
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb") as file:
        for _ in range(10):
            file.write(b"x" * 1000)
            file.flush(zlib.Z_FULL_FLUSH)
    assert decode(target.getvalue(), b"gzip", MOST) == b"x" * 10_000
