"""A full disk: writes are refused clearly, nothing is acknowledged falsely, and it goes on by itself when there is space."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from tests.faults.checker import Attempt, History, check
from tests.faults.world import ROOT, World, whole_log
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio
SIZE_BYTES = 12 * 1024 * 1024
BALLAST_BYTES = 6 * 1024 * 1024


class SmallDisk(World):
    """A hub whose data directory is a small file system in memory, seen by its process only."""

    def start(self) -> None:
        assert shutil.which("bwrap"), "bubblewrap is not installed; .ci/install does it"
        env = os.environ | {
            "BRIDGE_HOME": str(self.home / "data"),
            "BRIDGE_WRITES_PER_S": "100000",
            "BRIDGE_WRITE_BURST": "100000",
            "PYTHONPATH": str(ROOT),
        }
        (self.home / "data").mkdir(exist_ok=True)
        box = [
            "bwrap",
            "--die-with-parent",
            "--dev-bind",
            "/",
            "/",
            "--size",
            str(SIZE_BYTES),
            "--tmpfs",
            str(self.home / "data"),
        ]
        command = [*box, sys.executable, "-m", "mcp_bridge", "up", "--quiet", "--port", str(self.port)]
        with (self.home / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=env, cwd=ROOT, stderr=log)
        until = time.monotonic() + 30
        while not self._inside("hub.json").exists():
            assert self._process.poll() is None, (self.home / "hub.log").read_text()[-3000:]
            assert time.monotonic() < until, "the hub did not become ready"
            time.sleep(0.02)

    def _inside(self, name: str) -> Path:
        """A file of the hub's own file system, reached through its process."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        process = children[0] if children else self._process.pid
        return Path(f"/proc/{process}/root{self.home}/data/{name}")

    @property
    def token(self) -> str:
        return self._inside("token").read_text()

    def fill(self) -> None:
        """Leave room for a while of writing only."""
        self._inside("ballast").write_bytes(bytes(BALLAST_BYTES))

    def free(self) -> None:
        self._inside("ballast").unlink()


async def write_until(world: World, name: str, history: History, seen: Counter[int], stop: asyncio.Event) -> None:
    """Send large messages, each with its key until it is acknowledged."""
    async with world.client() as client:
        count = 0
        while not stop.is_set():
            count += 1
            attempt = Attempt(key=f"{name}:{count}", text=f"{name} {count} " + "x" * 20_000, began=time.monotonic())
            history.attempts.append(attempt)
            while not stop.is_set() and not attempt.ok:
                answer = await client.post(
                    "/v1/rooms/build/messages", json={"text": attempt.text}, headers={"idempotency-key": attempt.key}
                )
                seen[answer.status_code] += 1
                if answer.status_code == 201:
                    body = answer.json()
                    attempt.ok, attempt.seq, attempt.ended = True, body["seq"], time.monotonic()
                else:
                    assert answer.status_code in (503, 507), answer.text
                    assert answer.headers["retry-after"]
                    await asyncio.wait({asyncio.ensure_future(stop.wait())}, timeout=0.05)


async def readable(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/v1/rooms/build/events?limit=5")).status_code == 200


@pytest.mark.timeout(120)
async def test_a_full_disk_refuses_clearly_and_recovers_by_itself(tmp_path: Path) -> None:
    world = SmallDisk(tmp_path)
    await asyncio.to_thread(world.start)
    try:
        async with world.client() as client:
            await client.post("/v1/rooms", json={"room": "build"})
            world.fill()
            history, seen, stop = History(), Counter[int](), asyncio.Event()
            tasks = [asyncio.create_task(write_until(world, f"w{i}", history, seen, stop)) for i in range(4)]
            await eventually(lambda: seen[507] + seen[503] >= 5, within_s=40, what="the disk is full")
            assert (await client.get("/readyz")).status_code == 503
            assert await readable(client), "reading goes on"
            refused = await client.post("/v1/rooms/build/messages", json={"text": "x" * 20_000})
            assert refused.status_code in (503, 507)
            assert "space" in refused.json()["detail"] or "key" in refused.json()["detail"]
            world.free()
            before = sum(attempt.ok for attempt in history.attempts)
            await eventually(lambda: sum(a.ok for a in history.attempts) > before, within_s=5, what="it goes on")
            await eventually(lambda: ready(client), within_s=5, what="it is ready again")
            stop.set()
            await asyncio.gather(*tasks)
            assert check(history, await whole_log(world)) == []
            assert set(seen) <= {201, 503, 507}
    finally:
        world.end(signal.SIGTERM)


async def ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200
