"""Chromium's own debugging socket, beside or without Playwright."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import websockets

from tests.support.waiting import eventually

FLAG: Final = "--remote-debugging-port=0"
MIB: Final = 2**20


class Wire:
    """Chromium's debugging socket: one command at a time, answered in order."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._number = 0

    async def send(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self._number += 1
        frame = {"id": self._number, "method": method, "params": params}
        await self._socket.send(json.dumps(frame | ({"sessionId": session} if session else {})))
        async with asyncio.timeout(30):
            while (said := json.loads(await self._socket.recv())).get("id") != self._number:
                pass  # an event
        assert "error" not in said, (method, said)
        return dict(said["result"])


@asynccontextmanager
async def wire_to(profile: Path) -> AsyncIterator[Wire]:
    """The socket of the Chromium that runs with this profile and `FLAG`."""
    place = profile / "DevToolsActivePort"

    def where() -> list[str]:
        lines = place.read_text().splitlines() if place.exists() else []
        return lines if len(lines) == 2 else []

    port, path = await eventually(where, within_s=30, what="Chromium runs and says where")
    async with websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
        yield Wire(socket)


async def heap_mb(wire: Wire, kind: str, url: str) -> float:
    """What the target whose address begins with `url` holds, after garbage is gone."""
    targets = (await wire.send("Target.getTargets"))["targetInfos"]
    target = next(t["targetId"] for t in targets if t["type"] == kind and t["url"].startswith(url))
    session = (await wire.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
    await wire.send("HeapProfiler.collectGarbage", session)
    used = (await wire.send("Runtime.getHeapUsage", session))["usedSize"]
    await wire.send("Target.detachFromTarget", sessionId=session)
    return float(used) / MIB
