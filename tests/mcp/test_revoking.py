"""A revoked token ends what is open with it, on every way into the hub, within 2 s, however busy its rooms are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from hub.server.clock import HubClock
from hub.settings import Settings
from mcp_bridge.serve import Served, serving
from tests.server.test_streams import protocol

pytestmark = pytest.mark.anyio
LIMIT_S = 2
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
BOTH = "application/json, text/event-stream"


@pytest.fixture
async def served(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Served]:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as running:
        yield running


@asynccontextmanager
async def client_of(served: Served, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=httpx2.Timeout(30)) as http:
        yield http


async def stream(http: httpx2.AsyncClient, path: str, opened: asyncio.Event) -> None:
    """Read an event stream until the hub ends it."""
    async with http.stream("GET", path) as response:
        assert response.status_code == 200
        async for _line in response.aiter_lines():
            opened.set()


async def sse(_served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    await stream(http, "/v1/stream", opened)


async def sse_by_ticket(_served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    ticket = (await http.post("/v1/tickets")).json()["ticket"]
    async with httpx2.AsyncClient(base_url=_served.url, timeout=httpx2.Timeout(30)) as page:
        await stream(page, f"/v1/stream?ticket={ticket}", opened)


async def attendance(_served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    await stream(http, "/v1/attend", opened)


async def websocket(served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    token = http.headers["authorization"].removeprefix("Bearer ")
    url = served.url.replace("http", "ws", 1) + "/v1/ws"
    with pytest.raises(ConnectionClosed) as closed:
        await follow_socket(url, token, opened)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def follow_socket(url: str, token: str, opened: asyncio.Event) -> None:
    async with connect(url, subprotocols=protocol(token)) as socket:
        await socket.send(json.dumps({"id": 1, "op": "subscribe", "cursors": None}))
        async for _frame in socket:  # ends by itself only for a normal closing
            opened.set()


async def long_poll(served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    """Of a room of its own, where nothing is said."""
    await http.post("/v1/rooms", json={"room": "quiet"})
    cursor = (await http.get("/v1/rooms/quiet")).json()["cursor"]
    asking = asyncio.create_task(http.get(f"/v1/rooms/quiet/events?cursor={cursor}&wait_s=30"))
    await asyncio.wait({asking}, timeout=0.2)
    opened.set()
    assert (await asking).status_code == 401


async def mcp_listen(_served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    """The stream of the 2026-07-28 era."""
    params = {"notifications": {"resourceSubscriptions": ["room://busy"]}, "_meta": MODERN}
    frame = {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    headers = {"accept": BOTH, "mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
    async with http.stream("POST", "/mcp", json=frame, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        async for _line in response.aiter_lines():
            opened.set()


async def mcp_session(_served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    """The standing stream of the handshake era; nothing can be asked on its session afterwards."""
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    frame = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    begun = await http.post("/mcp", json=frame, headers={"accept": BOTH})
    session = {"mcp-session-id": begun.headers["mcp-session-id"], "accept": BOTH}
    async with http.stream("GET", "/mcp", headers=session) as response:
        assert response.status_code == 200, await response.aread()
        opened.set()
        async for _line in response.aiter_lines():
            pass
    again = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert (await http.post("/mcp", json=again, headers=session)).status_code == 401


async def mcp_waiting_call(_served: Served, http: httpx2.AsyncClient, opened: asyncio.Event) -> None:
    await http.post("/v1/rooms", json={"room": "still"})
    params = {"name": "poll", "arguments": {"wait_s": 30, "room": "still"}, "_meta": MODERN}
    frame = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"accept": BOTH, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "poll"}
    asking = asyncio.create_task(http.post("/mcp", json=frame, headers=headers))
    await asyncio.wait({asking}, timeout=0.3)
    opened.set()
    answer = await asking
    assert "precious" not in answer.text
    assert answer.status_code == 401 or "isError" in answer.text or not answer.text, answer.text


WAYS = [sse, sse_by_ticket, attendance, websocket, long_poll, mcp_listen, mcp_session, mcp_waiting_call]
Way = Callable[[Served, httpx2.AsyncClient, asyncio.Event], Awaitable[None]]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_revoking_a_token_ends_what_is_open_with_it(served: Served, way: Way) -> None:
    async with client_of(served, served.token) as local:
        await local.post("/v1/rooms", json={"room": "busy", "open_to": "all"})
        made = (await local.post("/v1/agents", json={"name": "ada"})).json()
        async with client_of(served, made["token"]) as http:
            await http.post("/v1/rooms/busy/join")
            opened, over = asyncio.Event(), asyncio.Event()

            async def talk() -> None:
                number = 0
                while not over.is_set():
                    number += 1
                    await local.post("/v1/rooms/busy/messages", json={"text": f"precious {number}"})

            talking = asyncio.create_task(talk())
            reading = asyncio.ensure_future(way(served, http, opened))
            try:
                async with asyncio.timeout(10):
                    await opened.wait()
                assert (await local.delete(f"/v1/tokens/{made['token_id']}")).status_code == 200
                async with asyncio.timeout(LIMIT_S):
                    await reading
            finally:
                over.set()
                await talking
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


async def test_an_mcp_stream_ends_with_its_token_though_nothing_was_open_before(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks after open requests sleeps while there are none."""
    monkeypatch.setattr("mcp_bridge.mount.HEARTBEAT_S", 0.1)
    async with client_of(served, served.token) as local:
        await local.post("/v1/rooms", json={"room": "busy", "open_to": "all"})
        made = (await local.post("/v1/agents", json={"name": "ada", "expires_in_s": 60})).json()
    async with client_of(served, made["token"]) as http:
        await http.post("/v1/rooms/busy/join")
        opened = asyncio.Event()
        reading = asyncio.ensure_future(mcp_listen(served, http, opened))
        async with asyncio.timeout(10):
            await opened.wait()
        clock = served.hub.dispatch.clock
        assert isinstance(clock, HubClock)
        clock.not_before(clock() + 61_000)
        async with asyncio.timeout(LIMIT_S):
            await reading


async def test_a_ticket_of_a_revoked_token_opens_nothing(served: Served) -> None:
    async with client_of(served, served.token) as local:
        made = (await local.post("/v1/agents", json={"name": "ada"})).json()
        async with client_of(served, made["token"]) as http:
            ticket = (await http.post("/v1/tickets")).json()["ticket"]
            code = (await http.post("/v1/login-codes")).json()["code"]
        await local.delete(f"/v1/tokens/{made['token_id']}")
        async with httpx2.AsyncClient(base_url=served.url) as page:
            assert (await page.get(f"/v1/stream?ticket={ticket}")).status_code == 401
            assert (await page.post("/v1/login", json={"code": code})).status_code == 401


async def test_other_tokens_of_the_agent_go_on(served: Served) -> None:
    """Only what came with the revoked token ends."""
    async with client_of(served, served.token) as local:
        made = (await local.post("/v1/agents", json={"name": "ada"})).json()
        second = (await local.post("/v1/agents/ada/tokens", json={})).json()
        async with client_of(served, second["token"]) as http:
            opened = asyncio.Event()
            reading = asyncio.ensure_future(mcp_listen(served, http, opened))
            await opened.wait()
            await local.delete(f"/v1/tokens/{made['token_id']}")
            assert await asyncio.wait({reading}, timeout=0.3) == (set(), {reading})
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
