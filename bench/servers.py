"""Servers under test, each in a process of its own on loopback: the hub, and the bare references."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFERENCE = """
import asyncio, contextlib, sys, orjson, uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

async def echo(request: Request) -> Response:
    body = orjson.loads(await request.body())
    return Response(orjson.dumps({"ok": len(body["text"])}), 201, media_type="application/json")

async def ws(socket):
    await socket.accept("bridge.v1")
    while True:
        message = await socket.receive()
        if message["type"] != "websocket.receive":
            return
        await socket.send({"type": "websocket.send", "text": message["text"]})

followers = set()

async def follow(socket):
    await socket.accept()
    followers.add(socket)
    with contextlib.suppress(Exception):
        while (await socket.receive())["type"] == "websocket.receive":
            pass
    followers.discard(socket)

async def broadcast(socket):
    await socket.accept("bridge.v1")
    while True:
        message = await socket.receive()
        if message["type"] != "websocket.receive":
            return
        frame = orjson.dumps({"event": orjson.loads(message["text"])}).decode()
        for follower in list(followers):
            await follower.send({"type": "websocket.send", "text": frame})
        await socket.send({"type": "websocket.send", "text": message["text"]})

app = Starlette(routes=[Route("/echo", echo, methods=["POST"]), WebSocketRoute("/ws", ws),
                        WebSocketRoute("/follow", follow), WebSocketRoute("/broadcast", broadcast)])
uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="websockets-sansio",
            ws_per_message_deflate=False, access_log=False, log_level="error", server_header=False, date_header=False)
"""


@dataclass
class Server:
    """A running server: its address, the token to use, its process."""

    url: str
    token: str
    process: subprocess.Popen[bytes]
    home: Path

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)

    def cpu_s(self) -> float:
        """CPU seconds the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_servers_on: set[int] = set()


@contextmanager
def apart() -> Iterator[None]:
    """Keep this process, the load generator, on the last core and every server started meanwhile on the others.

    Left to the scheduler, a generator that is as busy as the server takes its core away at random: the figures vary,
    and a server of two threads pays most.
    """
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
    if len(everywhere) < 2:
        yield
        return
    mine = {max(everywhere)}
    _servers_on.update(everywhere - mine)
    os.sched_setaffinity(0, mine)
    try:
        yield
    finally:
        _servers_on.clear()
        os.sched_setaffinity(0, everywhere)


def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A server process, on the cores of servers."""
    process = subprocess.Popen(command, **options)
    if _servers_on:
        os.sched_setaffinity(process.pid, _servers_on)
    return process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, within_s: float = 20) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")


@contextmanager
def served(source: str, token: str) -> Iterator[Server]:
    """A server from its Python source, which gets the port as its argument."""
    port = free_port()
    process = start([sys.executable, "-c", source, str(port)])
    try:
        wait_for(port)
        yield Server(f"http://127.0.0.1:{port}", token, process, Path())
    finally:
        process.terminate()
        process.wait(10)


def reference() -> AbstractContextManager[Server]:
    """Bare Starlette and WebSocket echo with the hub's own server settings."""
    return served(REFERENCE, "none")


@contextmanager
def hub(home: Path | None = None) -> Iterator[Server]:
    """A hub with everything on and its limiter raised."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        where = home or Path(made)
        port = free_port()
        env = os.environ | {
            "BRIDGE_HOME": str(where),
            "BRIDGE_WRITES_PER_S": "10000000",
            "BRIDGE_WRITE_BURST": "10000000",
            "BRIDGE_READS_PER_S": "10000000",
            "BRIDGE_LOG_LEVEL": "error",
        }
        command = [sys.executable, "-m", "mcp_bridge", "up", "--quiet", "--port", str(port)]
        process = start(command, env=env)
        try:
            until = time.monotonic() + 60
            while not (where / "hub.json").exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the hub did not start")
                time.sleep(0.02)
            info = json.loads((where / "hub.json").read_text())
            yield Server(info["url"], (where / "token").read_text(), process, where)
        finally:
            process.terminate()
            process.wait(20)


def post(server: Server, path: str, fields: dict[str, object], token: str | None = None) -> dict[str, object]:
    """One JSON call."""
    request = urllib.request.Request(
        server.url + path,
        json.dumps(fields).encode(),
        {"authorization": f"Bearer {token or server.token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        made: dict[str, object] = json.loads(answer.read())
    return made
