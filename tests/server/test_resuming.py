"""Reading that breaks off anywhere and goes on: over every way, each event exactly once, while more keep coming."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2
import pytest

from mcp_bridge.serve import Served
from tests.server.test_streams import ask, events_by_page, websocket

pytestmark = pytest.mark.anyio
Event = dict[str, Any]


class Desk:
    """A reader that has to come back again and again."""

    def __init__(self, served: Served, http: httpx2.AsyncClient, token: str, name: str) -> None:
        self.served = served
        self.http = http
        self.token = token
        self.name = name

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


async def by_sse(desk: Desk, cursor: str, count: int) -> list[Event]:
    """Break off in the middle of what came; every event has its own cursor."""
    found: list[Event] = []
    headers = {**desk.headers, "last-event-id": cursor}
    async with desk.http.stream("GET", "/v1/stream", params={"rooms": "build"}, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
                if len(found) == count:
                    return found
    raise AssertionError("the stream ended")


async def by_websocket(desk: Desk, cursor: str, count: int, *, batch: bool = False) -> list[Event]:
    found: list[Event] = []
    # a client library that has more than its queue takes stops reading, and then waits 10 s for the end of its close
    async with websocket(desk.served, desk.token, max_queue=None) as socket:
        await ask(socket, 1, "subscribe", cursors={"build": cursor}, batch=batch)
        while len(found) < count:
            frame = json.loads(await socket.recv())
            found += frame.get("events", [frame["event"]] if "event" in frame else [])
    return found[:count]


async def by_batches(desk: Desk, cursor: str, count: int) -> list[Event]:
    return await by_websocket(desk, cursor, count, batch=True)


async def by_page(desk: Desk, cursor: str, count: int) -> list[Event]:
    query = {"cursor": cursor, "limit": str(count), "wait_s": "5"}
    page = (await desk.http.get("/v1/rooms/build/events", params=query, headers=desk.headers)).json()
    return [{**event, "cursor": page["cursor"]} for event in page["items"]]


async def by_inbox(desk: Desk, cursor: str, count: int) -> list[Event]:
    query = {"after": cursor, "limit": str(count), "wait_s": "5"}
    page = (await desk.http.get("/v1/inbox", params=query, headers=desk.headers)).json()
    return [{"seq": message["seq"], "cursor": page["cursor"]} for message in page["messages"]]


async def by_poll(desk: Desk, cursor: str, count: int) -> list[Event]:
    """The first answer is lost on its way; the same call again gives the same."""
    asked = {"ack": cursor, "limit": count, "wait_s": 5}
    pages = [(await desk.http.post("/v1/inbox/poll", json=asked, headers=desk.headers)).json() for _ in range(2)]
    lost, again = ([message["id"] for message in page["messages"]] for page in pages)
    assert again[: len(lost)] == lost
    return [{"seq": message["seq"], "cursor": pages[1]["cursor"]} for message in pages[1]["messages"]]


WAYS: Final[dict[str, Callable[[Desk, str, int], Awaitable[list[Event]]]]] = {
    "sse": by_sse,
    "websocket": by_websocket,
    "websocket-batches": by_batches,
    "page": by_page,
    "inbox": by_inbox,
    "poll": by_poll,
}


@pytest.mark.parametrize("way", WAYS)
async def test_however_often_a_reader_breaks_off_it_gets_each_event_exactly_once(
    http: httpx2.AsyncClient, served: Served, way: str
) -> None:
    await http.post("/v1/rooms", json={"room": "build", "open_to": "all"})
    made = (await http.post("/v1/agents", json={"name": "ada"})).json()
    desk = Desk(served, http, made["token"], "ada")
    cursor = (await http.post("/v1/rooms/build/join", headers=desk.headers)).json()["cursor"]
    start = (await events_by_page(http, "build"))[-1]["seq"]

    async def post(texts: range) -> None:
        for number in texts:
            await http.post("/v1/rooms/build/messages", json={"text": str(number)})

    await post(range(6))
    posting = asyncio.create_task(post(range(6, 30)))
    got: list[int] = []
    async with asyncio.timeout(30):
        for size in [1, 2, 3, 5, 1, 8, 2, 1, 4] * 4:
            found = await WAYS[way](desk, cursor, min(size, 30 - len(got)))
            got += [event["seq"] for event in found]
            cursor = found[-1]["cursor"]
            if len(got) == 30:
                break
    await posting
    assert got == list(range(start + 1, start + 31))


async def test_a_rooms_state_and_its_cursor_are_of_one_moment(http: httpx2.AsyncClient) -> None:
    await http.post("/v1/rooms", json={"room": "build", "topic": "0"})

    async def change() -> None:
        for number in range(1, 41):
            await http.patch("/v1/rooms/build", json={"topic": str(number)})

    changing = asyncio.create_task(change())
    looked: list[int] = []
    while not changing.done():
        room = (await http.get("/v1/rooms/build")).json()
        page = (await http.get("/v1/rooms/build/events", params={"cursor": room["cursor"], "limit": "1000"})).json()
        topic = int(room["settings"]["topic"])
        later = [int(event["data"]["settings"]["topic"]) for event in page["items"]]
        assert later == list(range(topic + 1, topic + 1 + len(later)))
        looked.append(topic)
    await changing
    assert len(set(looked)) > 3, "the state was looked at while it changed"
