"""Answers leave in one write: what HTTP promises about connections must hold as it does for uvicorn's own answers."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

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
