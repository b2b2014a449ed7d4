"""Frames on a relay's stdio as they are, for what client libraries hide."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TASKS = "io.modelcontextprotocol/tasks"


class Wire:
    """A relay process; `modern` speaks 2026-07-28, else the handshake is made first."""

    def __init__(
        self, env: dict[str, str], project: Path, *arguments: str, modern: bool = True, client: str = "wire"
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mcp_bridge", "mcp", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            cwd=project,
        )
        self.seen: list[dict[str, Any]] = []
        self._frames: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ids = itertools.count(1)
        self._modern = modern
        self._client = {"name": client, "version": "1"}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not modern:
            self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=self._client)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._frames.put(json.loads(line))

    def send(self, method: str, *, tasks: bool = False, request: bool = True, **params: Any) -> int:
        """Write one frame; its id."""
        frame: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
        number = next(self._ids)
        if request:
            frame["id"] = number
        if self._modern:
            params["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": self._client,
                "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}} if tasks else {},
            }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(frame).encode() + b"\n")
        self.process.stdin.flush()
        return number

    def until(self, fits: Callable[[dict[str, Any]], bool], within_s: float = 20) -> dict[str, Any]:
        """The first frame that fits, now or later."""
        for frame in self.seen:
            if fits(frame):
                return frame
        deadline = time.monotonic() + within_s
        while True:
            try:
                frame = self._frames.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no such frame within {within_s} s; seen: {self.seen[-5:]}") from None
            self.seen.append(frame)
            if fits(frame):
                return frame

    def answer(self, number: int) -> dict[str, Any]:
        return self.until(lambda frame: frame.get("id") == number)

    def ask(self, method: str, *, tasks: bool = False, **params: Any) -> dict[str, Any]:
        """The result of a request that must succeed."""
        answer = self.answer(self.send(method, tasks=tasks, **params))
        assert "result" in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """The structured answer of a tool call that must succeed."""
        result = self.ask("tools/call", name=name, arguments=arguments)
        assert not result.get("isError"), result
        found: dict[str, Any] = result["structuredContent"]
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self._reader.join(10)
        self.process.stdout.close()
