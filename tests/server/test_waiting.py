"""Calls that wait on a real socket."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx2
import pytest

from mcp_bridge.serve import Served
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


async def test_a_worker_that_hung_up_while_it_waited_is_handed_nothing(
    served: Served, http: httpx2.AsyncClient
) -> None:
    await http.post("/v1/queues", json={"queue": "work"})
    where = urlsplit(served.url)
    waiting = served.hub.dispatch.tails.waiting
    before = waiting()  # workers of the hub itself wait too
    _reader, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST /v1/queues/work/claim HTTP/1.1\r\nhost: {where.netloc}\r\nauthorization: Bearer {served.token}\r\n"
    body = b'{"wait_s": 50}'
    writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await eventually(lambda: waiting() == before + 1)
    writer.close()
    await eventually(lambda: waiting() == before)
    sent = (await http.post("/v1/queues/work/tasks", json={"body": 1})).json()
    got = (await http.post("/v1/queues/work/claim", json={})).json()
    assert [item["id"] for item in got["items"]] == [sent["id"]]
