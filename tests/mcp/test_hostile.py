"""Hostile input over MCP's HTTP transport: an error each, never a 500, and the server lives."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from hub.settings import Settings
from mcp_bridge.serve import serving

pytestmark = pytest.mark.anyio
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
GOOD = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "who", "arguments": {}, "_meta": META}}


def tool(arguments: object) -> bytes:
    params = {"name": "send", "arguments": arguments, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 20_000,
    b'{"jsonrpc":"2.0","id":1}',
    b'{"jsonrpc":"2.0","id":1,"method":5}',
    b'{"jsonrpc":"2.0","id":1,"method":"nothing/here","params":{}}',
    tool([]),
    tool({"text": 5}),
    tool({"text": "x", "room": "../../etc"}),
    tool({"text": "x" * 300_000, "room": "build"}),
    tool({"text": "x", "nonsense": True}),
    tool({"text": "\u0000\u202e", "room": "nowhere"}),
    tool({"text": "x", "to": [["deep"]]}),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_a_hostile_request_gets_an_error_and_the_server_lives(tmp_path: Path, body: bytes) -> None:
    async with serving(Settings(home=tmp_path, port=0, log_level="error")) as served:
        headers = {
            "authorization": f"Bearer {served.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "send",
        }
        async with httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=10) as client:
            answer = await client.post("/mcp", content=body)
            assert answer.status_code < 500, answer.text
            if answer.status_code == 200:
                found = answer.json()
                assert "error" in found or found["result"]["isError"], found
                assert "Traceback" not in answer.text
            good = await client.post("/mcp", json=GOOD, headers={"mcp-name": "who"})
            assert good.json()["result"]["isError"] is False
