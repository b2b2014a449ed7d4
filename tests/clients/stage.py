"""A stage for real sessions: a hub, the mock model, and a Claude Code of agent `claude-proj` in room `proj`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx2

from mcp_bridge.relay import Hub, HubGone, call_json
from tests.clients.mock_model import MockModel, say
from tests.clients.sessions import ClaudeCode
from tests.support.waiting import eventually_sync

AIM_S = 1.5


class Stage:
    """A hub, a model, and a Claude Code session of agent `claude-proj` in room `proj`."""

    def __init__(self, tmp_path: Path) -> None:
        self.model = MockModel(lambda _body: [say("understood")])
        self.claude = ClaudeCode(tmp_path / "home", tmp_path / "proj", self.model.url)
        self.claude.set_up()
        self._hub = Hub(tmp_path / "home" / "bridge")
        self._start_hub()

    def hub(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return call_json(self._hub.url(), self._hub.token(), method, path, body)

    def end_hub(self, name: signal.Signals = signal.SIGKILL) -> None:
        """End the hub; a session that notices starts it again, and so does `restart`."""
        pid = int(json.loads((self._hub.home / "hub.json").read_text())["pid"])
        os.kill(pid, name)
        eventually_sync(lambda: not self._hub.answers())

    def _start_hub(self) -> None:
        """As a relay does it; in a process of its own, so that the hub is no child of the tests."""
        code = "import sys, pathlib; from mcp_bridge.relay import Hub; Hub(pathlib.Path(sys.argv[1])).ensure()"
        command = [sys.executable, "-c", code, str(self._hub.home)]
        subprocess.run(command, env=self.claude.environment, check=True, timeout=60)

    def restart(self) -> None:
        self.end_hub()
        self._start_hub()

    def open(self, *arguments: str) -> None:
        """Start the interactive session and wait until it can be pushed to."""
        self.claude.start(*arguments)
        eventually_sync(lambda: self.reach() == "push", within_s=60, what="the session is in the room")

    def reach(self) -> str:
        try:
            self.hub("POST", "/v1/rooms/proj/join", {"create": True})
            members = self.hub("GET", "/v1/rooms/proj/members")["items"]
        except (HubGone, ValueError):
            return ""
        return next((str(m["reach"]) for m in members if m["agent"] == "claude-proj"), "")

    def send(self, text: str, *to: str) -> str:
        """Send as the local user; tried again with the same key until the hub answers."""
        headers = {"authorization": f"Bearer {self._hub.token()}", "idempotency-key": uuid.uuid4().hex}

        def once() -> str:
            try:
                answer = httpx2.post(
                    f"{self._hub.url()}/v1/rooms/proj/messages", json={"text": text, "to": to}, headers=headers
                )
            except (httpx2.TransportError, HubGone):
                return ""
            return str(answer.json()["id"]) if answer.status_code == 201 else ""

        return str(eventually_sync(once, within_s=30))

    def arrives(self, text: str) -> float:
        """Seconds until the text is in a request body."""
        began = time.monotonic()
        eventually_sync(lambda: self.model.having(text), within_s=AIM_S * 10, what=f"{text} in a request to the model")
        return time.monotonic() - began

    def close(self) -> None:
        self.claude.close()
        eventually_sync(self._ended, what="the session's relay is gone, so nothing starts the hub again")
        self.model.close()

    def _ended(self) -> bool:
        """Ends the hub again if a relay on its way out has just started one."""
        if self._hub.answers():
            self.end_hub(signal.SIGTERM)
            return False
        return True
