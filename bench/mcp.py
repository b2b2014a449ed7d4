"""What MCP costs: a tool call over `/mcp` against the SDK's own trivial tool, and the first frame over stdio."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import uvloop

from bench.load import HttpConnection
from bench.servers import Server, served

TRIVIAL = """
import sys, uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl

class Tokens:
    async def verify_token(self, token):
        return AccessToken(token=token, client_id="1", subject="x", scopes=[])

server = MCPServer(name="trivial", log_level="ERROR", token_verifier=Tokens(),
                   auth=AuthSettings(issuer_url=AnyHttpUrl("https://bridge.invalid"), resource_server_url=None))

@server.tool()
def echo(text: str) -> str:
    return text

app = server.streamable_http_app(transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False))
uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="error")
"""
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def trivial() -> AbstractContextManager[Server]:
    """The SDK's server with one tool that returns its argument, behind the same authentication."""
    return served(TRIVIAL, "any")


def call_cpu_us(server: Server, tool: str, arguments: dict[str, object], seconds: float) -> float:
    """Server CPU of one call (µs), 8 clients."""

    async def measure() -> float:
        before, began, done = server.cpu_s(), time.perf_counter(), 0

        async def one() -> int:
            http = await HttpConnection(server.url, server.token).open()
            extra = (
                "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
                f"mcp-method: tools/call\r\nmcp-name: {tool}\r\n"
            )
            params = {"name": tool, "arguments": arguments, "_meta": META}
            frame = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
            count = 0
            while time.perf_counter() < began + seconds:
                status, body = await _streamed(http, "/mcp", frame, extra)
                assert status == 200, body[:300]
                assert b'"isError":true' not in body, body[:300]
                count += 1
            http.close()
            return count

        done = sum(await asyncio.gather(*(one() for _ in range(8))))
        return (server.cpu_s() - before) / done * 1e6

    return float(uvloop.run(measure()))


async def _streamed(http: HttpConnection, path: str, payload: bytes, extra: str) -> tuple[int, bytes]:
    """An answer of either kind: with a length, or an event stream in chunks."""
    head = f"POST {path} HTTP/1.1\r\n{http._head}{extra}content-length: {len(payload)}\r\n\r\n"
    http._writer.write(head.encode() + payload)
    raw = await http._reader.readuntil(b"\r\n\r\n")
    lower = raw.lower()
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(raw[9:12]), await http._reader.readexactly(length)
    body = b""
    while size := int(await http._reader.readuntil(b"\r\n"), 16):
        body += (await http._reader.readexactly(size + 2))[:-2]
    await http._reader.readexactly(2)
    return int(raw[9:12]), body


def first_frame_ms(home: Path, tries: int) -> list[float]:
    """Process start → the answer to `initialize` over stdio (ms), sorted, while a hub runs."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b", "version": "1"}},
    }
    took = []
    for _ in range(tries):
        with tempfile.TemporaryDirectory(prefix="bench-") as project:
            began = time.perf_counter()
            process = subprocess.Popen(
                [str(Path(sys.executable).parent / "mcp-bridge"), "mcp"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=project,
                env=os.environ | {"BRIDGE_HOME": str(home)},
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(hello).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            took.append((time.perf_counter() - began) * 1000)
            assert "result" in answer, answer
            process.stdin.close()
            process.stdout.close()
            process.wait(10)
    return sorted(took)
