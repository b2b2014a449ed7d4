"""Answers leave in one write: what HTTP promises about connections must hold as it does for uvicorn's own answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from urllib.parse import urlsplit

import pytest
import uvicorn

from hub.server.coalesce import CoalescingHttp
from hub.server.security import App, Receive, Scope, Send
from mcp_bridge.serve import Served

pytestmark = pytest.mark.anyio


async def talk(served: Served, *requests: bytes) -> bytes:
    """Everything the hub sends until it closes, or until as many answers came as there were requests."""
    parts = urlsplit(served.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(b"".join(requests))
    got = b""
    async with asyncio.timeout(10):
        while chunk := await reader.read(65536):
            got += chunk
            if got.count(b"HTTP/1.1 ") == len(requests) and got.endswith((b"}", b"\r\n\r\n")):
                break
    writer.close()
    return got


def ask(served: Served, line: str, *headers: str) -> bytes:
    host = urlsplit(served.url).netloc
    return "\r\n".join([line, f"Host: {host}", f"Authorization: Bearer {served.token}", *headers, "", ""]).encode()


async def test_answers_to_pipelined_requests_come_in_their_order(served: Served) -> None:
    rooms, agents = ask(served, "GET /v1/rooms HTTP/1.1"), ask(served, "GET /v1/agents/me HTTP/1.1")
    got = await talk(served, rooms, agents, rooms)
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in got.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert [body.startswith(b'{"items"') for body in bodies] == [True, False, True]


async def test_a_connection_that_is_not_kept_is_closed_and_says_so(served: Served) -> None:
    for line, extra in (("GET /v1/rooms HTTP/1.1", "Connection: close"), ("GET /v1/rooms HTTP/1.0", "X-Old: yes")):
        got = await talk(served, ask(served, line, extra), ask(served, line, extra))
        assert got.count(b"HTTP/1.1 200") == 1, "what follows on a closed connection is not answered"
        assert b"\r\nconnection: close\r\n" in got


async def test_an_answer_carries_its_length_and_its_safety_headers(served: Served) -> None:
    got = await talk(served, ask(served, "GET /v1/rooms HTTP/1.1"))
    head, body = got.split(b"\r\n\r\n", 1)
    for header in (
        b"content-type: application/json",
        b"cache-control: no-store",
        b"x-content-type-options: nosniff",
        b"content-length: %d" % len(body),
    ):
        assert header in head.split(b"\r\n")


async def test_what_a_request_leaves_in_its_context_is_not_there_for_the_next_one() -> None:
    left: ContextVar[str] = ContextVar("left", default="nothing")
    found: list[tuple[str, object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append((left.get(), asyncio.current_task()))
        if scope["path"] == "/leave":
            left.set("something")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with answering(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in ("/a", "/b", "/leave", "/c"):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            async with asyncio.timeout(10):
                await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert [value for value, _ in found] == ["nothing"] * 4
    tasks = [task for _, task in found]
    assert tasks[0] is tasks[1] is tasks[2] is not tasks[3], "one task per connection, until one left something"


@asynccontextmanager
async def answering(app: App) -> AsyncIterator[int]:
    """An app behind the hub's protocol class; the port."""
    config = uvicorn.Config(app, http=CoalescingHttp, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]  # signals are the tests'
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving
