"""SSE and WebSocket: the same events as reading by page, from any cursor exactly once, and nothing for strangers."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hub.server import attend, beats, sse
from hub.server.coalesce import CoalescingHttp
from mcp_bridge.serve import Served
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


def protocol(token: str) -> list[Any]:
    return ["bridge.v1", "token." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")]


@asynccontextmanager
async def websocket(served: Served, token: str | None = None, **more: Any) -> AsyncIterator[ClientConnection]:
    url = served.url.replace("http", "ws", 1) + "/v1/ws"
    async with connect(url, subprotocols=protocol(token or served.token), **more) as socket:
        yield socket


async def ask(socket: ClientConnection, number: int, op: str, **fields: Any) -> dict[str, Any]:
    """Send one frame and wait for its answer, passing over events."""
    await socket.send(json.dumps({"id": number, "op": op, **fields}))
    while True:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
        if frame.get("re") == number:
            return frame


async def all_text(socket: ClientConnection, into: list[str] | None = None) -> None:
    """Read until the socket closes or time runs out."""
    async for frame in socket:
        if into is not None:
            into.append(str(frame))
    await socket.recv()


async def events_by_page(http: httpx2.AsyncClient, room: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await http.get(f"/v1/rooms/{room}/events", params={"limit": "1000"})).json()["items"]
    return items


async def sse_events(http: httpx2.AsyncClient, until: int, **query: str) -> tuple[list[dict[str, Any]], str]:
    """Events of a stream until `until` have come, and the last resume cursor."""
    found: list[dict[str, Any]] = []
    cursor = ""
    async with asyncio.timeout(8), http.stream("GET", "/v1/stream", params=query) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
            if line.startswith("id: "):
                cursor = line[4:]
                if len(found) >= until:
                    return found, cursor
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("start", [0, 1, 7, 12])
async def test_every_way_of_reading_gives_each_event_once_from_any_cursor(
    http: httpx2.AsyncClient, served: Served, start: int
) -> None:
    await http.post("/v1/rooms", json={"room": "build"})
    for i in range(10):
        await http.post("/v1/rooms/build/messages", json={"text": str(i)})
    everything = await events_by_page(http, "build")
    first = (await http.get("/v1/rooms/build/events", params={"limit": str(max(1, start))})).json()
    cursor = first["cursor"] if start else everything[0]["cursor"]
    wanted = everything[max(1, start) :]
    if not wanted:
        return
    streamed, _ = await sse_events(http, len(wanted), rooms="build", cursor=cursor)
    assert streamed == wanted
    async with websocket(served) as socket:
        await ask(socket, 1, "subscribe", cursors={"build": cursor})
        got: list[dict[str, Any]] = []
        while len(got) < len(wanted):
            frame = json.loads(await asyncio.wait_for(socket.recv(), 5))
            if "event" in frame:
                got.append(frame["event"])
        assert got == wanted


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/attend"])
async def test_a_quiet_stream_says_again_and_again_that_it_is_there(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(beats, "BEAT_S", 0.05)
    for module in (sse, attend):
        monkeypatch.setattr(module, "HEARTBEAT_S", 0.05)
    await http.post("/v1/rooms", json={"room": "build"})
    comments: list[str] = []
    async with asyncio.timeout(5), http.stream("GET", path) as answer:
        async for line in answer.aiter_lines():
            comments += [line] if line.startswith(": still") else []
            if len(comments) == 3:
                break
    assert comments == [": still here"] * 3


async def test_a_stream_resumes_where_it_stopped_over_several_rooms(http: httpx2.AsyncClient) -> None:
    for room in ("one", "two"):
        await http.post("/v1/rooms", json={"room": room})
        await http.post(f"/v1/rooms/{room}/messages", json={"text": f"{room} 1"})
    seen, cursor = await sse_events(http, 2, rooms="one,two")
    for room in ("two", "one"):
        await http.post(f"/v1/rooms/{room}/messages", json={"text": f"{room} 2"})
    more, _ = await sse_events(http, 2, rooms="one,two", cursor=cursor)
    texts = [e["data"]["text"] for e in seen + more if e["type"] == "message.posted"]
    assert sorted(texts) == ["one 1", "one 2", "two 1", "two 2"]


async def test_a_room_joined_later_appears_in_a_stream_over_all_rooms(http: httpx2.AsyncClient) -> None:
    await http.post("/v1/rooms", json={"room": "one"})
    waiting = asyncio.create_task(sse_events(http, 1))
    await asyncio.wait({waiting}, timeout=0.3)
    await http.post("/v1/rooms", json={"room": "two"})
    await http.post("/v1/rooms/two/messages", json={"text": "here"})
    found, _ = await waiting
    assert found[0]["room"] == "two"


async def test_a_stream_of_server_sent_events_writes_at_once_what_its_task_would_write(
    http: httpx2.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: list[bool] = []
    write = CoalescingHttp._write_chunk

    def noted(self: CoalescingHttp, scope: Any, data: bytes) -> bool:
        at_once.append(write(self, scope, data))
        return at_once[-1]

    monkeypatch.setattr(CoalescingHttp, "_write_chunk", noted)
    await http.post("/v1/rooms", json={"room": "build"})
    cursor = (await http.get("/v1/rooms/build")).json()["cursor"]
    waiting = asyncio.create_task(sse_events(http, 3, rooms="build", cursor=cursor))
    await eventually(lambda: served.hub.dispatch.tails.waiting() == 1)
    for number in range(3):
        await http.post("/v1/rooms/build/messages", json={"text": f"é{number}"})
    found, last = await waiting
    assert at_once
    assert all(at_once)
    again, _ = await sse_events(http, 3, rooms="build", cursor=cursor)
    assert found == again == (await events_by_page(http, "build"))[-3:]
    assert last == found[-1]["cursor"]


async def test_operations_and_events_share_a_websocket(served: Served) -> None:
    async with websocket(served) as socket:
        made = await ask(socket, 1, "rooms.create", room="build")
        assert made["ok"]["room"] == "build"
        await ask(socket, 2, "subscribe", cursors={"build": made["ok"]["cursor"]})
        sent = await ask(socket, 3, "messages.post", room="build", text="x", idempotency_key="k")
        again = await ask(socket, 4, "messages.post", room="build", text="x", idempotency_key="k")
        assert again["ok"] == {**sent["ok"], "deduplicated": True}


async def test_batched_events_are_the_same_events(served: Served) -> None:
    async with websocket(served) as socket:
        made = await ask(socket, 1, "rooms.create", room="build")
        await ask(socket, 2, "subscribe", cursors={"build": made["ok"]["cursor"]}, batch=True)
        texts: list[str] = []
        for i in range(5):  # each is sent after the one before was seen, so that nothing between two batches is lost
            await socket.send(json.dumps({"id": 10 + i, "op": "messages.post", "room": "build", "text": str(i)}))
            while len(texts) <= i:
                frame = json.loads(await asyncio.wait_for(socket.recv(), 5))
                texts += [e["data"]["text"] for e in frame.get("events", [])]
        assert texts == ["0", "1", "2", "3", "4"]


FRAMES = [
    "not json",
    "[]",
    '{"op": "rooms.list"}',
    '{"id": 1}',
    '{"id": 1, "op": "rooms.lst"}',
    '{"id": 1, "op": 5}',
    '{"id": {"a": 1}, "op": "rooms.list"}',
    '{"id": 1, "op": "rooms.list", "nonsense": 1}',
    '{"id": 1, "op": "subscribe", "cursors": []}',
    '{"id": 1, "op": "subscribe", "cursors": {"nowhere": null}}',
    '{"id": 1, "op": "subscribe", "cursor": "garbage"}',
    '{"id": 1, "op": "messages.post", "room": "nowhere", "text": "x", "idempotency_key": 5}',
    '{"id": 1, "id": 2, "op": "rooms.list"}',
    '{"id": 1, "op": "rooms.list", "dm": NaN}',
    '{"id": 1, "op": "x", "y": ' + "[" * 5000 + "}",
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
async def test_a_hostile_frame_gets_a_problem_and_the_socket_lives(served: Served, frame: str) -> None:
    async with websocket(served) as socket:
        await socket.send(frame)
        answer = json.loads(await asyncio.wait_for(socket.recv(), 5))
        assert answer["problem"]["code"]
        assert answer["problem"]["detail"]
        assert "ok" in await ask(socket, 99, "rooms.list")


async def test_a_frame_over_the_limit_closes_the_socket(served: Served) -> None:
    async with websocket(served) as socket:
        await socket.send("x" * 1_100_000)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {}], ids=str)
async def test_a_stranger_gets_no_websocket(served: Served, headers: dict[str, str]) -> None:
    url = served.url.replace("http", "ws", 1) + "/v1/ws"
    offered = protocol(served.token) if headers else protocol("mab_1_wrong")
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, subprotocols=offered, additional_headers=headers):
            pass
    assert refused.value.response.status_code in (401, 403)


async def test_revoking_a_token_closes_its_streams(http: httpx2.AsyncClient, served: Served) -> None:
    made = (await http.post("/v1/agents", json={"name": "ada"})).json()
    async with websocket(served, made["token"]) as socket:
        await ask(socket, 1, "subscribe", cursors={})
        await http.delete(f"/v1/tokens/{made['token_id']}")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(all_text(socket), 2)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_leaving_a_room_ends_its_events(http: httpx2.AsyncClient, served: Served) -> None:
    await http.post("/v1/rooms", json={"room": "build", "open_to": "all"})
    made = (await http.post("/v1/agents", json={"name": "ada"})).json()
    async with websocket(served, made["token"]) as socket:
        joined = await ask(socket, 1, "rooms.join", room="build")
        await ask(socket, 2, "subscribe", cursors={"build": joined["ok"]["cursor"]})
        await ask(socket, 3, "rooms.leave", room="build")
        await http.post("/v1/rooms/build/messages", json={"text": "secret"})
        await ask(socket, 4, "rooms.list")
        await http.post("/v1/rooms/build/messages", json={"text": "later"})
        seen: list[str] = []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(all_text(socket, seen), 0.5)
        assert not any("secret" in text for text in seen)


async def test_a_stuck_reader_does_not_slow_the_others(http: httpx2.AsyncClient, served: Served) -> None:
    await http.post("/v1/rooms", json={"room": "build"})
    async with websocket(served, max_queue=1) as stuck, websocket(served) as healthy:
        for socket in (stuck, healthy):
            await ask(socket, 1, "subscribe", cursors={"build": None})
        big = "x" * 200_000
        for i in range(40):
            assert (await http.post("/v1/rooms/build/messages", json={"text": f"{i} {big}"})).status_code == 201
        texts: list[str] = []
        async with asyncio.timeout(8):
            while len(texts) < 40:
                frame = json.loads(await healthy.recv())
                if frame.get("event", {}).get("type") == "message.posted":
                    texts.append(frame["event"]["data"]["text"].split()[0])
        assert texts == [str(i) for i in range(40)]


async def test_a_reader_that_takes_nothing_is_given_up(
    http: httpx2.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by reading: the close frame itself waited for the reader, for ever."""
    monkeypatch.setattr("hub.server.websocket.STUCK_S", 0.2)
    await http.post("/v1/rooms", json={"room": "build", "open_to": "all"})
    made = (await http.post("/v1/agents", json={"name": "ada"})).json()
    agent = (await served.hub.authenticator.authenticate(made["token"])).agent
    presence = served.hub.dispatch.presence
    async with websocket(served, made["token"], max_queue=1, close_timeout=0) as stuck:
        joined = await ask(stuck, 1, "rooms.join", room="build")
        await ask(stuck, 2, "subscribe", cursors={"build": joined["ok"]["cursor"]})
        stuck.transport.pause_reading()
        assert presence.state(agent)[1] == "stream"
        for i in range(40):
            await http.post("/v1/rooms/build/messages", json={"text": f"{i} " + "x" * 200_000})
        await eventually(lambda: presence.state(agent)[1] != "stream")
        stuck.transport.resume_reading()
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(all_text(stuck), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


async def test_a_ticket_stands_in_for_the_token_once(http: httpx2.AsyncClient, served: Served) -> None:
    ticket = (await http.post("/v1/tickets")).json()["ticket"]
    url = served.url.replace("http", "ws", 1) + f"/v1/ws?ticket={ticket}"
    async with connect(url, subprotocols=["bridge.v1"]) as socket:  # type: ignore[list-item]
        assert "ok" in await ask(socket, 1, "rooms.list")
    with pytest.raises(InvalidStatus):
        async with connect(url, subprotocols=["bridge.v1"]):  # type: ignore[list-item]
            pass
