"""A hub in a process of its own that can be killed and started again, and clients that keep trying."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.checker import Attempt, History

ROOT = Path(__file__).parents[2]


def quiet_port() -> int:
    """A free port below the ephemeral range: a client that keeps connecting could otherwise take it for itself."""
    while True:
        port = random.randint(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class World:
    """One data directory, one port, hubs that come and go."""

    def __init__(self, home: Path, *, module: str = "mcp_bridge", path: Path = ROOT) -> None:
        self.home = home
        self.port = quiet_port()
        self._module = module
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a hub and wait until it is ready."""
        (self.home / "hub.json").unlink(missing_ok=True)
        env = os.environ | {
            "BRIDGE_HOME": str(self.home),
            "BRIDGE_WRITES_PER_S": "100000",
            "BRIDGE_WRITE_BURST": "100000",
            "PYTHONPATH": str(self._path),
        }
        command = [sys.executable, "-m", self._module, "up", "--quiet", "--port", str(self.port)]
        with (self.home / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, cwd=self._path, stderr=log)
        until = time.monotonic() + 90  # a machine that is busy with other tests
        while not (self.home / "hub.json").exists():
            assert self._process.poll() is None, (self.home / "hub.log").read_text()[-3000:]
            assert time.monotonic() < until, "the hub did not become ready"
            time.sleep(0.01)

    def end(self, name: signal.Signals = signal.SIGKILL) -> None:
        """End the hub with a signal and wait for it."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(name)
        self._process.wait(20)

    def memory_bytes(self, *, peak: bool = False) -> int:
        """Memory of the hub's process, now or at its highest."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM" if peak else "VmRSS"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.home / "token").read_text()

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=self.url, headers={"authorization": f"Bearer {self.token}"}, timeout=httpx2.Timeout(5)
        )


async def kill_often(
    world: World, dice: random.Random, kills: int, done: Callable[[], int], *, least: int, apart_s: tuple[float, float]
) -> None:
    """Kill and start the hub again and again, each time after a while in which clients got at least `least` things done."""
    clock = asyncio.get_running_loop().time
    for _ in range(kills):
        enough, until = done() + least, clock() + dice.uniform(*apart_s)
        while clock() < until or done() < enough:
            await asyncio.sleep(0.005)
        await asyncio.to_thread(world.end, signal.SIGKILL)
        await asyncio.to_thread(world.start)


async def send_until_told(client: httpx2.AsyncClient, attempt: Attempt, stop: asyncio.Event) -> None:
    """Send one message, trying again with the same key until it is acknowledged or the run ends."""
    while not stop.is_set():
        try:
            answer = await client.post(
                "/v1/rooms/build/messages", json={"text": attempt.text}, headers={"idempotency-key": attempt.key}
            )
        except httpx2.TransportError:
            await asyncio.sleep(0.02)
            continue
        if answer.status_code == 201:
            body: dict[str, Any] = answer.json()
            attempt.ok, attempt.seq, attempt.id, attempt.ended = True, body["seq"], body["id"], time.monotonic()
            return
        assert answer.status_code in (429, 503, 507), answer.text
        await asyncio.sleep(0.02)


async def writer(world: World, name: str, history: History, stop: asyncio.Event) -> None:
    """Send one message after the other."""
    async with world.client() as client:
        count = 0
        while not stop.is_set():
            count += 1
            attempt = Attempt(key=f"{name}:{count}", text=f"{name} says {count}", began=time.monotonic())
            history.attempts.append(attempt)
            await send_until_told(client, attempt, stop)


async def reader(world: World, history: History, stop: asyncio.Event) -> None:
    """Follow the room by cursor over restarts."""
    stream: list[int] = []
    history.streams.append(stream)
    cursor = None
    async with world.client() as client:
        while not stop.is_set():
            query = {"wait_s": "1", "limit": "500"} | ({"cursor": cursor} if cursor else {})
            try:
                answer = await client.get("/v1/rooms/build/events", params=query)
            except httpx2.TransportError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == 200:
                page = answer.json()
                stream += [event["seq"] for event in page["items"]]
                cursor = page["cursor"]


async def whole_log(world: World) -> list[dict[str, Any]]:
    """Every event of the room."""
    found: list[dict[str, Any]] = []
    cursor = None
    async with world.client() as client:
        while True:
            query = {"limit": "1000"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/rooms/build/events", params=query)).json()
            found += page["items"]
            cursor = page["cursor"]
            if not page["has_more"]:
                return found
